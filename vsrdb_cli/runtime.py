"""The process that vsrdb runs in: left as it is, unless its owner asks for more speed.

As a library vsrdb changes no setting of its process. Its command and its workers, whose process is
their own, call `configure_runtime`; other programs may.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

# glibc's mallopt(3).
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4
_M_ARENA_MAX = -8
_LARGEST_INT = 2**31 - 1

_MAPS = Path("/proc/self/maps")
# Setting one of these is a decision, which stands.
_WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
_configured = threading.Event()


def configure_runtime() -> None:
    """Let vsrdb tune this process for speed, as the `vsrdb` command does.

    Call it first, before torch is imported. It affects the whole process, until its end:

    - `OMP_WAIT_POLICY=PASSIVE` enters the environment. If torch is loaded already, a parked thread
      has the same effect.
    - Once a runner computes on the CPU, the C library (glibc) keeps the memory that is freed.
    - While `bicubic` enlarges a picture, torch uses one thread.
    - For a user without a home, Triton's cache is a temporary folder.
    """
    _configured.set()
    # Threads that wait by spinning take the cores from whatever else runs on them. Read when torch
    # is loaded; `tune_cpu` takes care of a torch that is loaded already.
    if "torch" not in sys.modules:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def is_configured() -> bool:
    """Return whether `configure_runtime` was called."""
    return _configured.is_set()


def tune_cpu() -> None:
    """Tune a configured process for a network on the CPU; leave any other as it is."""
    if is_configured():
        keep_freed_memory()
        _wait_asleep()


@contextmanager
def environment(**defaults: str) -> Iterator[None]:
    """Set variables of the environment that are not set, and remove them at the end."""
    added = {name: value for name, value in defaults.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


def keep_freed_memory() -> None:
    """Take large tensors from the heap and never shrink it; elsewhere than on glibc, do nothing.

    By default every tensor of more than 32 MiB is mapped again and given back after use, and the
    kernel clears it page by page: a third of the time of restoring 320x180 with the paper's model.
    One heap serves all threads, since only the first can hold blocks of any size. The process then
    holds the peak of what it used until it ends.
    """
    mallopt = _glibc("mallopt")
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, _LARGEST_INT)


def kept_bytes() -> int:
    """Count the bytes freed but kept: taken for the system, usable for this process."""
    mallinfo2 = _glibc("mallinfo2")
    if mallinfo2 is None:
        return 0
    mallinfo2.restype = _MallInfo
    return int(mallinfo2().fordblks)


def _glibc(name: str) -> Any:
    """Return a function of the C library; None where that is another one."""
    try:
        return getattr(ctypes.CDLL(None), name, None)
    except (OSError, TypeError):  # Windows has none by that name
        return None


class _MallInfo(ctypes.Structure):
    """glibc's struct mallinfo2, mallinfo(3)."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    )


@cache
def _wait_asleep() -> None:
    """Make the threads of GNU OpenMP sleep while they wait, though it is loaded already.

    By default they spin, each on a core, for as long as other programs keep the thread that they
    wait for from its core: beside one busy process on two cores the network took ten times as long
    (`tests/benchmarks/busy.py`). OpenMP reads the environment only when it is loaded, but spins a
    thousandth as long once it manages more threads than there are cores. So a thread that does
    nothing gets a pool of its own, which sleeps until the program ends.
    """
    library = None if any(name in os.environ for name in _WAITING) else _gnu_openmp()
    free = _glibc("free")  # does nothing with NULL
    if library is None or free is None:
        return
    work = ctypes.cast(free, ctypes.c_void_p)
    threads = ctypes.c_uint(len(os.sched_getaffinity(0)) + 1)
    begun = threading.Event()

    def park() -> None:
        library.GOMP_parallel(work, None, threads, ctypes.c_uint(0))
        begun.set()
        threading.Event().wait()

    threading.Thread(target=park, name="vsrdb-parked", daemon=True).start()
    begun.wait()


def _gnu_openmp() -> ctypes.CDLL | None:
    """Return the library if it is loaded; torch brings its own."""
    if not _MAPS.is_file():
        return None
    paths = (line.split()[-1] for line in _MAPS.read_text().splitlines() if "libgomp" in line)
    path = next(paths, None)
    return None if path is None else ctypes.CDLL(path)
