"""What is opened is what was named: no list of other files, no numbered pictures, no address."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from av.error import FFmpegError
from pictures_made import WILD
from PIL import Image

from vsrdb_cli.errors import VideoError
from vsrdb_cli.options import RestoreOptions
from vsrdb_cli.restore import restore_video
from vsrdb_cli.video.containers.opening import AS_NAMED, open_input

LISTS = {
    "concat": "ffconcat version 1.0\nfile other.mp4\n",
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:1,\nother.mp4\n#EXT-X-ENDLIST\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n",
    "vobsub": "# VobSub index file, v7\n",
}
# That open other files or addresses, though not all builds of FFmpeg have them.
NAMING = {
    *("concat", "hls", "dash", "imf", "sdp", "rtp", "rtsp", "sap", "webm_dash_manifest", "mlv"),
    *("vobsub", "svg_pipe", "image2pipe", "avisynth", "vapoursynth", "lavfi", "tedcaptions"),
}


@pytest.mark.parametrize("kind", LISTS)
def test_a_list_of_other_files_is_refused_whatever_its_name(tmp_path, capfd, kind):
    source = tmp_path / ("in.m3u8" if kind == "hls" else "in.mp4")
    source.write_text(LISTS[kind])
    with pytest.raises(VideoError, match=rf"its format \({kind}\) can refer to other files"):
        restore_video(source, tmp_path / "out.mkv", RestoreOptions(weights="nearest"))
    assert capfd.readouterr() == ("", "")


def test_no_kind_of_file_that_names_others_is_opened():
    assert not NAMING & set(AS_NAMED["format_whitelist"].split(","))
    assert AS_NAMED["protocol_whitelist"] == "file"


@pytest.mark.parametrize("name", ["frame%03d.png", "frame%03d.jpg", "frame*.png"])
def test_signs_in_a_name_stand_for_no_other_pictures(tmp_path, name):
    suffix = Path(name).suffix
    for number in range(3):
        Image.new("RGB", (16, 16), "red").save(tmp_path / f"frame{number:03}{suffix}")
    Image.new("RGB", (16, 16), "blue").save(tmp_path / name)
    target = tmp_path / "out.png"
    restore_video(tmp_path / name, target, RestoreOptions(weights="nearest"))
    red, _, blue = np.asarray(Image.open(target))[8, 8]
    assert red < 5 < 250 < blue


def test_every_ordinary_kind_of_file_opens():
    kinds = set()
    for path in sorted(WILD.iterdir()):
        try:
            with av.open(f"file:{path}", metadata_errors="replace") as container:
                kind = container.format.name
        except FFmpegError:
            continue
        with open_input(path) as container:
            assert container.format.name == kind
        kinds.add(kind)
    assert len(kinds) > 8


def test_a_picture_that_is_a_program_is_not_run(tmp_path, monkeypatch):
    folder = tmp_path / "in"
    folder.mkdir()
    # Pillow has Ghostscript read PostScript, where there is one.
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *_, **__: pytest.fail("is run"))
    program = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n%%EOF\n"
    (folder / "0.png").write_bytes(program)
    with pytest.raises(VideoError):
        restore_video(folder, tmp_path / "out", RestoreOptions(weights="nearest"))
