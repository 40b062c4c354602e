"""`vsrdb advise`: its measures, its verdicts and its output."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import clips
import cv2
import numpy as np
import pytest
import telecined
from click.testing import CliRunner
from PIL import Image

from vsrdb_cli.advice.advise import Advice
from vsrdb_cli.advice.advise import advise as advice_on
from vsrdb_cli.advice.command import command_for, scale_for
from vsrdb_cli.advice.filters import propose_prefilter
from vsrdb_cli.advice.measures import Bars, Measures
from vsrdb_cli.advice.measures import measure_frames as measure
from vsrdb_cli.advice.restoration_trial import RestorationTrial, busiest_part
from vsrdb_cli.advice.verdict import Verdict, judge
from vsrdb_cli.cli import main
from vsrdb_cli.options import EncoderOptions, Hdr, RestoreOptions
from vsrdb_cli.restore import restore_video
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
    ({"noise": 11, "noise_share": 0.3}, {}, Verdict.OUTSIDE),  # nothing is proposed here
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


def test_noise_that_filters_remove_is_no_reason_against_it(info, measures):
    noisy = replace(measures, noise=11, noise_share=0.3)
    assert judge(info, noisy, TRIAL, noisy=False)[0] is Verdict.WORTH
    assert judge(info, noisy, TRIAL, noisy=True)[0] is Verdict.OUTSIDE
    little_detail = replace(TRIAL, unexplained=0.6)
    assert judge(info, noisy, little_detail, noisy=False)[0] is Verdict.WORTH


@pytest.mark.parametrize("changed, graph", [
    ({}, None),
    ({"noise": 4.6, "noise_share": 0.05}, None),  # fine texture
    ({"noise": 2, "noise_share": 0.9}, None),
    ({"noise": 5.6, "noise_share": 0.2}, "fftdnoiz=sigma=6:overlap=0.8"),
    ({"noise": 11.2, "noise_share": 0.5}, "fftdnoiz=sigma=11:overlap=0.8"),
    ({"blocking": 1.8}, "deblock=filter=weak"),
    ({"combing": 0.1}, "bwdif=mode=send_frame:deint=all"),
    ({"combing": 0.1, "noise": 20, "noise_share": 0.5}, "fftdnoiz=sigma=20:overlap=0.8"),
    ({"enlarged_by": 1.5}, None),
    ({"enlarged_by": 2}, "scale=iw/2:ih/2:flags=area"),
    ({"bars": Bars(0, 0, 0, 0)}, None),
    ({"bars": Bars(10, 12, 0, 8)}, "crop=204:98:0:10"),
    ({"bars": Bars(10, 10), "blocking": 2, "noise": 8, "noise_share": 0.5},
     "crop=212:100:0:10,deblock=filter=weak,fftdnoiz=sigma=8:overlap=0.8"),
])  # fmt: skip
def test_filters_follow_what_was_measured(info, measures, changed, graph):
    assert propose_prefilter(info, replace(measures, **changed)) == graph


def test_pictures_are_not_cropped_for_each_may_be_turned(info, measures):
    barred = replace(measures, bars=Bars(10, 10))
    assert propose_prefilter(replace(info, kind=Kind.PICTURES), barred) is None


def test_black_bars_are_what_all_frames_have(run):
    barred = run + 20
    barred[:, :11], barred[:, -6:], barred[:, :, :4] = 3, 5, 9
    assert measure(barred).bars == Bars(top=12, bottom=6, left=4)
    barred[-1, :5, 10:] = 90  # a subtitle, or a change of format
    assert measure(barred).bars == Bars(bottom=6, left=4)
    assert measure(run + 20).bars == Bars()
    assert measure(np.full_like(run, 4)).bars is None
    rows = np.arange(HEIGHT, dtype=np.float32)[:, None]
    assert measure(np.minimum(run + 20, rows)).bars == Bars()  # a night sky


def test_what_lies_within_the_bars_is_measured(run):
    rng = np.random.default_rng(1)
    flat = np.full_like(run, 128) + rng.normal(0, 8, run.shape).astype(np.float32)
    flat[:, :24], flat[:, -24:] = 0, 0
    assert measure(flat).noise == pytest.approx(8, rel=0.1)


def test_bars_of_several_places_are_those_that_all_have(measures):
    places = [replace(measures, bars=bars) for bars in (Bars(10, 12), None, Bars(14, 8))]
    assert Measures.mean(places).bars == Bars(10, 8)
    assert Measures.mean(places[1:2]).bars is None


def test_only_equal_frames_are_said_to_cost_no_time(info, run, measures):
    held = run[[0, 0, 1, 2, 2]].copy()
    assert (measure(held).duplicates, measure(held).repeated) == (0.5, 0.5)
    held[1] += 0.1
    found = measure(held)
    assert (found.duplicates, found.repeated) == (0.5, 0.25)
    findings = {one.name: one for one in judge(info, found, TRIAL)[1]}
    assert findings["duplicates"].text == (
        "50% of frames look like the previous one; 25% are equal to it and cost no time"
    )


def test_interlaced_video_gains_little(info, measures):
    assert judge(replace(info, interlaced=True), measures, TRIAL)[0] is Verdict.LITTLE


@pytest.mark.slow
def test_film_in_3_2_pulldown_is_judged_by_its_own_frames(tmp_path):
    frames = telecined.woven(telecined.fields(telecined.film(40)))
    advice = advice_on(telecined.write(tmp_path / "in.mp4", frames))
    findings = {one.name: one for one in advice.findings}
    assert findings["interlacing"].text.startswith("none: film in 3:2 pulldown")
    assert findings["duplicates"].text == "none"
    assert not findings["interlacing"].is_reason
    (notice,) = advice.notices
    assert "its 40 frames are brought back" in notice


@pytest.mark.parametrize("height, width, scale", [
    (540, 960, 4), (720, 1280, 3), (1080, 1920, 2), (1280, 720, 3), (2160, 3840, 1), (4320, 7680, 1)
])  # fmt: skip
def test_the_scale_advised_makes_no_more_than_4k(height, width, scale):
    assert scale_for(height, width) == scale


def test_the_command_is_one_line_for_the_shell(info, measures):
    def line(changed=None, prefilter=None, weights=None, **values):
        return command_for(
            replace(info, **values), replace(measures, **(changed or {})),
            prefilter=prefilter, weights=weights, hdr=Hdr.REFUSE,
        )  # fmt: skip

    assert line() == "vsrdb restore in.mp4 in_restored.mp4"
    assert line(duration_seconds=100.0) == (
        "vsrdb restore in.mp4 in_sample.mp4 --sample 3s --compare in_sample.html"
    )
    assert line(path=Path("a b.avi")) == "vsrdb restore 'a b.avi' 'a b_restored.mkv'"
    assert line(path=Path("-a.mp4")) == "vsrdb restore ./-a.mp4 ./-a_restored.mp4"
    assert line(weights="w.safetensors").endswith(" --weights w.safetensors")
    assert line(path=Path("f"), kind=Kind.PICTURES) == "vsrdb restore f f_restored"
    assert line(prefilter="a=b,c").endswith(" --prefilter a=b,c")
    # What is shrunk first may be enlarged more.
    assert line(height=1080, width=1920).endswith("--scale 2")
    assert line({"enlarged_by": 2.0}, height=1080, width=1920).endswith("in_restored.mp4")


def test_what_is_proposed_can_be_run_as_it_stands(tmp_path, info, measures):
    wanting = replace(measures, combing=0.1, bars=Bars(4, 4), blocking=2, enlarged_by=2)
    source = clips.make(tmp_path / "in.mp4", frames=6, height=72, width=96)
    with open_source(source) as opened:
        graph = propose_prefilter(opened.info, replace(wanting, noise=6, noise_share=0.5))
        line = command_for(opened.info, wanting, prefilter=graph, weights="bicubic", hdr=Hdr.REFUSE)
    program, *arguments = shlex.split(line)
    assert program == "vsrdb"
    done = CliRunner().invoke(main, [*arguments[:2], str(tmp_path / "out.mp4"), *arguments[3:]])
    assert done.exit_code == 0, done.stderr
    with open_source(tmp_path / "out.mp4") as restored:
        assert (restored.info.height, restored.info.width) == (128, 192)
        assert len(list(restored.times())) == 6


@pytest.mark.slow
def test_a_noisy_clip_is_worth_it_with_the_filter_that_is_proposed(tmp_path):
    noise = "noise=alls=35:allf=t:all_seed=1"
    restore_video(
        DEMO, tmp_path / "noisy.mkv",
        RestoreOptions(
            weights="nearest", scale=1, encoder=EncoderOptions(codec="ffv1"),
            prefilter=noise, end="9f",
        ),
    )  # fmt: skip
    advice = advice_on(tmp_path / "noisy.mkv")
    assert advice.prefilter is not None and advice.prefilter.startswith("fftdnoiz=sigma=")
    assert f"--prefilter {advice.prefilter}" in advice.command
    (noise,) = (one for one in advice.findings if one.name == "noise")
    assert noise.is_reason and noise.text.endswith("to be denoised first")


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


@pytest.mark.slow
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
