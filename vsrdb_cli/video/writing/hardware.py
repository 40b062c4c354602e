"""Encoders in GPUs: what each accepts, and whether it works on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any

import av
from av import logging as av_logging
from av.error import FFmpegError

from vsrdb_cli.video.containers.ffmpeg_log import listening
from vsrdb_cli.video.containers.opening import reason
from vsrdb_cli.video.writing.encoders import Encoder

_TRIED_FRAMES = 3
_QP2LAMBDA = 118  # FFmpeg's global_quality counts in such parts of a quantiser

_NVENC = Encoder(
    "",
    ("yuv420p", "p010le"),
    crf=19,
    crf_options=("cq",),
    preset="p5",
    presets=tuple(f"p{p}" for p in range(1, 8)),
    smallest=(64, 160),
    largest=(8192, 8192),
    fixed={"rc": "vbr", "b": "0"},
)
# Constant quality by Intel's own measure (ICQ), which is chosen by global_quality without a rate.
_QSV = Encoder(
    "",
    ("nv12", "p010le"),
    crf=20,
    crf_options=("global_quality",),
    crf_range=(1, 51),
    preset="medium",
    presets=("veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow"),
)
# Constant quantisers: only newer GPUs have a constant quality.
_AMF = Encoder(
    "",
    ("nv12", "p010le"),
    crf=20,
    crf_options=("qp_i", "qp_p"),
    preset="quality",
    preset_option="quality",
    presets=("speed", "balanced", "quality"),
    fixed={"usage": "transcoding", "rc": "cqp"},
)
# Quality from 1 to 100, the best; refused on Macs with Intel processors.
_VIDEOTOOLBOX = Encoder(
    "",
    ("nv12", "p010le"),
    crf=20,
    crf_options=("global_quality",),
    crf_value=lambda crf: _QP2LAMBDA * (100 - round(crf * 99 / 51)),
    fixed={"flags": "+qscale", "a53cc": "0"},
)

# By the value of --hardware, and the codec; "auto" tries them in this order.
HARDWARE: Mapping[str, Mapping[str, Encoder]] = {
    "nvenc": {
        "h264": replace(
            _NVENC,
            name="h264_nvenc",
            pix_fmts=("yuv420p", "yuv420p"),
            largest=(4096, 4096),
            captions=True,
        ),
        "hevc": replace(_NVENC, name="hevc_nvenc", captions=True),
        "av1": replace(_NVENC, name="av1_nvenc"),
    },
    "qsv": {
        "h264": replace(_QSV, name="h264_qsv", pix_fmts=("nv12", "nv12"), captions=True),
        "hevc": replace(_QSV, name="hevc_qsv"),
        "av1": replace(_QSV, name="av1_qsv"),
    },
    "amf": {
        "h264": replace(
            _AMF,
            name="h264_amf",
            pix_fmts=("nv12", "nv12"),
            crf_options=("qp_i", "qp_p", "qp_b"),
        ),
        "hevc": replace(_AMF, name="hevc_amf"),
        "av1": replace(
            _AMF,
            name="av1_amf",
            crf_options=("qp_i", "qp_p", "qp_b"),
            crf_range=(0, 63),
            crf_value=lambda crf: 4 * crf,  # it counts to 255
        ),
    },
    "videotoolbox": {
        "h264": replace(_VIDEOTOOLBOX, name="h264_videotoolbox", pix_fmts=("nv12", "nv12")),
        "hevc": replace(_VIDEOTOOLBOX, name="hevc_videotoolbox"),
    },
}


def pixel_formats(encoder: Encoder) -> list[str]:
    """Return the names of the pixel formats an encoder takes."""
    return [f.name for f in av.Codec(encoder.name, "w").video_formats or []]


def why_unavailable(
    encoder: Encoder, pix_fmt: str | None = None, height: int = 256, width: int = 256
) -> str | None:
    """Encode three grey frames; return why that does not work on this machine, or None."""
    try:
        known = pixel_formats(encoder)
    except ValueError:
        return "this FFmpeg was built without it"
    pix_fmt = pix_fmt or encoder.pix_fmts[0]
    if pix_fmt not in known:
        return f"it has no pixel format '{pix_fmt}', but {', '.join(known)}"
    context: Any = av.CodecContext.create(encoder.name, "w")
    context.width, context.height = width, height
    context.pix_fmt = pix_fmt
    context.time_base = Fraction(1, 25)
    context.framerate = Fraction(25)
    context.options = encoder.settings()
    packets: list[Any] = []
    refused = None
    with listening(av_logging.ERROR) as log:
        try:
            context.open()
            frame = av.VideoFrame(width, height, pix_fmt)
            for plane in frame.planes:
                plane.update(bytes([128]) * plane.buffer_size)
            for pts in range(_TRIED_FRAMES):
                frame.pts = pts
                packets += context.encode(frame)
            packets += context.encode(None)
        except (FFmpegError, ValueError) as error:
            refused = reason(error) if isinstance(error, FFmpegError) else str(error)
    if refused:
        return log[0][2].strip().rstrip(".") if log else refused
    if len(packets) != _TRIED_FRAMES:
        return f"of {_TRIED_FRAMES} frames it encoded {len(packets)}"
    return None
