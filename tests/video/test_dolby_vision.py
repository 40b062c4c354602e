"""Dolby Vision: only where its base layer is a picture by itself."""

from pathlib import Path

import av
import pytest

from vsrdb_cli.errors import VideoError
from vsrdb_cli.options import Hdr
from vsrdb_cli.video.reading.open import open_source

WILD = Path(__file__).parents[1] / "wild"


def record(profile, compatibility):
    """Version 1.0, level 1, with metadata and base layer, without an enhancement layer."""
    bits = profile << 9 | 1 << 3 | 0b101
    return bytes([1, 0]) + bits.to_bytes(2, "big") + bytes([compatibility << 4])


def of_profile(path, profile, compatibility):
    data = bytearray((WILD / "dolby_vision_5.mp4").read_bytes())
    place = data.index(b"dvcC") + 4
    data[place : place + 5] = record(profile, compatibility)
    path.write_bytes(data)
    return path


def in_matroska(source, target):
    with av.open(str(source)) as container, av.open(str(target), "w") as output:
        stream = output.add_stream_from_template(container.streams.video[0], opaque=True)
        for packet in container.demux(video=0):
            if packet.size:
                packet.stream = stream
                output.mux(packet)
    return target


@pytest.mark.parametrize("profile, compatibility", [(5, 0), (8, 0), (10, 0)])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_what_only_dolby_vision_can_show_is_refused(tmp_path, profile, compatibility, suffix):
    path = of_profile(tmp_path / "in.mp4", profile, compatibility)
    if suffix == ".mkv":
        path = in_matroska(path, tmp_path / "in.mkv")
    for hdr in Hdr:
        with pytest.raises(VideoError, match=f"is Dolby Vision profile {profile}:") as caught:
            open_source(path, hdr=hdr)
        assert "libplacebo" in caught.value.hint


@pytest.mark.parametrize("profile, compatibility", [
    (4, 2), (7, 6), (7, 0), (8, 1), (8, 2), (8, 4), (9, 2), (10, 1), (10, 4),
])  # fmt: skip
def test_an_hdr10_hlg_or_sdr_base_layer_is_restored_and_the_rest_named(
    tmp_path, profile, compatibility
):
    with open_source(of_profile(tmp_path / "in.mp4", profile, compatibility)) as reader:
        assert "Dolby Vision metadata is dropped" in reader.info.notices[0]
        assert len(list(reader.frames())) == 10
