"""`vsrdb compare`: which frames it pairs, what it refuses and what the page contains."""

from __future__ import annotations

import base64
import json
import re
import subprocess
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import clips
import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image
from sources import HEIGHT, WIDTH, folder, numbered, quarter, still, textured, video

from vsrdb_cli.cli import main
from vsrdb_cli.comparison.compare import PageOptions, write_page
from vsrdb_cli.comparison.stacked_layout import Layout
from vsrdb_cli.comparison.stacked_video import StackedVideo, most_bits_per_second, most_bytes
from vsrdb_cli.errors import OptionError
from vsrdb_cli.video.reading.open import open_source


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["compare", *map(str, arguments)])


def compared(*arguments: object) -> dict:
    """What the page's script reads."""
    result = run(*arguments, "-o", "page.html", "--overwrite")
    assert result.exit_code == 0, result.output
    return data_of(Path("page.html")) | {"stderr": result.stderr}


def data_of(page: Path, name: str = "data") -> dict:
    return json.loads(re.search(f'id="{name}">(.*?)</script>', page.read_text(), re.DOTALL)[1])


def refusal(*arguments: object, page: str = "page.html") -> str:
    """Message and hint, one line each and nothing else; and no page."""
    result = run(*arguments, "-o", page)
    assert result.exit_code in (1, 2)
    lines = result.stderr.splitlines()
    assert [line.partition(" ")[0] for line in lines] == ["error:", "hint:"], result.stderr
    assert not Path("page.html").exists()
    assert not list(Path().glob(".vsrdb*"))
    return result.stderr


