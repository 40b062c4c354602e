"""FFmpeg's own reading of an encoder's options, by the library that PyAV brings.

Encoders that need a GPU open nowhere else, but their tables of options are in the library.
"""

import ctypes
from functools import cache
from pathlib import Path

import av

_SEARCH_CHILDREN = 1  # AV_OPT_SEARCH_CHILDREN


class NotShippedError(Exception):
    """PyAV uses libraries of the system, which are not looked for."""


@cache
def _library(name):
    found = list(Path(av.__file__).parents[1].glob(f"av.libs/lib{name}-*"))
    if not found:
        raise NotShippedError(name)
    return ctypes.CDLL(str(found[0]))


def refused(encoder, options):
    """Return those of `options` that an encoder has no such option or value for.

    Raises:
        NotShippedError: see there.
    """
    codecs, utilities = _library("avcodec"), _library("avutil")
    codecs.avcodec_find_encoder_by_name.restype = ctypes.c_void_p
    codecs.avcodec_alloc_context3.restype = ctypes.c_void_p
    found = codecs.avcodec_find_encoder_by_name(encoder.encode())
    assert found, f"FFmpeg has no {encoder}"
    context = ctypes.c_void_p(codecs.avcodec_alloc_context3(ctypes.c_void_p(found)))
    refusals = [
        name
        for name, value in options.items()
        if utilities.av_opt_set(context, name.encode(), value.encode(), _SEARCH_CHILDREN) < 0
    ]
    codecs.avcodec_free_context(ctypes.byref(context))
    return refusals
