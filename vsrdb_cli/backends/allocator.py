"""The C library's allocator, told to keep what the network frees."""

from __future__ import annotations

import ctypes

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
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, _LARGEST_INT)
