"""`vsrdb inspect`: a folder or a page, complete or not at all, and one line for each refusal."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import clips
import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from vsrdb_cli.cli import main
from vsrdb_cli.video.pictures.formats import encode_png

GROUPS = {"input": 3, "flow": 4, "mask": 3, "warped": 3, "feature_flow": 6, "degradation": 3}


@pytest.fixture
def inspect(tiny: Path):
    def run(*arguments: object) -> Result:
        return CliRunner().invoke(
            main, ["inspect", "--weights", str(tiny), *map(str, arguments)], catch_exceptions=False
        )

    return run


def data_of(page: Path) -> dict:
    text = page.read_text()
    inside = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
    assert inside
    return json.loads(inside[1])


@pytest.mark.slow
def test_a_folder_contains_and_describes_every_figure(inspect, video, tmp_path):
    done = inspect(video, "-o", tmp_path / "seen", "--at", "4f")
    assert done.exit_code == 0, done.output
    names = sorted(path.name for path in (tmp_path / "seen").iterdir())
    for group, count in GROUPS.items():
        assert sum(re.match(rf"\d+_{group}_", name) is not None for name in names) == count
    sizes = {"input_t": (48, 64), "flow_t-1": (48, 64), "restored": (192, 256)}
    for name, size in sizes.items():
        (file,) = (tmp_path / "seen").glob(f"*_{name}.png")
        assert cv2.imread(str(file)).shape[:2] == size
    readme = (tmp_path / "seen" / "README.txt").read_text()
    assert "frame 4 at 0.160 s, 64x48" in readme
    assert all(name in readme for name in names if re.match(r"\d", name))
    assert "overview.png" in names


@pytest.mark.slow
def test_the_input_is_shown_as_it_is(inspect, tmp_path):
    image = np.random.default_rng(0).integers(0, 255, (32, 40, 3), dtype=np.uint8)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "one.png").write_bytes(encode_png(image))
    done = inspect(tmp_path / "in", "-o", tmp_path / "seen")
    assert done.exit_code == 0, done.output
    assert "t-1 and t+1 mirrored" in done.stderr
    (shown,) = (tmp_path / "seen").glob("*_input_t.png")
    np.testing.assert_array_equal(cv2.imread(str(shown))[..., ::-1], image)


@pytest.mark.slow
def test_raw_arrays_are_what_the_readme_promises(inspect, video, tmp_path):
    done = inspect(video, "-o", tmp_path / "seen", "--at", "4f", "--raw", "--kernels-every", 4)
    assert done.stdout.split() == [str(tmp_path / "seen"), str(tmp_path / "seen" / "arrays.npz")]
    readme = (tmp_path / "seen" / "README.txt").read_text()
    promised = re.findall(r"^\| (.+?) \| (.+?) \|", readme, re.M)[2:]
    numbers = {"T": 3, "H": 48, "W": 64, "n": 3, "s": 4, "k_d": 6, "k_r": 3}
    numbers |= {"sH": 192, "sW": 256, "rows": 12, "columns": 16}
    with np.load(tmp_path / "seen" / "arrays.npz") as arrays:
        found = {}
        for names, shapes in promised:
            listed = re.findall(r"\((.*?)\)", shapes)
            for name, shape in zip(
                names.split(", "), listed * len(names.split(", ")), strict=False
            ):
                found[name] = tuple(
                    numbers.get(part.strip()) or int(part) for part in shape.split(",") if part
                )
        found["kernel_column"] = (16,)
        assert {name: arrays[name].shape for name in arrays} == found
        assert arrays["kernel_row"].tolist() == list(range(0, 48, 4))
        np.testing.assert_array_equal(arrays["filtered"] + arrays["residual"], arrays["restored"])


@pytest.mark.slow
def test_a_page_contains_all_frames_and_needs_no_other_file(inspect, video, tmp_path):
    page = tmp_path / "page.html"
    done = inspect(video, "-o", page, "--at", "2f", "--frames", 2)
    assert done.exit_code == 0, done.output
    assert [moment["index"] for moment in data_of(page)["moments"]] == [2, 3]
    text = page.read_text()
    assert not re.findall(r"""(?:src|href)=["'](?!data:)""", text)
    assert "http:" not in text
    assert "https:" not in text


