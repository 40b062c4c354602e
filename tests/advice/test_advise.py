"""`vsrdb advise`: its measures, its verdicts and its output."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from vsrdb_cli.advice.advise import Advice
from vsrdb_cli.advice.advise import advise as advice_on
from vsrdb_cli.advice.command import command_for, scale_for
from vsrdb_cli.advice.measures import measure_frames as measure
from vsrdb_cli.advice.restoration_trial import RestorationTrial, busiest_part
from vsrdb_cli.advice.verdict import Verdict, judge
from vsrdb_cli.cli import main
from vsrdb_cli.options import Hdr
from vsrdb_cli.video.info import Kind
from vsrdb_cli.video.reading.open import open_source

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "docs" / "demo.mp4"
HEIGHT, WIDTH, FRAMES = 96, 128, 5
TRIAL = RestorationTrial(consistency=45, unexplained=0.02, change=1e-3)


@pytest.fixture(scope="module")
def run():
    """(N, H, W): smooth shapes with edges as fine as the pixels, moving 2 pixels a frame."""
    rng = np.random.default_rng(0)
    coarse = np.kron(rng.uniform(30, 220, (40, 50)), np.ones((8, 8)))
    wide = coarse + cv2.GaussianBlur(rng.normal(0, 60, coarse.shape), (0, 0), 1.0)
    wide = np.clip(np.roll(wide, 3, axis=(0, 1)), 20, 240)
    places = [
        (slice(50, 50 + HEIGHT), slice(50 + 2 * k, 50 + 2 * k + WIDTH)) for k in range(FRAMES)
    ]
    return np.stack([wide[place] for place in places]).astype(np.float32)


def each(run, change):
    return np.stack([change(picture) for picture in run]).astype(np.float32)


@pytest.fixture(scope="module")
def info():
    with open_source(DEMO) as source:
        return replace(source.info, path=Path("in.mp4"), duration_seconds=5.0)


@pytest.fixture(scope="module")
def measures(run):
    """Nothing speaks against these."""
    return replace(measure(run), noise=1, noise_share=0.01, blocking=1, enlarged_by=1, combing=0)


@pytest.fixture(scope="module")
def advice() -> Advice:
    return advice_on(DEMO)


def test_noise_is_measured_in_codes(run):
    rng = np.random.default_rng(1)
    flat = np.full_like(run, 128)
    assert measure(flat + rng.normal(0, 8, run.shape).astype(np.float32)).noise == pytest.approx(
        8, rel=0.1
    )
    assert measure(flat).noise == 0


@pytest.mark.parametrize("factor, found", [(1, 1), (2, 2), (3, 2), (4, 2)])
def test_an_enlarged_picture_is_known_and_never_shrunk_too_far(run, factor, found):
    size = (WIDTH // factor, HEIGHT // factor)

    def enlarge(picture):
        small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        return cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)

    assert measure(each(run, enlarge)).enlarged_by == found


def test_blur_grows_and_its_direction_is_found(run):
    sharp = measure(run)
    kernel = np.full((1, 9), 1 / 9, np.float32)
    blurred = measure(each(run, lambda picture: cv2.filter2D(picture, -1, kernel)))
    assert blurred.blur > sharp.blur + 0.1
    assert blurred.blur_ratio > 1.5 > sharp.blur_ratio
    assert abs(blurred.blur_angle) < 10
    upright = measure(each(run, lambda picture: cv2.filter2D(picture, -1, kernel.T)))
    assert abs(upright.blur_angle) > 80


def test_blocks_of_jpeg_are_found(run):
    smooth = each(run, lambda picture: cv2.GaussianBlur(np.roll(picture, 5, (0, 1)), (0, 0), 2))

    def compress(picture):
        data = cv2.imencode(".jpg", picture.astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 10])[1]
        return cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)

    assert measure(each(smooth, compress)).blocking > 1.3


def test_combs_are_found(run):
    woven = run[:-1].copy()
    woven[:, 1::2] = np.roll(run[1:], 6, axis=2)[:, 1::2]
    assert measure(woven).combing > 0.01
    assert measure(run).combing < 0.01


def test_banding_is_found_where_smooth_parts_are_stairs():
    slope = np.tile(np.linspace(40, 60, WIDTH, dtype=np.float32), (FRAMES, HEIGHT, 1))
    assert measure(np.floor(slope / 4) * 4).banding > 0.3
    assert measure(slope).banding == 0


def test_dark_and_clipped_are_shares_of_the_picture(run):
    half = run.copy()
    half[:, : HEIGHT // 2], half[:, HEIGHT // 2 : HEIGHT * 3 // 4] = 4, 255
    assert (measure(half).dark, measure(half).clipped) == (0.5, 0.25)


def test_repeated_frames_are_counted_but_a_still_picture_has_none(run):
    assert measure(run[[0, 0, 1, 2, 2]]).duplicates == 0.5
    assert measure(run[[0, 0, 0]]).duplicates == 0


def test_motion_is_in_pixels_a_frame(run):
    assert measure(run).motion == pytest.approx(2, abs=0.3)


def test_the_busiest_part_is_where_detail_is():
    import torch

    picture = torch.zeros(3, 400, 500)
    picture[:, 240:300, 320:400] = torch.rand(3, 60, 80)
    rows, columns = busiest_part(picture)
    assert rows.start <= 240 and rows.stop >= 300
    assert columns.start <= 320 and columns.stop >= 400


@pytest.mark.parametrize("changed, tried, verdict", [
    ({}, {}, Verdict.WORTH),
    ({"noise": 11, "noise_share": 0.3}, {}, Verdict.OUTSIDE),
    ({"noise": 6, "noise_share": 0.7}, {}, Verdict.WORTH),
    ({"noise": 11, "noise_share": 0.1}, {}, Verdict.WORTH),
    ({"blocking": 1.8}, {}, Verdict.LITTLE),
    ({"combing": 0.1}, {}, Verdict.OUTSIDE),
    ({}, {"unexplained": 0.6}, Verdict.OUTSIDE),
    ({"enlarged_by": 2}, {}, Verdict.LITTLE),
    ({"enlarged_by": 1.5}, {}, Verdict.WORTH),
    ({}, {"change": 1e-6}, Verdict.LITTLE),
    ({"dark": 0.8, "fast_motion": 12, "duplicates": 0.4}, {}, Verdict.WORTH),
])  # fmt: skip
def test_verdicts(info, measures, changed, tried, verdict):
    found = judge(info, replace(measures, **changed), replace(TRIAL, **tried))
    assert found[0] is verdict


def test_every_measure_beyond_its_bounds_is_a_reason_and_no_other(info, measures):
    calm = replace(measures, dark=0, clipped=0, duplicates=0, motion=1, fast_motion=2, banding=0)
    assert not any(finding.is_reason for finding in judge(info, calm, TRIAL)[1])
    wild = replace(calm, dark=0.8, fast_motion=12, duplicates=0.4, banding=0.6)
    reasons = {finding.name for finding in judge(info, wild, TRIAL)[1] if finding.is_reason}
    assert reasons == {"light", "motion", "duplicates", "banding"}


def test_interlaced_video_gains_little(info, measures):
    assert judge(replace(info, interlaced=True), measures, TRIAL)[0] is Verdict.LITTLE


@pytest.mark.parametrize("height, width, scale", [
    (540, 960, 4), (720, 1280, 3), (1080, 1920, 2), (1280, 720, 3), (2160, 3840, 1), (4320, 7680, 1)
])  # fmt: skip
def test_the_scale_advised_makes_no_more_than_4k(height, width, scale):
    assert scale_for(height, width) == scale


def test_the_command_is_one_line_for_the_shell(info, measures):
    def line(changed=None, weights=None, **values):
        return command_for(
            replace(info, **values), replace(measures, **(changed or {})),
            weights=weights, hdr=Hdr.REFUSE,
        )  # fmt: skip

    assert line() == "vsrdb restore in.mp4 in_restored.mp4"
    assert line(duration_seconds=100.0) == (
        "vsrdb restore in.mp4 in_sample.mp4 --sample 3s --compare in_sample.html"
    )
    assert line(path=Path("a b.avi")) == "vsrdb restore 'a b.avi' 'a b_restored.mkv'"
    assert line(path=Path("-a.mp4")) == "vsrdb restore ./-a.mp4 ./-a_restored.mp4"
    assert line(weights="w.safetensors").endswith(" --weights w.safetensors")
    assert line(path=Path("f"), kind=Kind.PICTURES) == "vsrdb restore f f_restored"
    shrunk = line({"enlarged_by": 2.0}, height=1080, width=1920)
    assert "scale=iw/2:ih/2" in shrunk
    assert shrunk.endswith("&& vsrdb restore in_prepared.mkv in_restored.mp4")
    pictures = {"path": Path("f"), "kind": Kind.PICTURES, "height": 1080, "width": 1920}
    assert line({"enlarged_by": 2.0}, **pictures) == "vsrdb restore f f_restored --scale 2"
    assert "bwdif" in line({"combing": 0.1})


def test_the_command_shrinks_what_is_enlarged_and_keeps_the_sound(tmp_path, info, measures):
    import subprocess

    import clips

    source = clips.make(tmp_path / "in.mp4", frames=6, height=64, width=96)
    line = command_for(
        replace(info, path=source), replace(measures, enlarged_by=2.0), weights=None, hdr=Hdr.REFUSE
    )
    prepare, restore = line.split(" && ")
    subprocess.run([*prepare.split(), "-loglevel", "error"], check=True, cwd=tmp_path, timeout=60)
    with open_source(tmp_path / restore.split()[2]) as prepared:
        assert (prepared.info.height, prepared.info.width) == (32, 48)
        assert len(list(prepared.times())) == 6


@pytest.mark.slow
def test_the_demo_is_worth_it(advice):
    assert advice.verdict is Verdict.WORTH
    assert advice.trial.consistency > 40
    assert advice.command.startswith("vsrdb restore ")


@pytest.mark.slow
def test_the_command_prints_a_verdict_all_findings_and_what_to_run(advice):
    done = CliRunner().invoke(main, ["advise", str(DEMO)])
    assert done.exit_code == 0
    first, *findings, last = done.stdout.splitlines()
    assert first.startswith("worth it: ")
    assert len(findings) == len(advice.findings)
    assert last == f"next: {advice.command}"
    printed = json.loads(CliRunner().invoke(main, ["advise", str(DEMO), "--json"]).stdout)
    assert (printed["verdict"], printed["rank"]) == ("worth", 2)
    assert printed["measures"]["noise"] == pytest.approx(advice.measures.noise, abs=1e-3)
    assert printed["command"] == advice.command


def refusal(*arguments) -> str:
    done = CliRunner().invoke(main, ["advise", *map(str, arguments)])
    assert done.exit_code in (1, 2)
    assert [line.partition(" ")[0] for line in done.stderr.splitlines()] == ["error:", "hint:"]
    assert done.stdout == ""
    return done.stderr


def test_what_cannot_be_advised_on_is_refused_in_one_line(tmp_path):
    (tmp_path / "bad.mp4").write_text("no video")
    Image.new("RGB", (20, 16)).save(tmp_path / "tiny.png")
    (tmp_path / "empty").mkdir()
    assert "none.mp4" in refusal(tmp_path / "none.mp4")
    assert "bad.mp4" in refusal(tmp_path / "bad.mp4")
    assert "20x16, too small" in refusal(tmp_path / "tiny.png")
    assert "empty" in refusal(tmp_path / "empty")
    assert "stdin" in refusal("-")
    assert "no-such" in refusal(DEMO, "--weights", "no-such")


def test_a_missing_package_is_named_with_the_line_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    assert "pip install 'vsrdb[evaluate]'" in refusal(DEMO)


def test_a_single_picture_is_advised_on(tmp_path):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (48, 64, 3), np.uint8)).save(tmp_path / "a.png")
    advice = advice_on(tmp_path / "a.png")
    assert advice.frames == 1
    found = {finding.name: finding.text for finding in advice.findings}
    assert found["motion"] == found["duplicates"] == "unknown: a single picture"
    assert advice.as_json()["measures"]["motion"] is None
    assert advice.verdict is Verdict.OUTSIDE  # noise is all there is, so no shrinking is advised
    assert " && " not in advice.command


def test_a_long_video_is_looked_at_in_three_places(tmp_path):
    import clips

    from vsrdb_cli.video.reading.sampling import sample_runs

    path = clips.make(tmp_path / "in.mp4", frames=60, height=64, width=96)
    with open_source(path) as source:
        runs = list(sample_runs(source, 3, 4))
    assert [len(run) for run in runs] == [4, 4, 4]
    with open_source(path) as source:
        assert len(next(iter(sample_runs(source, 3, 40)))) == 60


def test_a_long_video_with_one_keyframe_is_read_from_its_beginning():
    from vsrdb_cli.video.reading.sampling import sample_runs

    wild = Path(__file__).parents[1] / "wild" / "late_audio.vob"
    with open_source(wild) as source:
        runs = [len(run) for run in sample_runs(source, 3, 4)]
        assert runs == [0, 0, 0, 12]
