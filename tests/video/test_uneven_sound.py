"""Sound with holes, late beginnings, early ends and uneven times lies where the source has it."""

from random import Random

import clicks
import pytest

from vsrdb_cli.options import RestoreOptions
from vsrdb_cli.restore import restore_video

# What becomes of the time of a packet in milliseconds, given what is random: None drops it.
UNEVEN = {
    "a hole": lambda time, _: None if 1050 < time < 1600 else time,
    "many holes": lambda time, _: None if time // 100 % 3 == 1 else time,
    "a late beginning": lambda time, _: None if time < 800 else time,
    "an early end": lambda time, _: None if time > 2000 else time,
    "an early beginning": lambda time, _: time - 300,
    "uneven times": lambda time, random: time + random.randint(-6, 6),
}


def uneven(path, codec, change):
    """A Matroska file whose packets of sound are changed; their times still rise."""
    source = clicks.make(path.with_name("even.mkv"), "-c:a", codec, seconds=3)
    random, last = Random(0), -1000

    def changed(packet):
        nonlocal last
        time = change(packet.pts, random)
        if time is None:
            return None
        packet.pts = packet.dts = last = max(last, time)
        return packet

    return clicks.change_sound(source, path, changed)


@pytest.mark.parametrize("codec", ["aac", "libvorbis", "alac", "pcm_s16le"])
@pytest.mark.parametrize("change", UNEVEN.values(), ids=UNEVEN)
@pytest.mark.cases
def test_it_does_in_every_container(tmp_path, codec, change):
    source = uneven(tmp_path / "in.mkv", codec, change)
    for suffix in (".mkv", ".mp4", ".mov", ".webm"):
        out = tmp_path / f"out{suffix}"
        restore_video(source, out, RestoreOptions(weights="nearest", scale=1))
        assert clicks.heard(out) == pytest.approx(clicks.heard(source), abs=0.045), suffix
