"""Spoilt copies of small videos through `restore_video`: no traceback, no hang, no leftover file.

    python tests/fuzz.py FOLDER SECONDS [FIRST_SEED]

FOLDER holds clips. Each case runs in another process, which is watched; a case is its seed, so a
fault found once can be looked at again. Prints the faults and what came of how many cases.
"""

from __future__ import annotations

import hashlib
import queue
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from pathlib import Path
from random import Random

import av

from vsrdb_cli.errors import VsrdbError
from vsrdb_cli.jobs.run import work_folder
from vsrdb_cli.options import RestoreOptions
from vsrdb_cli.restore import restore_video

PATIENCE_SECONDS = 60
# Of a clip: larger ones take too long.
LARGEST_BYTES, LARGEST_PIXELS = 200_000, 1_000_000
TARGETS = ("out.mp4", "out.mkv", "out.mov", "out.webm", "pictures")


def spoil(data: bytes, random: Random) -> bytes:
    """A copy with some bytes changed, cut out, doubled, or with an end that is missing."""
    spoilt = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 4, 16, 64))):
        if not spoilt:
            break
        place = random.randrange(len(spoilt))
        # Headers are small, and where most can go wrong.
        if random.random() < 0.4:
            place = random.choice((place % 512, max(0, len(spoilt) - 1 - place % 2048)))
            place = min(place, len(spoilt) - 1)
        length = random.choice((1, 1, 4, 8, 100, 1000))
        match random.randrange(10):
            case 0:
                del spoilt[place:]
            case 1:
                del spoilt[place : place + length]
            case 2:
                spoilt[place:place] = spoilt[place : place + length]
            case 3:
                spoilt[place : place + length] = random.randbytes(length)
            case 4:
                spoilt[place : place + 4] = random.choice(
                    (bytes(4), b"\xff" * 4, b"\x7f\xff\xff\xff")
                )
            case _:
                spoilt[place] = random.randrange(256)
    return bytes(spoilt)


def case(clips: list[Path], seed: int, folder: Path) -> str:
    """Run one; returns what came of it.

    Raises:
        AssertionError: the source was changed, or something is left behind.
        Exception: any that is not for the user.
    """
    random = Random(seed)
    clip = random.choice(clips)
    source = folder / f"in{clip.suffix}"
    source.write_bytes(spoil(clip.read_bytes(), random))
    before = hashlib.sha256(source.read_bytes()).digest()
    output = folder / "output"
    output.mkdir()
    target = output / random.choice(TARGETS)
    options = RestoreOptions(
        weights="nearest",
        scale=random.choice((1, 2)),
        segment_seconds=random.choice((10.0, 10.0, 0.2)),
        strict=random.random() < 0.2,
        start=random.choice((None, None, None, 3)),
    )
    try:
        restore_video(source, target, options)
        outcome, allowed = "restored", {target.name}
    except VsrdbError as error:
        words = f"{error}{error.hint or ''}"
        assert "\n" not in words, f"more than a line: {words!r}"
        assert "please report" not in words, words
        outcome = "damage is an error under --strict" if target.exists() else "refused"
        # Segments that are finished stay, as after any run that was stopped.
        allowed = {target.name} if target.exists() else {work_folder(target).name}
        assert options.segment_seconds < 10 or not work_folder(target).exists()
    left = {path.name for path in output.iterdir()} - allowed
    assert not left, f"left behind: {left}"
    assert hashlib.sha256(source.read_bytes()).digest() == before, "the source was changed"
    return outcome


def _child(clips: list[Path], seed: int) -> None:
    while True:
        print(f"seed {seed}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            try:
                print(case(clips, seed, Path(folder)), flush=True)
            except Exception:
                print(f"FAULT {seed}: {traceback.format_exc()!r}", flush=True)
        seed += 1


def _watch(folder: Path, seconds: float, seed: int) -> Counter[str]:
    """Run children until the time is over, a new one after each that dies or hangs."""
    outcomes, end = Counter[str](), time.monotonic() + seconds
    while time.monotonic() < end:
        command = [sys.executable, __file__, "--child", str(folder), str(seed)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        lines: queue.Queue[str | None] = queue.Queue()
        assert child.stdout is not None

        def read(stream=child.stdout, lines=lines):
            for line in stream:
                lines.put(line.rstrip())
            lines.put(None)

        threading.Thread(target=read, daemon=True).start()
        while time.monotonic() < end:
            try:
                line = lines.get(timeout=PATIENCE_SECONDS)
            except queue.Empty:
                line = "FAULT: it hangs"
            if line is None or line == "FAULT: it hangs":
                print(f"seed {seed}: {line or f'died ({child.wait()})'}", flush=True)
                outcomes["FAULT"] += 1
                seed += 1
                break
            if line.startswith("seed "):
                seed = int(line.split()[1])
                continue
            if line.startswith("FAULT"):
                print(line, flush=True)
            outcomes[line.split()[0] if line.startswith("FAULT") else line] += 1
        child.kill()
        child.wait()
    return outcomes


def small_clips(folder: Path) -> list[Path]:
    """The files of a folder that are worth spoiling, in order of their names."""
    files = (path for path in sorted(folder.iterdir()) if path.is_file())
    small = [path for path in files if 0 < path.stat().st_size < LARGEST_BYTES]
    return [path for path in small if _pixels(path) < LARGEST_PIXELS]


def _pixels(path: Path) -> int:
    try:
        with av.open(f"file:{path}") as container:
            return max((s.width * s.height for s in container.streams.video), default=0)
    except av.error.FFmpegError:
        return 0


def main() -> None:
    if sys.argv[1] == "--child":
        _child(small_clips(Path(sys.argv[2])), int(sys.argv[3]))
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 0
    outcomes = _watch(Path(sys.argv[1]), float(sys.argv[2]), seed)
    print(dict(outcomes))
    sys.exit(bool(outcomes["FAULT"]))


if __name__ == "__main__":
    main()
