"""How torch's threads on the CPU wait for one another: asleep, so that others can compute.

By default GNU OpenMP's threads wait by spinning, each on a core, for as long as other programs keep
the thread that they wait for from its core: beside one busy process on two cores the network took
ten times as long (`tests/benchmarks/busy.py`).
"""

from __future__ import annotations

import ctypes
import os
import threading
from functools import cache
from pathlib import Path

_MAPS = Path("/proc/self/maps")
# Whoever sets one of these has decided; `vsrdb_cli` itself does, where torch is not loaded yet.
_DECIDED = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")


@cache
def wait_asleep() -> None:
    """Have the threads of GNU OpenMP sleep, though it is loaded already; of others, do nothing.

    It reads the environment only when it is loaded, but spins a thousandth as long once it manages
    more threads than there are cores. So a thread that does nothing gets a team of its own, which
    sleeps until the program ends.
    """
    library = None if any(name in os.environ for name in _DECIDED) else _gnu_openmp()
    if library is None:
        return
    free = ctypes.cast(ctypes.CDLL(None).free, ctypes.c_void_p)  # does nothing with NULL
    team = ctypes.c_uint(len(os.sched_getaffinity(0)) + 1)
    begun = threading.Event()

    def park() -> None:
        library.GOMP_parallel(free, None, team, ctypes.c_uint(0))
        begun.set()
        threading.Event().wait()

    threading.Thread(target=park, name="vsrdb-parked", daemon=True).start()
    begun.wait()


def _gnu_openmp() -> ctypes.CDLL | None:
    """The library that is loaded, if it is; torch brings its own."""
    if not _MAPS.is_file():
        return None
    paths = (line.split()[-1] for line in _MAPS.read_text().splitlines() if "libgomp" in line)
    path = next(paths, None)
    return None if path is None else ctypes.CDLL(path)
