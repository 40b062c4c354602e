"""Recognize errors after which a GPU cannot be used by this process."""

from __future__ import annotations

# cudaGetErrorString of the errors after which "the process must be terminated and relaunched"
# (CUDA Runtime API, cudaError_t); HIP's are worded alike. The last is Level Zero's.
_FATAL = (
    "illegal memory access",
    "misaligned address",
    "illegal instruction",
    "global/shared address space",
    "invalid program counter",
    "device-side assert",
    "unspecified launch failure",
    "launch timed out",
    "hardware stack error",
    "uncorrectable ecc error",
    "uncorrectable nvlink error",
    "context is destroyed",
    "error_device_lost",
)


def is_dead_context(error: BaseException) -> bool:
    """Return whether nothing more can be computed on a GPU in this process."""
    words = str(error).lower()
    return isinstance(error, RuntimeError) and any(phrase in words for phrase in _FATAL)
