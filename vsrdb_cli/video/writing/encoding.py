"""Choose the encoder and its settings from the user's options, and check them before the work."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import av

from vsrdb_cli.errors import OptionError, OutputError
from vsrdb_cli.options import EncoderOptions
from vsrdb_cli.video.containers.capabilities import CONTAINERS, suffixes_for
from vsrdb_cli.video.pixels.pixel_formats import bit_depth, code_depth
from vsrdb_cli.video.writing.encoders import ENCODERS, Encoder
from vsrdb_cli.video.writing.hardware import HARDWARE, pixel_formats, why_unavailable

if TYPE_CHECKING:
    from vsrdb_cli.video.info import VideoInfo
    from vsrdb_cli.video.side_data.hdr import Light

# Takes an encoder, a pixel format, height and width; returns None if it encodes such pictures.
WhyNot = Callable[[Encoder, str, int, int], str | None]


@dataclass(frozen=True, slots=True)
class Encoding:
    """Options completed and checked against each other, the container and the picture size."""

    codec: str
    encoder: Encoder
    pix_fmt: str
    settings: Mapping[str, str]
    threads: int
    height: int
    width: int
    asked: tuple[str, ...] = ()
    """The names among `settings` that the user gave."""
    notices: tuple[str, ...] = ()

    @property
    def captions(self) -> bool:
        """True if closed captions of the source are written."""
        return self.encoder.captions and self.settings.get("a53cc") != "0"

    @property
    def bit_depth(self) -> int:
        """Bit depth of the frames to write: 8 or 16."""
        return code_depth(av.VideoFormat(self.pix_fmt))


def choose_encoding(
    options: EncoderOptions,
    suffix: str,
    info: VideoInfo,
    height: int,
    width: int,
    *,
    why_not: WhyNot = why_unavailable,
) -> Encoding:
    """Choose the encoder for an output of `height` x `width` in a container.

    Args:
        why_not: tries a GPU's encoder.

    Raises:
        OptionError: options that do not fit each other or the container.
        OutputError: the picture is larger or smaller than the encoder takes.
    """
    check_no_files(options.extra)
    codec = options.codec or _usual_codec(suffix, info)
    if codec not in CONTAINERS[suffix].video:
        fitting = CONTAINERS[suffix].video
        raise OptionError(
            f"{suffix} files cannot hold {codec} video",
            hint=f"name the output {' or '.join(f'*{s}' for s in suffixes_for(codec))},"
            f" or choose --codec {' or '.join(fitting)}",
        )
    encoder = _on_hardware(codec, options, info, height, width, why_not=why_not)
    _check_size(codec, encoder, height, width)
    pix_fmt = _pix_fmt(encoder, options, info)
    _check_pix_fmt(encoder, pix_fmt)
    _check_chroma(codec, encoder, pix_fmt, height, width)
    depth, had = bit_depth(av.VideoFormat(pix_fmt)), info.colour_bits
    if info.colour.hdr and depth == 8:
        raise OptionError(
            f"HDR video needs 10 bits per colour; {codec} {pix_fmt} has 8",
            hint="choose --codec hevc or av1 and omit --pix-fmt, or add --hdr sdr",
        )
    notices = []
    if info.bit_depth > 8 and depth < had:
        notices.append(
            f"the source has {had} bits per colour, {codec} {pix_fmt} has {depth}:"
            " values are rounded"
        )
    settings = _settings(codec, encoder, options, pix_fmt)
    if info.light:
        params = _light_params(encoder.name, info.light)
        if params is None:
            keeps = "--codec hevc, av1 or h264"
            if _light_params(ENCODERS[codec].name, info.light):
                keeps = "encoding on the CPU (--hardware none)"
            notices.append(
                f"HDR mastering metadata is dropped: {encoder.name} cannot write it;"
                f" {keeps} keeps it"
            )
        else:
            _append(settings, *params)
    if encoder.name == "libx264" and info.view.x264_params():
        _append(settings, "x264-params", ":".join(info.view.x264_params()))
    encoding = Encoding(
        codec,
        encoder,
        pix_fmt,
        settings,
        options.threads,
        height,
        width,
        tuple(options.extra),
        tuple(notices),
    )
    if info.captions and not encoding.captions:
        return replace(encoding, notices=(*notices, captions_notice(encoding)))
    return encoding


def captions_notice(encoding: Encoding) -> str:
    """Describe that closed captions are lost, and what would keep them."""
    if encoding.encoder.captions:
        return "closed captions are dropped: a53cc=0 was given"
    return (
        f"closed captions are dropped: {encoding.encoder.name} cannot write them; --codec h264"
        " or hevc keeps them"
    )


def _append(settings: dict[str, str], name: str, value: str) -> None:
    """Add to an option that is a list of an encoder's own parameters."""
    settings[name] = f"{settings[name]}:{value}" if name in settings else value