def test_a_name_that_looks_like_markup_stays_text(inspect, video, tmp_path):
    name = "<script>alert(1)<!--.mkv"
    shutil.copy(video, tmp_path / name)
    assert inspect(tmp_path / name, "-o", tmp_path / "page.html", "--at", "2f").exit_code == 0
    text = (tmp_path / "page.html").read_text()
    assert name not in text
    assert name in data_of(tmp_path / "page.html")["title"]


@pytest.mark.slow
def test_kernels_of_a_large_picture_are_thinned_to_fit_the_page(inspect, tmp_path):
    source = clips.make(tmp_path / "large.mkv", height=180, width=320, frames=3)
    inspect(source, "-o", tmp_path / "page.html", "--at", "1f", "--tile", 128, "--frames", 1)
    kernels = data_of(tmp_path / "page.html")["moments"][0]["kernels"]
    weights = 3 * (6**2 + 4**2 * 3**2)
    assert kernels["every"] == 2
    assert kernels["rows"] * kernels["columns"] * weights <= 10 << 20
    assert (tmp_path / "page.html").stat().st_size < 20 << 20


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--at", "900f"], "has no frame at frame 900"),
        (["--at", "soon"], "--at soon is not valid"),
        (["--weights", "bicubic"], "has no parameters"),
        (["-o", "no/such/page.html"], "does not exist"),
        (["-o", "page.pdf"], "expected a folder or a .html file"),
    ],
)
def test_a_refusal_is_one_line_and_leaves_nothing(
    inspect, video, tmp_path, monkeypatch, arguments, message
):
    monkeypatch.chdir(tmp_path)
    done = inspect(video, "-o", "page.html", *arguments)
    assert done.exit_code in (1, 2)
    error, hint = done.stderr.strip().splitlines()
    assert error.startswith("error: ")
    assert message in error
    assert hint.startswith("hint: ")
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_sound_alone_is_refused(inspect, tmp_path):
    import av

    with av.open(str(tmp_path / "sound.m4a"), "w") as output:
        track = output.add_stream("aac", rate=48000, layout="mono")
        clips.write_tone(output, track, 0.3, 440)
    done = inspect(tmp_path / "sound.m4a", "-o", tmp_path / "page.html")
    assert done.exit_code == 1
    assert "no video" in done.stderr


@pytest.mark.slow
def test_only_an_earlier_inspection_is_replaced_and_only_when_asked(inspect, video, tmp_path):
    target = tmp_path / "seen"
    assert inspect(video, "-o", target, "--at", "2f").exit_code == 0
    again = inspect(video, "-o", target, "--at", "3f")
    assert "add --overwrite" in again.stderr
    assert inspect(video, "-o", target, "--at", "3f", "--overwrite").exit_code == 0
    assert "frame 3" in (target / "README.txt").read_text()
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine.txt").write_text("mine")
    refused = inspect(video, "-o", other, "--overwrite")
    assert refused.exit_code == 1
    assert (other / "mine.txt").read_text() == "mine"


def test_a_stream_is_refused(inspect, tmp_path):
    done = inspect("-", "-o", tmp_path / "page.html")
    assert done.exit_code == 1
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("target", ["seen", "seen.html"])
@pytest.mark.slow
def test_a_name_that_is_no_text_is_no_obstacle(inspect, video, tmp_path, target):
    source = tmp_path / os.fsdecode(b"caf\xe9.mp4")
    shutil.copy(video, source)
    done = inspect(source, "-o", tmp_path / target, "--at", "4f")
    assert done.exit_code == 0, done.output
    assert (tmp_path / target).exists()


@pytest.mark.slow
def test_a_folder_of_other_files_is_never_replaced(inspect, video, tmp_path):
    seen = tmp_path / "seen"
    assert inspect(video, "-o", seen, "--at", "4f").exit_code == 0
    assert inspect(video, "-o", seen, "--at", "4f", "--overwrite").exit_code == 0
    (seen / "mine.txt").write_text("mine")
    done = inspect(video, "-o", seen, "--at", "4f", "--overwrite")
    assert done.exit_code == 1
    assert "is not empty" in done.stderr
    frames = tmp_path / "frames"
    frames.mkdir()
    image = np.random.default_rng(0).integers(0, 255, (32, 40, 3), dtype=np.uint8)
    (frames / "0.png").write_bytes(encode_png(image))
    (frames / "README.txt").write_text("of my own")
    for source in (frames, frames / "0.png"):
        done = inspect(source, "-o", frames, "--overwrite")
        assert "is the input itself" in done.stderr
    assert len(list(frames.iterdir())) == 2