def moving(count: int, step: float = 4, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """(count, height, width, 3): a texture that moves to the left by `step` pixels a frame."""
    generator = np.random.default_rng(0)
    coarse = generator.integers(0, 256, (height // 20, (width + 2000) // 20, 3), np.uint8)
    texture = np.kron(coarse, np.ones((20, 20, 1), np.uint8))
    return np.stack([texture[:, round(i * step) : round(i * step) + width] for i in range(count)])


def pairs_of(page: Path) -> list[tuple[int, int]]:
    """The numbers that the two pictures of every lossless frame carry."""
    boxes = data_of(page)["layout"]["boxes"]
    pairs = []
    for _, webp in sorted(data_of(page, "pictures").items(), key=lambda item: int(item[0])):
        file = Path("stacked.webp")
        file.write_bytes(base64.b64decode(webp))
        image = np.asarray(Image.open(file).convert("RGB"))
        pairs.append(
            tuple(
                clips.number_in(image[b["y"] : b["y"] + b["height"], b["x"] : b["x"] + b["width"]])
                for b in (boxes["before"], boxes["after"])
            )
        )
    return pairs


# Which frames belong together


def test_as_many_frames_belong_together_one_by_one():
    video(Path("a.mkv"), quarter(numbered(5))), video(Path("b.mkv"), numbered(5))
    data = compared("a.mkv", "b.mkv")
    assert data["frames"] == [0, 1, 2, 3, 4]
    assert pairs_of(Path("page.html")) == [(i, i) for i in range(5)]
    assert data["notices"] == []


def test_as_many_frames_of_something_else_are_doubted():
    moving = numbered(8)
    video(Path("a.mkv"), moving), video(Path("b.mkv"), 255 - moving)
    (notice,) = compared("a.mkv", "b.mkv")["notices"]
    assert notice.startswith("a.mkv and b.mkv differ by")
    assert notice.endswith("even as thumbnails: do they show the same frames?")


def test_at_another_rate_each_frame_stands_beside_the_one_shown_at_its_time():
    video(Path("a.mkv"), numbered(4), rate=10), video(Path("b.mkv"), numbered(8), rate=20)
    data = compared("a.mkv", "b.mkv")
    assert pairs_of(Path("page.html")) == [(i // 2, i) for i in range(8)]
    assert "a.mkv has 10 frames per second, b.mkv 20" in data["stderr"]


def test_as_many_frames_at_another_rate_go_by_number_with_a_note():
    video(Path("a.mkv"), numbered(4), rate=25), video(Path("b.mkv"), numbered(4), rate=30)
    data = compared("a.mkv", "b.mkv")
    assert pairs_of(Path("page.html")) == [(i, i) for i in range(4)]
    assert "paired by number" in data["stderr"]


def test_another_start_by_the_files_own_clocks_is_noted():
    video(Path("a.mkv"), numbered(4))
    video(Path("b.mkv"), numbered(4), times=[1400 + 40 * i for i in range(4)])
    assert "b.mkv starts 1.400 s after a.mkv" in compared("a.mkv", "b.mkv")["stderr"]


@pytest.mark.parametrize("missing", [0, 1, 9])
@pytest.mark.slow
def test_a_part_is_found_by_what_it_shows(missing):
    frames = moving(24)
    video(Path("a.mkv"), quarter(frames)), video(Path("b.mkv"), frames[missing : missing + 8])
    assert compared("a.mkv", "b.mkv")["frames"] == list(range(8))
    stacked = data_of(Path("page.html"), "pictures")["0"]
    Path("stacked.webp").write_bytes(base64.b64decode(stacked))
    shown = np.asarray(Image.open("stacked.webp").convert("RGB"))
    lr = data_of(Path("page.html"))["layout"]["boxes"]["lr"]
    part = shown[lr["y"] : lr["y"] + lr["height"], lr["x"] : lr["x"] + lr["width"]]
    assert (part == quarter(frames[missing : missing + 1])[0]).all()


@pytest.mark.slow
def test_where_the_first_video_is_the_part_only_what_both_show_is_shown():
    frames = moving(24)
    video(Path("a.mkv"), frames[6:13]), video(Path("b.mkv"), frames)
    data = compared("a.mkv", "b.mkv")
    assert data["frames"] == list(range(6, 13))
    assert "a.mkv starting 0.240 s into b.mkv" in data["stderr"]
    assert compared("a.mkv", "b.mkv", "--frames", "5")["frames"] == list(range(6, 11))


def test_videos_of_other_lengths_that_nothing_proves_are_refused():
    video(Path("a.mkv"), textured(9, 1)), video(Path("b.mkv"), textured(6, 2))
    assert "their contents do not match" in refusal("a.mkv", "b.mkv")


def test_a_folder_with_one_picture_beside_more_frames_is_refused():
    folder(Path("one"), numbered(1)), video(Path("b.mkv"), numbered(4))
    message = refusal("one", "b.mkv")
    assert "one has 1 frame " in message
    assert "as many pictures" in message


def test_a_folder_with_one_picture_goes_with_a_picture():
    folder(Path("one"), quarter(numbered(1, 192))), still(Path("b.png"), numbered(1, 192)[0])
    assert compared("one", "b.png")["frames"] == [0]


def test_a_part_of_before_that_the_caller_knows_is_taken():
    video(Path("a.mkv"), quarter(numbered(12))), video(Path("b.mkv"), numbered(3, first=5))
    write_page(Path("a.mkv"), Path("b.mkv"), Path("page.html"), PageOptions(part=range(5, 8)))
    assert pairs_of(Path("page.html")) == [(5, 5), (6, 6), (7, 7)]


# What is shown


@pytest.mark.slow
def test_start_end_and_frames_choose_the_part():
    video(Path("a.mkv"), numbered(20)), video(Path("b.mkv"), numbered(20))
    assert compared("a.mkv", "b.mkv", "--start", "0.2", "--end", "0.4")["frames"] == [5, 6, 7, 8, 9]
    data = compared("a.mkv", "b.mkv", "--start", "11f", "--frames", "3")
    assert data["frames"] == [11, 12, 13]
    assert data["begin"] == pytest.approx(0.44)
    assert pairs_of(Path("page.html")) == [(11, 11), (12, 12), (13, 13)]


@pytest.mark.parametrize(
    "options, words",
    [
        (["--start", "20f"], "has no frames from frame 20 on"),
        (["--start", "9:00"], "has no frames from 540.000 s on"),
        (["--start", "8f", "--end", "8f"], "from frame 8 to frame 8"),
        (["--start", "18f", "--frames", "3"], "has only 2 frames from frame 18 on"),
        (["--start", "soon"], "write a time"),
    ],
)
@pytest.mark.cases
def test_frames_beyond_the_end_are_refused(options, words):
    video(Path("a.mkv"), numbered(20)), video(Path("b.mkv"), numbered(20))
    assert words in refusal("a.mkv", "b.mkv", *options)


@pytest.mark.slow
def test_of_a_long_video_the_busiest_ten_seconds_are_shown():
    still_frames = [numbered(1, 48, 64)[0]] * 110
    busy = textured(22, 3, 48, 64)
    frames = [*still_frames[:80], *busy, *still_frames]
    video(Path("a.mkv"), frames, rate=2), video(Path("b.mkv"), frames, rate=2)
    data = compared("a.mkv", "b.mkv")
    assert data["frames"] == list(range(81, 101)) or data["frames"][0] in (80, 81, 82)
    assert len(data["frames"]) == 20
    assert "busiest 10 s" in data["stderr"]


def test_bicubic_is_what_restore_calls_bicubic():
    from vsrdb_cli.backends.builtin import bicubic
    from vsrdb_cli.video.pixels.colour import to_planes

    small = quarter(textured(1, 1))
    video(Path("a.mkv"), small), video(Path("b.mkv"), textured(1, 1))
    compared("a.mkv", "b.mkv")
    Path("stacked.webp").write_bytes(base64.b64decode(data_of(Path("page.html"), "pictures")["0"]))
    shown = np.asarray(Image.open("stacked.webp").convert("RGB"))[:HEIGHT, :WIDTH]
    wanted = to_planes(bicubic(torch.from_numpy(small).permute(0, 3, 1, 2) / 255, 4)[0], 8)
    assert (shown == wanted.permute(1, 2, 0).numpy()).all()


def test_a_turned_video_and_an_upright_one_go_together():
    turned = clips.make(
        Path("a.mp4"), frames=2, height=32, width=64,
        display_matrix=(0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30),
    )  # fmt: skip
    video(Path("b.mkv"), textured(2, 1, 128, 64), rate=25)
    data = compared(turned, "b.mkv")
    assert data["sizes"] == {"before": [32, 64], "after": [64, 128]}


# The page


@pytest.mark.slow
def test_the_stacked_video_has_every_number_and_lasts_as_long():
    frames = numbered(30)
    times = [40 * i + 13 * (i % 3) for i in range(30)]
    video(Path("a.mkv"), quarter(frames)), video(Path("b.mkv"), frames, times=times)
    data = compared("a.mkv", "b.mkv")
    page = Path("page.html").read_text()
    Path("page.mp4").write_bytes(
        base64.b64decode(re.search('id="mp4">(.*?)</script>', page, re.DOTALL)[1])
    )
    probed = subprocess.run(
        ["ffprobe", "-v", "error", "-show_entries", "frame=pts_time", "-of", "json", "page.mp4"],
        capture_output=True, check=True,
    )  # fmt: skip
    shown = [float(frame["pts_time"]) for frame in json.loads(probed.stdout)["frames"]]
    assert shown == pytest.approx(data["times"][:-1], abs=1e-3)
    assert np.diff(shown) == pytest.approx(np.diff(times) / 1000, abs=1e-3)
    boxes = data["layout"]["boxes"]
    after = boxes["after"]
    for number, image in enumerate(clips.read(Path("page.mp4")).images):
        part = image[: after["height"], after["x"] : after["x"] + after["width"]]
        assert clips.number_in(part) == number
    assert data["fidelity"] > 30


def test_the_strip_carries_any_number_whatever_the_size():
    for size in ((480, 848), (3, 2), (1, 1000)):
        layout = Layout.of(size, truth=True, lr=(1, 1))
        blank = torch.zeros(3, *size, dtype=torch.uint8)
        pictures = dict.fromkeys(("before", "after", "truth"), blank)
        pictures["lr"] = blank[:, :1, :1]
        for number in (0, 1, 12345, 65535):
            assert layout.number_in(layout.stack(pictures, number)) == number


def test_ten_seconds_of_720p_take_at_most_20_mb():
    from vsrdb_cli.comparison.compare import LOSSLESS_BYTES

    pictures = LOSSLESS_BYTES * 720 * 1280 * 4 / 3
    assert most_bytes((720, 1280), 10) + pictures < 20e6


@pytest.mark.slow
def test_the_video_keeps_to_its_rate_even_with_noise():
    size, seconds = (HEIGHT, WIDTH), 1e6
    noise = np.random.default_rng(0).integers(0, 256, (50, HEIGHT, WIDTH, 3), np.uint8)
    layout = Layout.of(size, truth=False, lr=None)
    with open_source(video(Path("a.mkv"), noise)) as source:
        frames = list(source.frames())
        with StackedVideo(Path("page.mp4"), layout, source.info, seconds) as stacked:
            for number, frame in enumerate(frames):
                pair = {"before": frame.rgb, "after": frames[-1 - number].rgb}
                stacked.write(layout.stack(pair, number), frame)
            data = stacked.finish().data
    assert 8 * len(data) < 2.5 * most_bits_per_second(size, seconds)


def test_the_page_needs_nothing_from_elsewhere():
    video(Path("a.mkv"), quarter(numbered(2))), video(Path("b.mkv"), numbered(2))
    compared("a.mkv", "b.mkv")
    page = Path("page.html").read_text()
    assert "default-src 'none'" in page
    assert re.findall(r"""(?:src|href)=["'](?!data:)|url\(|@import|import\(|fetch\(""", page) == []
    assert re.findall(r"https?://", page) == []
    assert "{{" not in page


def test_a_file_name_cannot_end_the_script():
    name = "<script>alert(1)<!--.mkv"
    video(Path(name), numbered(1)), video(Path("b.mkv"), numbered(1))
    data = compared(name, "b.mkv")
    assert data["names"]["before"] == name
    assert name not in Path("page.html").read_text()


def test_the_page_is_named_after_the_second_video():
    video(Path("a.mkv"), numbered(1)), video(Path("b.mkv"), numbered(1))
    result = run("a.mkv", "b.mkv")
    assert "b.html: 1 frame," in result.stderr
    assert Path("b.html").exists()


# What is refused


def test_a_page_that_cannot_be_written_is_refused_before_anything_is_read(tmp_path):
    Path("a.mkv").write_bytes(b"no video")
    assert "does not exist" in refusal("a.mkv", "a.mkv", page="nowhere/page.html")
    assert "unsupported page extension '.mp4'" in refusal("a.mkv", "a.mkv", page="page.mp4")
    assert "is the input itself" in _refused_input()
    Path("old.html").write_text("old")
    assert "--overwrite" in refusal("a.mkv", "a.mkv", page="old.html")
    assert Path("old.html").read_text() == "old"


def _refused_input() -> str:
    Path("input.html").write_text("no video")
    return refusal("input.html", "a.mkv", page="input.html")


@pytest.mark.parametrize(
    "before, after, words",
    [
        ((90, 160), (60, 160), "larger than"),
        ((96, 160), (90, 320), "larger than"),
        ((60, 160), (180, 320), "their aspect ratios differ"),
    ],
)
def test_sizes_that_do_not_belong_together_are_refused(before, after, words):
    video(Path("a.mkv"), numbered(2, *before)), video(Path("b.mkv"), numbered(2, *after))
    assert words in refusal("a.mkv", "b.mkv")


def test_an_input_smaller_by_no_whole_number_is_enlarged():
    video(Path("a.mkv"), numbered(2, 61, 107)), video(Path("b.mkv"), numbered(2, 90, 160))
    assert compared("a.mkv", "b.mkv")["sizes"]["before"] == [107, 61]


def test_a_truth_of_another_size_is_refused():
    video(Path("a.mkv"), numbered(2)), video(Path("t.mkv"), numbered(2, 90, 160))
    assert "t.mkv is 160x90, but a.mkv is 320x180" in refusal("a.mkv", "a.mkv", "t.mkv")


def hdr_and_sdr() -> tuple[Path, Path]:
    hdr = clips.make(
        Path("hdr.mp4"), codec="libx265", pix_fmt="yuv420p10le", matrix=9, transfer=16, frames=3,
        options={"crf": "8", "x265-params": "log-level=error:bframes=0"},
    )  # fmt: skip
    return hdr, clips.make(Path("sdr.mp4"), frames=3)


def test_hdr_against_sdr_is_refused():
    assert "hdr.mp4 is HDR video and sdr.mp4 is not" in refusal(*hdr_and_sdr())


@pytest.mark.slow
def test_hdr_is_compared_as_sdr_where_that_is_asked_for_and_beside_hdr():
    hdr, sdr = hdr_and_sdr()
    assert "converted to BT.709" in compared(hdr, sdr, "--hdr", "sdr")["stderr"]
    assert "converted to BT.709" in compared(hdr, hdr)["stderr"]


def test_a_stream_is_refused():
    assert "not stdin" in refusal("-", "-")


def test_a_video_too_large_for_phones_is_reported():
    a = video(Path("a.mkv"), np.zeros((9, 32, 32, 3), np.uint8))
    page = write_page(a, a, Path("page.html"), PageOptions(largest_on_phones=1))
    assert "phones may not" in page.notices[-1]
    assert page.fidelity == 100, "black comes through unchanged"


def test_a_page_too_long_for_a_browser_is_refused():
    a, b = video(Path("a.mkv"), numbered(20)), video(Path("b.mkv"), numbered(20))
    options = PageOptions(start=0, largest_page=1000)
    with pytest.raises(OptionError, match="too much for browsers"):
        write_page(a, b, Path("page.html"), options)


@contextmanager
def largest_file(count: int):
    """Let files grow to so many bytes only, as on a full disk."""
    import resource  # which Windows lacks

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (count, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.posix
def test_nothing_is_left_of_a_page_that_fails():
    video(Path("a.mkv"), numbered(2)), video(Path("b.mkv"), numbered(2))
    with largest_file(10_000):
        result = run("a.mkv", "b.mkv", "-o", "page.html")
    assert result.exit_code == 1
    assert "File too large" in result.stderr
    assert sorted(path.name for path in Path().iterdir()) == ["a.mkv", "b.mkv"]


def test_rates_in_messages_are_those_of_the_files():
    video(Path("a.mkv"), numbered(3), rate=Fraction(24000, 1001))
    video(Path("b.mkv"), numbered(3), rate=30)
    assert "23.976 frames per second" in compared("a.mkv", "b.mkv")["stderr"]
