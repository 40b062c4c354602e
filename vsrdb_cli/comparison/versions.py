"""Open the versions to compare and check them against each other."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch.nn.functional as F

from vsrdb_cli.backends.builtin import bicubic
from vsrdb_cli.comparison.stacked_layout import Size
from vsrdb_cli.errors import VideoError, VsrdbError
from vsrdb_cli.option_values import FrameNumber
from vsrdb_cli.options import Hdr
from vsrdb_cli.video.frame import SeekableSource
from vsrdb_cli.video.info import Kind
from vsrdb_cli.video.pixels.colour import to_float, to_planes
from vsrdb_cli.video.pixels.telecine import FRAMES_OF_FILM, has_telecined_rate
from vsrdb_cli.video.reading.film_search import FilmSearch, as_film
from vsrdb_cli.video.reading.open import open_source
from vsrdb_cli.video.reading.trim import trim
from vsrdb_cli.video.reading.video_reader import VideoReader
from vsrdb_cli.video.side_data.orientation import upright, upright_size

if TYPE_CHECKING:
    from torch import Tensor

    from vsrdb_cli.video.pixels.telecine import Film

# Rounding of a shrunk input's sides may change its shape by this much.
ROUNDING_PIXELS = 1


@dataclass(frozen=True, slots=True)
class Version:
    """One of the videos or folders compared."""

    source: SeekableSource

    @property
    def name(self) -> str:
        """File name, for messages."""
        path = self.source.info.path
        return path.name or path.absolute().name

    @property
    def size(self) -> Size:
        """(height, width) as players rotate it, before the pixel shape is applied."""
        info = self.source.info
        return upright_size(info.height, info.width, info.orientation)

    @property
    def aspect(self) -> float:
        """Width over height as players show it."""
        info = self.source.info
        shape = float(info.sample_aspect_ratio or 1)
        is_turned = self.size != (info.height, info.width)
        return self.size[1] / self.size[0] * (1 / shape if is_turned else shape)

    @property
    def timed(self) -> bool:
        """True for a video; pictures have no times of their own."""
        return self.source.info.kind is Kind.VIDEO

    @property
    def hdr(self) -> bool:
        """True if it is HDR, which is read as SDR."""
        return self.source.info.converted_from is not None

    def upright(self, rgb: Tensor) -> Tensor:
        """Turn (3, H, W) codes of a frame as players do."""
        return upright(rgb, self.source.info.orientation)

    def notices(self) -> list[str]:
        """Return problems with the source, one line each; complete after reading."""
        info, report = self.source.info, self.source.report
        return [f"{self.name}: {line}" for line in (*info.notices, *report.damage)]


def open_versions(
    paths: Mapping[str, Path],
    stack: ExitStack,
    *,
    part: range | None,
    film: Film | None,
    hdr: Hdr,
) -> tuple[dict[str, Version], list[str]]:
    """Open all versions.

    Args:
        paths: by the names "before", "after" and, optionally, "truth".
        stack: closes them.
        part: the frames of "before" to compare, if not all.
        film: where the frames of film lie in "before", if known.
        hdr: `Hdr.SDR` allows comparing HDR with SDR.

    Returns:
        The versions, and notices, one line each.

    Raises:
        VideoError: one cannot be read, or one is HDR, another is not and `hdr` is not `Hdr.SDR`.
    """
    # Pages are shown on SDR screens, so HDR is always converted.
    sources = {
        name: stack.enter_context(open_source(path, hdr=Hdr.SDR)) for name, path in paths.items()
    }
    before, after = (sources[name].info.rate for name in ("before", "after"))
    if film is not None:
        info = as_film(sources["before"].info, film)
        sources["before"] = stack.enter_context(VideoReader(info))
    elif has_telecined_rate(before) and has_telecined_rate(after / FRAMES_OF_FILM):
        # Perhaps the frames of film in it were restored.
        with suppress(VsrdbError):
            sources["before"] = stack.enter_context(
                open_source(paths["before"], hdr=Hdr.SDR, film_search=FilmSearch(wanted=True))
            )
    versions = {}
    for name, source in sources.items():
        wanted = source
        if part is not None and name == "before":
            wanted = trim(source, start=FrameNumber(part.start), end=FrameNumber(part.stop))
        assert isinstance(wanted, SeekableSource)
        versions[name] = Version(wanted)
    bright = [version.name for version in versions.values() if version.hdr]
    if not bright:
        return versions, []
    if len(bright) < len(versions) and hdr is not Hdr.SDR:
        dark = next(version.name for version in versions.values() if not version.hdr)
        raise VideoError(
            f"{bright[0]} is HDR video and {dark} is not: their colours cannot be compared",
            hint="add --hdr sdr to convert HDR to BT.709 first, as `vsrdb restore --hdr sdr` does",
        )
    return versions, [f"{name}: HDR is shown converted to BT.709" for name in bright]


def check_versions(versions: Mapping[str, Version]) -> Size | None:
    """Return the (height, width) of "before" if it has to be enlarged, else None.

    Raises:
        VideoError: the sizes do not match.
    """
    before, after = versions["before"], versions["after"]
    truth = versions.get("truth")
    if truth is not None and truth.size != after.size:
        raise VideoError(
            f"{truth.name} is {_size(truth.size)}, but {after.name} is {_size(after.size)}",
            hint=f"give a ground truth of {_size(after.size)}",
        )
    if before.size == after.size:
        return None
    (height, width), (after_height, after_width) = before.size, after.size
    if height > after_height or width > after_width:
        raise VideoError(
            f"{before.name} is {_size(before.size)}, larger than {after.name}, {_size(after.size)}",
            hint=f"name the smaller one first: vsrdb compare '{after.name}' '{before.name}'",
        )
    # The height that goes with this width, give or take a pixel of the smaller one.
    wanted = after_width * height / width
    if abs(after_height - wanted) > ROUNDING_PIXELS * after_width / width:
        raise VideoError(
            f"{before.name} is {_size(before.size)} and {after.name} {_size(after.size)}:"
            " their aspect ratios differ",
            hint="crop both to the same part of the picture",
        )
    return before.size


def enlarged(rgb: Tensor, size: Size) -> Tensor:
    """Enlarge (3, h, w) codes to (3, *size) 8-bit codes, by `vsrdb_cli.backends.builtin.bicubic`.

    A size that is no whole multiple takes the same kernel.
    """
    picture = to_float(rgb)[None]
    scale = size[0] // rgb.shape[1]
    if size == (scale * rgb.shape[1], scale * rgb.shape[2]):
        return to_planes(bicubic(picture, scale)[0], 8)
    return to_planes(F.interpolate(picture, size=size, mode="bicubic", antialias=True)[0], 8)


def _size(size: Size) -> str:
    return f"{size[1]}x{size[0]}"
