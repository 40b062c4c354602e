"""The C library's allocator, told to keep what the network frees."""

from __future__ import annotations

import ctypes
from typing import Any

# glibc's mallopt(3).
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4
_M_ARENA_MAX = -8
_LARGEST_INT = 2**31 - 1


def keep_freed_memory() -> None:
    """Take large tensors from the heap and never shrink it; elsewhere than on glibc, do nothing.

    By default every tensor of more than 32 MiB is mapped anew and given back after use, and the
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
    """What was freed and kept: the system counts it as taken, but the process can use it again."""
    mallinfo2 = _glibc("mallinfo2")
    if mallinfo2 is None:
        return 0
    mallinfo2.restype = _MallInfo
    return int(mallinfo2().fordblks)


def _glibc(name: str) -> Any:
    """A function of the C library; None where that is another one."""
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
