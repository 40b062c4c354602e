"""`vsrdb evaluate`: what it compares, averages, refuses and prints."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import weakref
from pathlib import Path
from types import SimpleNamespace

import av
import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image
from rich.console import Console

from vsrdb_cli.cli import main
from vsrdb_cli.commands import console
from vsrdb_cli.errors import VideoError
from vsrdb_cli.evaluation.pairs import Clip
from vsrdb_cli.evaluation.reds4 import CLIPS, TABLE_9, reds4_clips
from vsrdb_cli.evaluation.scores import evaluate
from vsrdb_cli.video.frame import Frame, ReadReport
from vsrdb_cli.video.info import Kind

GOLDEN = Path(__file__).parents[1] / "golden"
SCORES = json.loads((GOLDEN / "metrics.json").read_text())
TOLERANCE = 1e-4

with np.load(GOLDEN / "metrics.npz") as data:
    TRUTH, RESTORED = data["gt"], data["pred"]  # (4, 160, 224, 3), RGB


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def pictures(folder: str, frames: np.ndarray) -> Path:
    """A folder of PNG files, 8 or 16 bit."""
    path = Path(folder)
    path.mkdir(parents=True)
    for index, frame in enumerate(frames):
        assert cv2.imwrite(str(path / f"{index:08d}.png"), frame[..., ::-1])
    return path


def video(name: str, frames: np.ndarray) -> Path:
    """A lossless RGB video."""
    with av.open(name, "w") as output:
        stream = output.add_stream("ffv1", rate=25)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "bgr0"
        for frame in frames:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        output.mux(stream.encode(None))
    return Path(name)


def quarter(frames: np.ndarray) -> np.ndarray:
    return np.stack([cv2.resize(f, None, fx=0.25, fy=0.25, interpolation=3) for f in frames])


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["evaluate", *map(str, arguments)])


def scores(*arguments: object) -> dict:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def refusal(*arguments: object) -> str:
    """Message and hint, one line each and nothing else."""
    result = run(*arguments)
    assert result.exit_code in (1, 2)
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert [line.partition(" ")[0] for line in lines] == ["error:", "hint:"], result.stderr
    return result.stderr


def of(found: dict, method: str, clip: str, metric: str) -> list[float | None]:
    return [frame[metric] for frame in found["methods"][method]["clips"][clip]["frames"]]


# What is compared


@pytest.mark.slow
def test_a_summary_has_the_means_and_nothing_of_single_frames():
    both = pictures("restored", RESTORED), pictures("truth", TRUTH)
    whole, summary = scores(*both), scores(*both, "--summary")
    (clip,) = summary["methods"]["restored"]["clips"].values()
    assert clip == {"mean": whole["methods"]["restored"]["clips"]["truth"]["mean"]}
    assert summary["methods"]["restored"]["mean"] == whole["methods"]["restored"]["mean"]
    cells = re.findall(r"^│ +(\w+) │", run(*both, "--summary").stdout, re.MULTILINE)
    assert cells == ["mean"]


def test_the_first_and_last_frame_are_left_out_as_in_the_paper():
    found = scores(pictures("restored", RESTORED), pictures("truth", TRUTH))
    frames = found["methods"]["restored"]["clips"]["truth"]["frames"]
    assert [frame["frame"] for frame in frames] == [1, 2]
    assert found["end_frames_left_out"] == 1
    for frame, golden in zip(frames, SCORES[1:3], strict=True):
        assert frame["psnr"] == pytest.approx(golden["psnr"], abs=TOLERANCE)
        assert frame["ssim"] == pytest.approx(golden["ssim"], abs=TOLERANCE)
    assert frames[0]["tof"] is None, "the frame before was dropped"
    assert frames[1]["tof"] == pytest.approx(SCORES[2]["tof"], abs=TOLERANCE)


def test_all_frames_are_scored_when_asked_for():
    found = scores(pictures("restored", RESTORED), pictures("truth", TRUTH), "--all-frames")
    for metric in ("psnr", "ssim", "tof"):
        golden = [score[metric] for score in SCORES]
        values = of(found, "restored", "truth", metric)
        assert [v is None for v in values] == [g is None for g in golden]
        present = [value for value in values if value is not None]
        assert present == pytest.approx([g for g in golden if g is not None], abs=TOLERANCE)
        mean = found["methods"]["restored"]["clips"]["truth"]["mean"][metric]
        assert mean == pytest.approx(np.mean(present))


@pytest.mark.slow
def test_videos_16_bit_pictures_and_8_bit_pictures_score_alike():
    truth = pictures("truth", TRUTH)
    of_pictures = scores(pictures("restored", RESTORED), truth)["methods"]
    of_video = scores(video("restored.mkv", RESTORED), truth)["methods"]
    deep = pictures("deep", RESTORED.astype(np.uint16) * 257)
    assert of_video == of_pictures
    assert scores(deep, truth)["methods"] == of_pictures


@pytest.mark.slow
def test_clips_of_two_roots_match_by_name_and_count_the_same_at_any_length():
    for name, frames in (("walk", 4), ("drive10", 3), ("drive9", 4)):
        pictures(f"truth/{name}", TRUTH[:frames])
    Path("restored").mkdir()
    pictures("restored/walk", RESTORED)
    video("restored/drive10.mkv", np.roll(RESTORED, 1, axis=3)[:3])
    video("restored/drive9.mkv", TRUTH // 2)
    found = scores("restored", "truth", "--all-frames")["methods"]["restored"]
    assert list(found["clips"]) == ["drive9", "drive10", "walk"]
    assert found["clips"]["walk"]["mean"]["psnr"] == pytest.approx(30.45356, abs=TOLERANCE)
    for metric in ("psnr", "ssim", "tof"):
        means = [clip["mean"][metric] for clip in found["clips"].values()]
        assert found["mean"][metric] == pytest.approx(np.mean(means))


def test_the_baseline_is_bicubic_enlargement_as_pillow_has_it():
    lr = quarter(TRUTH)
    enlarged = [Image.fromarray(f).resize((224, 160), Image.Resampling.BICUBIC) for f in lr]
    found = scores(
        *(pictures("pillow", np.stack(enlarged)), pictures("truth", TRUTH)),
        *("--input", pictures("lr", lr), "--baseline", "bicubic"),
    )
    assert list(found["methods"]) == ["restored", "bicubic"]
    for metric, tolerance in (("psnr", 0.02), ("ssim", 1e-3), ("tof", 5e-3)):
        bicubic, pillow = (found["methods"][m]["mean"][metric] for m in ("bicubic", "restored"))
        assert bicubic == pytest.approx(pillow, abs=tolerance)


def test_the_input_alone_asks_for_the_baseline():
    lr = pictures("lr", quarter(TRUTH))
    found = scores(pictures("r", RESTORED), pictures("t", TRUTH), "--input", lr)
    assert list(found["methods"]) == ["restored", "bicubic"]


def test_memory_does_not_grow_with_the_length_of_the_video():
    alive: set[int] = set()
    most = 0

    class Long:
        """120 small frames, of which those not yet let go are counted."""

        def __init__(self, path):
            self.info = SimpleNamespace(
                path=path, kind=Kind.VIDEO, width=64, height=48, frame_count=120, notices=()
            )
            self.report = ReadReport()

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def frames(self):
            nonlocal most
            for index in range(120):
                rgb = torch.full((3, 48, 64), index, dtype=torch.uint8)
                alive.add(id(rgb))
                weakref.finalize(rgb, alive.discard, id(rgb))
                most = max(most, len(alive))
                yield Frame(rgb, index, 1)
                self.report.frames += 1

    seen = []
    found = evaluate(
        [Clip("long", Path("a"), Path("b"))],
        open_video=Long,
        on_progress=lambda done, total: seen.append((done, total)),
    )
    assert len(found.methods["restored"][0].frames) == 118
    assert seen == [(done, 120) for done in range(1, 121)]
    assert 2 <= most <= 10


# What is printed


def test_the_table_has_a_row_for_every_frame_and_the_mean():
    result = run(pictures("restored", RESTORED), pictures("truth", TRUTH), "--all-frames")
    rows = [line.split("│")[1:-1] for line in result.stdout.splitlines() if "│" in line]
    assert [[cell.strip() for cell in row] for row in rows] == [
        ["0", "31.40", "0.9581", "-"],
        ["1", "30.79", "0.9546", "0.060"],
        ["2", "30.15", "0.9511", "0.057"],
        ["3", "29.47", "0.9470", "0.060"],
        ["mean", "30.45", "0.9527", "0.059"],
    ]


@pytest.mark.slow
def test_the_table_of_roots_has_a_row_with_the_gain_for_every_clip():
    for name in ("a", "b"):
        pictures(f"truth/{name}", TRUTH)
        pictures(f"lr/{name}", quarter(TRUTH))
    pictures("restored/a", RESTORED)
    pictures("restored/b", TRUTH // 2)
    result = run("restored", "truth", "--input", "lr")
    rows = [line.split("│")[1:-1] for line in result.stdout.splitlines() if "│" in line]
    assert [row[0].strip() for row in rows] == ["a", "b", "mean"]
    for row in rows:
        restored, bicubic, gain = (float(row[column]) for column in (1, 4, 7))
        assert gain == pytest.approx(restored - bicubic, abs=0.011)
        assert row[7].strip()[0] in "+-"


@pytest.mark.slow
def test_progress_counts_the_frames_of_all_clips(reds4):
    reported = []
    clips = reds4_clips(*reds4, None)
    evaluate(clips, on_progress=lambda done, total: reported.append((done, total)))
    assert reported == [(done, 16) for done in range(1, 17)]


def test_equal_videos_give_valid_json_with_infinity_as_a_string():
    truth = pictures("truth", TRUTH)
    found = scores(pictures("restored", TRUTH), truth)
    mean = found["methods"]["restored"]["mean"]
    assert mean == {"psnr": "Infinity", "ssim": 1, "tof": 0}
    assert "inf" in run("restored", truth).stdout


@pytest.fixture
def reds4() -> tuple[Path, Path]:
    for name in CLIPS:
        pictures(f"restored/{name}", RESTORED)
        pictures(f"truth/{name}", TRUTH)
    pictures("truth/001", TRUTH)  # REDS has other clips beside the four
    return Path("restored"), Path("truth")


@pytest.mark.parametrize("terminal_width", [80, 200, None])
@pytest.mark.slow
def test_reds4_is_printed_like_table_9_beside_the_papers_numbers(
    reds4, terminal_width, monkeypatch
):
    if terminal_width:
        terminal = Console(width=terminal_width, force_terminal=True)
        monkeypatch.setattr(console, "results", terminal)
    restored, truth = reds4
    result = run(restored, "--reds4", truth)
    for name in CLIPS:
        assert f"CLIP {name}" in result.stdout
    assert "FMA-Net (paper)" in result.stdout
    for number in ("29.38", "0.8308", "2.19", "28.83", "30.47"):
        assert number in result.stdout, "cells are never cut short"
    assert ("29.38 / 0.8308 / 2.19" in result.stdout) == (terminal_width != 80)
    assert "98 frames of each clip: 000 has 2" in result.stderr


@pytest.mark.slow
def test_reds4_as_json_has_the_papers_numbers_too(reds4):
    restored, truth = reds4
    found = scores(restored, "--reds4", truth, "--all-frames")
    assert list(found["methods"]["restored"]["clips"]) == list(CLIPS)
    assert found["paper"]["FMA-Net"]["clips"]["020"] == {"psnr": 27.51, "ssim": 0.8232, "tof": 2.79}
    assert found["paper"]["FMA-Net"]["mean"] == {"psnr": 28.83, "ssim": 0.8315, "tof": 1.92}
    assert "which leaves out each clip's first and last frame" in found["notices"][0]


@pytest.mark.parametrize("row", TABLE_9, ids=lambda row: row.method)
def test_the_papers_averages_are_the_means_of_its_clips_but_for_one(row):
    for metric, unit in (("psnr", 0.01), ("ssim", 1e-4), ("tof", 0.01)):
        mean = np.mean([getattr(clip, metric) for clip in row.clips])
        if (row.method, metric) == ("FMA-Net", "psnr"):
            assert (row.average.psnr, mean) == (28.83, pytest.approx(28.86))
        else:
            assert mean == pytest.approx(getattr(row.average, metric), abs=unit)


@pytest.mark.slow
def test_the_plot_is_drawn_and_replaces_an_older_one():
    restored, truth = pictures("restored", RESTORED), pictures("truth", TRUTH)
    plot = Path("plots.d/quality.png")
    plot.parent.mkdir()
    plot.write_bytes(b"older")
    result = run(restored, truth, "--input", pictures("lr", quarter(TRUTH)), "--plot", plot)
    assert result.exit_code == 0, result.output
    assert [file.name for file in plot.parent.iterdir()] == ["quality.png"]
    image = cv2.imread(str(plot))
    assert image.shape[0] > 400
    assert image.shape[1] > 600
    for colour in ((180, 119, 31), (14, 127, 255)):  # BGR of the two curves
        assert (np.abs(image.astype(int) - colour).max(axis=2) < 8).sum() > 50


@pytest.mark.slow
def test_equal_videos_can_be_plotted():
    result = run(pictures("a", TRUTH), pictures("b", TRUTH), "--plot", "q.svg")
    assert result.exit_code == 0, result.output
    assert "<svg" in Path("q.svg").read_text()


# What is refused


@pytest.mark.parametrize("make", [pictures, video], ids=["pictures", "videos"])
def test_different_numbers_of_frames_are_refused_with_both(make):
    ending = "" if make is pictures else ".mkv"
    restored, truth = make(f"restored{ending}", RESTORED[:2]), make(f"truth{ending}", TRUTH)
    for message in (refusal(restored, truth), refusal(truth, restored)):
        assert f"{restored} has 2" in message
        assert f"{truth} has 4" in message


def test_different_numbers_of_pictures_are_refused_before_any_is_scored():
    good = Clip("good", pictures("r/good", RESTORED), pictures("t/good", TRUTH))
    bad = Clip("bad", pictures("r/bad", RESTORED[:2]), pictures("t/bad", TRUTH))
    done = []
    with pytest.raises(VideoError, match="numbers of frames differ"):
        evaluate([good, bad], on_progress=lambda *progress: done.append(progress))
    assert done == []


def test_different_sizes_are_refused_with_both():
    message = refusal(pictures("restored", RESTORED[:, 4:, 8:]), pictures("truth", TRUTH))
    assert "216x156" in message
    assert "224x160" in message


def test_an_input_of_which_the_truth_is_no_multiple_is_refused():
    restored, truth = pictures("restored", RESTORED), pictures("truth", TRUTH)
    for name, lr in (("narrow", quarter(TRUTH)[:, :, 1:]), ("equal", TRUTH)):
        message = refusal(restored, truth, "--input", pictures(name, lr))
        assert name in message
        assert "not a whole multiple" in message


def test_frames_too_small_for_tof_are_refused():
    message = refusal(pictures("r", RESTORED[:, :47]), pictures("t", TRUTH[:, :47]))
    assert "at least 48x48" in message
    assert run(pictures("r48", RESTORED[:, :48]), pictures("t48", TRUTH[:, :48])).exit_code == 0


def test_too_few_frames_are_refused_and_all_frames_offered_if_that_helps():
    restored, truth = pictures("restored", RESTORED[:3]), pictures("truth", TRUTH[:3])
    message = refusal(restored, truth)
    assert "has 3 frames" in message
    assert "--all-frames" in message
    assert run(restored, truth, "--all-frames").exit_code == 0
    one = pictures("one", RESTORED[:1])
    message = refusal(one, one)
    assert "has 1 frame," in message
    assert "--all-frames" not in message


@pytest.mark.parametrize("lacking", ["restored", "truth", "lr"])
def test_a_clip_that_one_of_the_roots_lacks_is_named(lacking):
    for root in ("restored", "truth", "lr"):
        frames = quarter(TRUTH) if root == "lr" else TRUTH
        for name in ("a", "b"):
            if (root, name) != (lacking, "b"):
                pictures(f"{root}/{name}", frames)
    assert f"{lacking} has no clip 'b'" in refusal("restored", "truth", "--input", "lr")


def test_roots_that_are_none_are_refused():
    root = pictures("root/a", TRUTH).parent
    single = pictures("single", TRUTH)
    Path("empty").mkdir()
    assert "contains neither pictures" in refusal(single, "empty")
    assert "contains no pictures" in refusal(root, single)
    assert "is not a folder of clips" in refusal(video("v.mkv", TRUTH), root)
    assert "gone.mkv" in refusal("gone.mkv", single)
    video("root/a.mkv", TRUTH)
    assert "two clips 'a'" in refusal(root, root)


def test_a_missing_reds4_clip_is_named(reds4):
    restored, truth = reds4
    (restored / "015").rename("elsewhere")
    message = refusal(restored, "--reds4", truth)
    assert "REDS4 clip restored/015 is missing" in message


def test_options_that_do_not_fit_are_refused():
    restored, truth = pictures("restored", RESTORED), pictures("truth", TRUTH)
    assert "--input" in refusal(restored, truth, "--baseline", "bicubic")
    assert "given twice" in refusal(restored, truth, "--reds4", truth)
    assert "GROUND_TRUTH is missing" in refusal(restored)
    assert ".png" in refusal(restored, truth, "--plot", "q.gif")
    among = Path(restored) / "quality.png"
    assert "would be read as a frame of" in refusal(restored, truth, "--plot", among)
    assert "does not exist" in refusal(restored, truth, "--plot", "nowhere/q.png")
    source = truth / "00000000.png"
    assert "is the input itself" in refusal(restored / source.name, source, "--plot", source)


@pytest.mark.parametrize("module", ["cv2", "skimage.metrics", "matplotlib.figure"])
def test_a_missing_package_is_named_before_any_work_with_its_extra(module, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    message = refusal("restored.mp4", "truth.mp4", "--plot", "q.png")
    assert module.partition(".")[0] in message
    assert "pip install 'vsrdb[evaluate]'" in message


def test_help_imports_none_of_the_heavy_packages():
    heavy = "{'torch', 'av', 'cv2', 'skimage', 'matplotlib', 'numpy'}"
    code = (
        "import sys, click.testing\n"
        "from vsrdb_cli.cli import main\n"
        "out = click.testing.CliRunner().invoke(main, ['evaluate', '--help']).output\n"
        f"assert '--reds4 ROOT' in out, out\nassert not {heavy} & sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