def _usual_codec(suffix: str, info: VideoInfo) -> str:
    """Return a container's default codec; players expect HDR as HEVC, not as H.264."""
    codec = CONTAINERS[suffix].video[0]
    return "hevc" if codec == "h264" and info.colour.hdr else codec


def _on_hardware(
    codec: str,
    options: EncoderOptions,
    info: VideoInfo,
    height: int,
    width: int,
    *,
    why_not: WhyNot,
) -> Encoder:
    """Return the encoder of a codec: a GPU's where it is wanted and encodes such pictures.

    Raises:
        OptionError: the one named does not.
        OutputError: it takes no pictures of this size.
    """
    hardware = options.hardware
    if hardware == "none":
        return ENCODERS[codec]
    if hardware == "auto":
        for encoders in HARDWARE.values():
            encoder = encoders.get(codec)
            if (
                encoder is not None
                and options.preset in (None, *encoder.presets)
                and not why_not(encoder, _pix_fmt(encoder, options, info), height, width)
            ):
                return encoder
        return ENCODERS[codec]
    if codec not in HARDWARE[hardware]:
        raise OptionError(
            f"{hardware} does not encode {codec}",
            hint=f"choose --codec {' or '.join(HARDWARE[hardware])}",
        )
    encoder = HARDWARE[hardware][codec]
    _check_size(codec, encoder, height, width)
    words = why_not(encoder, _pix_fmt(encoder, options, info), height, width)
    if words is None:
        return encoder
    raise OptionError(
        f"{encoder.name} is not available here: {words}; tried with three frames of"
        f" {width}x{height}",
        hint="omit --hardware to encode on the CPU, or let --hardware auto choose",
    )


def _pix_fmt(encoder: Encoder, options: EncoderOptions, info: VideoInfo) -> str:
    return options.pix_fmt or encoder.pix_fmts[0 if info.bit_depth == 8 else 1]


def usual_encoder(options: EncoderOptions, suffix: str, info: VideoInfo) -> tuple[Encoder, str]:
    """Return the encoder on the CPU for an output, and its pixel format.

    Raises:
        OptionError: it has no such format.
    """
    encoder = ENCODERS[options.codec or _usual_codec(suffix, info)]
    pix_fmt = _pix_fmt(encoder, options, info)
    if options.hardware == "none":
        _check_pix_fmt(encoder, pix_fmt)
    return encoder, pix_fmt


def _light_params(encoder: str, light: Light) -> tuple[str, str] | None:
    """Return the option and value that give an encoder HDR metadata."""
    if encoder == "libx265":
        params = light.x26x_params(mastering="master-display", content="max-cll")
        return "x265-params", ":".join(["hdr10=1", "repeat-headers=1", *params])
    if encoder == "libx264":
        params = light.x26x_params(mastering="mastering-display", content="cll")
        return "x264-params", ":".join(params)
    if encoder == "libsvtav1":
        return "svtav1-params", ":".join(light.svtav1_params())
    return None


def _check_size(codec: str, encoder: Encoder, height: int, width: int) -> None:
    largest, smallest = encoder.largest, encoder.smallest
    if height > largest[0] or width > largest[1]:
        raise OutputError(
            f"the output would be {width}x{height}, but {codec} allows at most"
            f" {largest[1]}x{largest[0]}",
            hint="choose a smaller --scale, or scale the input down first",
        )
    if height < smallest[0] or width < smallest[1]:
        raise OutputError(
            f"the output would be {width}x{height}, but {codec} needs at least"
            f" {smallest[1]}x{smallest[0]}",
            hint="choose --codec ffv1 and a .mkv output",
        )


