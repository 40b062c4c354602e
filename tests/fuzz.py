"""Spoilt copies of small videos through `restore_video`: no traceback, hang or leftover file.

    python tests/fuzz.py FOLDER SECONDS [FIRST_SEED]

FOLDER holds clips and pictures. Cases run in another process, which is watched, also for its
memory. A case is its seed, so a fault found once can be looked at again: in even ones bytes are
spoilt, in odd ones parts of the container. Prints the faults and what came of how many cases.
"""

from __future__ import annotations

import faulthandler
import hashlib
import queue
import signal
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
from spoiling import spoil_bytes, spoil_parts

from vsrdb_cli.errors import VsrdbError
from vsrdb_cli.jobs.run import work_folder
from vsrdb_cli.options import RestoreOptions
from vsrdb_cli.restore import restore_video

PATIENCE_SECONDS = 60
MOST_MEMORY = 2 << 30  # what a case, and the network, may take
BYTES_A_PIXEL = 400  # on top of it: a spoilt header may ask for 4K, which is restored
# Of a clip: larger ones take too long.
LARGEST_BYTES, LARGEST_PIXELS = 200_000, 1_000_000
SPOIL = {"bytes": spoil_bytes, "parts": spoil_parts}
TARGETS = ("out.mp4", "out.mkv", "out.mov", "out.webm", "pictures")


def way(seed: int) -> str:
    """What a case spoils."""
    return "parts" if seed % 2 else "bytes"


def case(clips: list[Path], seed: int, folder: Path) -> str:
    """Run one; returns what came of it.

    Raises:
        AssertionError: the source was changed, or something is left behind.
        Exception: any that is not for the user.
    """
    random = Random(seed)
    clip = random.choice(clips)
    source = folder / f"in{clip.suffix}"
    source.write_bytes(SPOIL[way(seed)](clip.read_bytes(), random))
    before = hashlib.sha256(source.read_bytes()).digest()
    output = folder / "output"
    output.mkdir()
    target = output / random.choice(TARGETS)
    options = RestoreOptions(
        weights="nearest",
        scale=random.choice((1, 2)),
        segment_seconds=random.choice((10.0, 10.0, 0.2)),
        strict=random.random() < 0.2,
        start=random.choice((None, None, None, "3f")),
    )
    try:
        restore_video(source, target, options)
        outcome, allowed = "restored", {target.name}
    except VsrdbError as error:
        words = f"{error}{error.hint or ''}"
        assert "\n" not in words, f"more than a line: {words!r}"
        assert "please report" not in words, words
        outcome = "damage is an error under --strict" if target.exists() else "refused"
        # A plan stays, and segments that are finished, as after any run that was stopped.
        kept = work_folder(target)
        allowed = {target.name} if target.exists() else {kept.name}
        assert not kept.exists() or (kept / "journal.json").exists()
    left = {path.name for path in output.iterdir()} - allowed
    assert not left, f"left behind: {left}"
    assert hashlib.sha256(source.read_bytes()).digest() == before, "the source was changed"
    return outcome


def _child(clips: list[Path], seed: int) -> None:
    import resource  # here: Windows lacks it

    faulthandler.register(signal.SIGUSR1)  # a hang shows where
    allowed = MOST_MEMORY
    while True:
        print(f"seed {seed}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            try:
                print(case(clips, seed, Path(folder)), flush=True)
            except Exception:
                print(f"FAULT {seed}: {traceback.format_exc()!r}", flush=True)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
            if peak > allowed:
                pixels = max(map(_pixels, Path(folder).glob("in.*")))
                allowed = max(allowed, MOST_MEMORY + BYTES_A_PIXEL * pixels)
        if peak > allowed:
            print(f"FAULT {seed}: {peak >> 20} MiB", flush=True)
            return
        seed += 1


def _watch(folder: Path, seconds: float, seed: int) -> Counter[str]:
    """Run children until the time is over, a new one after each that ends or hangs."""
    outcomes, end = Counter[str](), time.monotonic() + seconds
    faulty = -1
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
                child.send_signal(signal.SIGUSR1)
                time.sleep(1)
            if line is None or line == "FAULT: it hangs":
                if faulty != seed:
                    print(f"FAULT {seed}: {line or f'died ({child.wait()})'}", flush=True)
                    outcomes[f"{way(seed)}: FAULT"] += 1
                seed += 1
                break
            if line.startswith("seed "):
                seed = int(line.split()[1])
                continue
            if line.startswith("FAULT"):
                print(line, flush=True)
                faulty, line = seed, "FAULT"
            outcomes[f"{way(seed)}: {line}"] += 1
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
        with av.open(f"file:{path}", metadata_errors="replace") as container:
            known = [s.codec_context for s in container.streams.video if s.codec_context]
            return max((context.width * context.height for context in known), default=0)
    except av.error.FFmpegError:
        return 0


def main() -> None:
    if sys.argv[1] == "--child":
        _child(small_clips(Path(sys.argv[2])), int(sys.argv[3]))
        return
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 0
    outcomes = _watch(Path(sys.argv[1]), float(sys.argv[2]), seed)
    print(dict(outcomes))
    sys.exit(any("FAULT" in outcome for outcome in outcomes))


if __name__ == "__main__":
    main()