def _check_pix_fmt(encoder: Encoder, pix_fmt: str) -> None:
    known = pixel_formats(encoder)
    if pix_fmt not in known:
        raise OptionError(
            f"{encoder.name} has no pixel format '{pix_fmt}'",
            hint=f"choose one of: {', '.join(known)}",
        )


def _check_chroma(codec: str, encoder: Encoder, pix_fmt: str, height: int, width: int) -> None:
    chroma = av.VideoFormat(pix_fmt)
    cut = chroma.chroma_height(2) == 1 and height % 2, chroma.chroma_width(2) == 1 and width % 2
    if encoder.whole_chroma and any(cut):
        raise OutputError(
            f"the output would be {width}x{height}, but {codec} in {pix_fmt} needs even sizes",
            hint="choose --scale 4 or 2, --pix-fmt yuv444p, or --codec av1",
        )


def _settings(
    codec: str, encoder: Encoder, options: EncoderOptions, pix_fmt: str
) -> dict[str, str]:
    crf = encoder.crf if options.crf is None else options.crf
    if options.crf is not None and encoder.crf is None:
        raise OptionError(f"{codec} does not support --crf", hint="omit --crf")
    if crf is not None:
        low, high = encoder.crf_range
        if not low <= crf <= high:
            raise OptionError(
                f"--crf {crf} is outside the range of {codec}", hint=f"choose {low} to {high}"
            )
    if options.preset is not None and options.preset not in encoder.presets:
        raise OptionError(
            f"{codec} has no preset '{options.preset}'",
            hint=f"choose one of: {', '.join(encoder.presets)}"
            if encoder.presets
            else "omit --preset",
        )
    preset = options.preset
    if encoder.name == "libsvtav1" and preset is None and "10" in pix_fmt and crf and crf < 18:
        preset = "7"  # preset 8 falls to 33 dB there
    settings = encoder.settings(options.crf, preset)
    for name, value in options.extra.items():
        joined = name in settings and name.endswith("-params")
        settings[name] = f"{settings[name]}:{value}" if joined else value
    return settings


# libx264's, libx265's and FFmpeg's; the others that vsrdb calls have none. The passes are among
# them: each leaves its statistics in the current folder. In small letters, with "-" for "_".
_NAMES = {
    *("stats", "passlogfile", "pass", "multi-pass-opt-analysis", "multi-pass-opt-distortion"),
    *("dump-yuv", "qpfile", "cqmfile", "opencl", "opencl-clbin", "tcfile-in", "tcfile-out"),
    *("csv", "csv-log-level", "recon", "output", "nalu-file", "nalufile", "zonefile"),
    *("analysis-save", "analysis-load", "analysis-reuse-file", "analysis-reuse-mode"),
    *("lambda-file", "dhdr10-info", "dolby-vision-rpu", "aom-film-grain", "abr-ladder"),
}
# A file unless it is one of these.
_UNLESS = {"scaling-list": r"off|default|0|1", "film-grain": r"\d+"}


def check_no_files(extra: Mapping[str, str]) -> None:
    """Check that an encoder's options name no files.

    Raises:
        OptionError: an option does, by itself or within a list such as `x264-params`.
    """
    for option, value in extra.items():
        for name, given in _named_settings(option, value):
            allowed = _UNLESS.get(name)
            is_file = name in _NAMES or (allowed and not re.fullmatch(allowed, given))
            if is_file or (name == "flags" and re.search(r"pass[12]", given)):
                raise OptionError(
                    f"--encoder-option {option}: '{name}' makes the encoder read or write files",
                    hint="omit it; the encoder exchanges frames with vsrdb only",
                )


def _named_settings(option: str, value: str) -> Iterator[tuple[str, str]]:
    """Yield an option and those in its list, as an encoder reads them: unescaped."""
    yield _plain(option), _plain(value)
    for part in re.split(r"[:,;\s]", re.sub(r"[\\'\"]", "", value)):
        name, _, given = part.partition("=")
        yield _plain(name), _plain(given)


def _plain(text: str) -> str:
    return re.sub(r"[\\'\"\s]", "", text).lower().replace("_", "-").lstrip("-")
