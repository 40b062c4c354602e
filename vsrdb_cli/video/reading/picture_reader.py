"""Read pictures: a folder of them as a video, or a single one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Self

from vsrdb_cli.errors import VideoError
from vsrdb_cli.text import count
from vsrdb_cli.video.containers.demuxing import main_video
from vsrdb_cli.video.containers.opening import open_input
from vsrdb_cli.video.filtering.filtering import FrameFilter, Pictures
from vsrdb_cli.video.frame import Frame, ReadReport
from vsrdb_cli.video.info import Kind, VideoInfo
from vsrdb_cli.video.pictures.decoding import Picture, damage_error
from vsrdb_cli.video.pictures.formats import SUFFIXES, picture_files, visible_files
from vsrdb_cli.video.pictures.metadata import PictureColour
from vsrdb_cli.video.pictures.picture_file import PictureFile, file_state, inspect_picture
from vsrdb_cli.video.pixels.colour import PC, SMPTE170M, Colour
from vsrdb_cli.video.pixels.from_rgb import FromRgb
from vsrdb_cli.video.pixels.pixel_formats import Transparency, bit_depth
from vsrdb_cli.video.pixels.to_rgb import NO_CROP, ToRgb
from vsrdb_cli.video.reading.probe import probe
from vsrdb_cli.video.side_data.orientation import Orientation, upright

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from torch import Tensor

USUAL_RATE = Fraction(24)
Inspect = Callable[[Path], PictureFile]
_OPAQUE = "transparency (alpha) is dropped: the pictures become opaque"


class PictureReader:
    """Reads pictures of one size as frames at a rate; `Frame.pts` is the picture's index.

    Attributes:
        files: of all pictures, also those outside the wanted part.
    """

    def __init__(
        self,
        info: VideoInfo,
        files: list[Path],
        inspected: Mapping[Path, PictureFile] | None = None,
        inspect: Inspect = inspect_picture,
    ) -> None:
        self.info = info
        self.report = ReadReport()
        self.files = files
        self._inspected = inspected or {}
        self._inspect = inspect

    @classmethod
    def of_folder(
        cls, folder: Path, rate: Fraction | None, inspect: Inspect = inspect_picture
    ) -> Self:
        """Open all pictures of a folder, in natural order of their names.

        Raises:
            VideoError: there are none, numbers are missing, or sizes differ.
        """
        files = picture_files(folder)
        if not files:
            raise VideoError(
                f"the folder {folder} contains no pictures ({', '.join(SUFFIXES)})",
                hint="give a video file, or a folder of such pictures",
            )
        _check_names(files)
        _check_numbers(files)
        inspected = [inspect(file) for file in files]
        pairs = list(zip(files, inspected, strict=True))
        info = _info(folder, Kind.PICTURES, files, rate or USUAL_RATE, inspected[0])
        if rate is None:
            assumed = (
                f"{USUAL_RATE} frames per second are assumed for the pictures; vsrdb restore --fps"
                " sets another rate"
            )
            info = replace(info, assumed=(assumed,))
        info = replace(
            info,
            bit_depth=_check_sizes(pairs, info),
            notices=(*info.notices, *_left_out(pairs)),
        )
        described = sum(bool(file.metadata) for file in inspected)
        if described:
            notice = f"metadata (EXIF, XMP, text) of {count(described, 'picture')} dropped"
            info = replace(info, notices=(*info.notices, notice))
        left = len(visible_files(folder)) - len(files)
        if left:
            others = f"{left} other files" if left > 1 else "one other file"
            notice = f"{others} in {folder} skipped"
            info = replace(info, notices=(*info.notices, notice))
        kept: dict[PictureColour, PictureColour] = {}  # each profile once
        return cls(
            info,
            files,
            {
                path: replace(file, metadata=b"", colour=kept.setdefault(file.colour, file.colour))
                for path, file in pairs
            },
            inspect,
        )

    @classmethod
    def of_still(cls, path: Path, rate: Fraction | None) -> Self:
        """Open one picture file, as a video of one frame."""
        file = inspect_picture(path)
        info = _info(path, Kind.STILL, [path], rate or USUAL_RATE, file)
        return cls(replace(info, notices=(*info.notices, *_left_out([(path, file)]))), [path])

    def with_info(self, info: VideoInfo) -> Self:
        """Return a reader of the same pictures with another part wanted."""
        return type(self)(info, self.files, self._inspected, self._inspect)

    def times(self) -> Iterator[int]:
        """Yield the `pts` of all pictures."""
        return iter(range(len(self.files)))

    def sizes(self) -> list[tuple[Fraction, int]]:
        """Return when each picture is shown, in seconds, and the bytes of its file."""
        time_base = self.info.time_base
        return [(i * time_base, file.stat().st_size) for i, file in enumerate(self.files)]

    def frames(self, first: int = 0, last: int | None = None) -> Iterator[Frame]:
        """Yield the pictures with index `first` <= i < `last`; see `FrameSource`."""
        self.report = ReadReport()
        before, cut, lead_in = self.info.frames_before, self.info.cut, self.info.lead_in
        if last is None and cut is not None:
            last = cut.count
        begin = max(0, first + before - lead_in)
        end = len(self.files) if last is None else min(len(self.files), last + before + lead_in)
        files = islice(enumerate(self.files, -before), begin, end)
        read = self._rgb if self.info.prefilter is None else self._filtered
        for index, rgb in read(self._pictures(files)):
            if index < first or (last is not None and index >= last):
                continue
            if tuple(rgb.shape[1:]) != (self.info.height, self.info.width):
                path = self.files[index + before]
                raise _other_size(path, rgb.shape[2], rgb.shape[1], self.info)
            yield Frame(rgb, index, 1)
            self.report.frames = max(0, index + 1)

    def pictures_given(self) -> tuple[Pictures, Orientation | None]:
        """Return what a prefilter is given, and how it is turned afterwards."""
        pictures = self._pictures(islice(enumerate(self.files), 1))
        _, frame, orientation = next(self._unfiltered(pictures))
        colour = _colour(self.info)
        given = Pictures(frame.width, frame.height, frame.format.name, colour, None)
        return given, orientation

    def _pictures(self, files: Iterable[tuple[int, Path]]) -> Iterator[tuple[int, Picture]]:
        transparency = Transparency()
        for index, path in files:
            # Inspection decodes the whole picture: once, unless it has changed.
            inspected = self._inspected.get(path)
            if inspected is None or inspected.state != file_state(path):
                inspected = self._inspect(path)
            picture = Picture(path, inspected)
            if not self.info.transparent:
                self.report.opaque_again += picture.is_transparent(transparency)
            yield index, picture

    def _rgb(self, pictures: Iterable[tuple[int, Picture]]) -> Iterator[tuple[int, Tensor]]:
        to_rgb = self._to_rgb(_colour(self.info))
        for index, picture in pictures:
            yield index, picture.rgb(to_rgb, self.info.bit_depth)

    def _filtered(self, pictures: Iterable[tuple[int, Picture]]) -> Iterator[tuple[int, Tensor]]:
        """Yield pictures as the prefilter leaves them."""
        prefilter = self.info.prefilter
        assert prefilter is not None
        to_rgb = self._to_rgb(prefilter.gives.colour)
        filters: FrameFilter[tuple[int, Orientation | None]] = FrameFilter(prefilter)

        def passed() -> Iterator[tuple[VideoFrame, tuple[int, Orientation | None]]]:
            for index, frame, orientation in self._unfiltered(pictures):
                yield from filters.push(frame, index, (index, orientation))
            yield from filters.flush()

        for frame, (index, orientation) in passed():
            yield index, upright(to_rgb(frame), orientation).contiguous()

    def _unfiltered(
        self, pictures: Iterable[tuple[int, Picture]]
    ) -> Iterator[tuple[int, VideoFrame, Orientation | None]]:
        """Yield pictures for the prefilter, and how each is turned afterwards."""
        info = self.info.unfiltered or self.info
        depth = info.bit_depth
        to_rgb = self._to_rgb(_colour(info), depth)
        from_rgb = FromRgb("gbrp" if depth == 8 else "gbrp16le", info.colour)
        for index, picture in pictures:
            if picture.frame is not None:
                yield index, picture.frame, picture.orientation
            else:
                yield index, from_rgb(picture.rgb(to_rgb, depth)), None

    def _to_rgb(self, colour: Colour, depth: int | None = None) -> ToRgb:
        # No codec: pictures have their chroma in the middle, unless tagged otherwise.
        to_sdr = self.info.converted_from is not None
        return ToRgb("", colour, depth or self.info.bit_depth, to_sdr=to_sdr)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...


def _colour(info: VideoInfo) -> Colour:
    """Return the colour of untagged pictures: full range, as JPEG and TIFF are, also grey ones."""
    return replace(info.converted_from or info.colour, range=PC, matrix=SMPTE170M)


def _info(
    path: Path, kind: Kind, files: list[Path], rate: Fraction, file: PictureFile
) -> VideoInfo:
    first = probe(files[0])
    picture = Picture(files[0], file)
    height, width = picture.size
    transparent = picture.is_transparent(Transparency())
    return replace(
        first,
        path=path,
        kind=kind,
        height=height,
        width=width,
        orientation=None,
        crop=NO_CROP,
        frame_count=len(files),
        rate=rate,
        time_base=1 / rate,
        usual_seconds=None,
        coarse_time_base=None,
        start_seconds=Fraction(0),
        duration_seconds=float(len(files) / rate),
        end_seconds=None,
        promised_seconds=None,
        colour=picture.colour,
        sample_aspect_ratio=None,
        interlaced=False,
        transparent=transparent,
        streams=(),
        pictures=tuple(file.name for file in files),
        picture_colour=file.colour,
        picture_metadata=file.metadata if kind is Kind.STILL else b"",
        notices=(_OPAQUE,) if transparent else (),
        assumed=(),
    )


def _left_out(files: list[tuple[Path, PictureFile]]) -> Iterator[str]:
    """Yield what the files hold beside the pictures that are restored, one line each."""
    others = [(path, file.others) for path, file in files if file.others]
    if others:
        where = others[0][0].name if len(others) == 1 else f"{len(others)} of the files"
        number = count(sum(n for _, n in others), "more picture")
        yield f"{number} in {where} skipped: only the first of a file is restored"
    auxiliary = sum(file.heif.auxiliary for _, file in files if file.heif)
    if auxiliary:
        yield f"{count(auxiliary, 'depth or gain map')} dropped"
    lost = sorted({file.lost for _, file in files if file.lost})
    if lost:
        yield f"the colour profile {', '.join(lost)} is not applied: colours may look different"
    first = files[0][1].colour
    others_said = {file.colour for _, file in files if file.colour != first}
    same = {said for said in others_said if first.is_srgb and said.is_srgb}
    odd = sum(file.colour != first and file.colour not in same for _, file in files)
    if odd:
        yield (
            f"{count(odd, 'picture')} with another colour profile than the first are"
            " treated like the first"
        )


def _check_names(files: list[Path]) -> None:
    """Check that no two pictures have one name but for the ending, which outputs replace."""
    by_stem: dict[str, Path] = {}
    for file in files:
        before = by_stem.setdefault(file.stem, file)
        if before is not file:
            raise VideoError(
                f"two pictures have the same name: {before.name} and {file.name}",
                hint="keep one of them",
            )


def _check_numbers(files: list[Path]) -> None:
    """Check that no number is missing if all names end in numbers."""
    matches = [re.fullmatch(r"(.*?)(\d+)", file.stem) for file in files]
    if not all(matches) or len({m[1] for m in matches if m}) > 1:
        return
    numbers = [int(m[2]) for m in matches if m]
    for before, after, file in zip(numbers, numbers[1:], files[1:], strict=False):
        if after == before:
            raise VideoError(
                f"two pictures have the number {after}: {file.name} is one of them",
                hint="keep one of them",
            )
        if after != before + 1:
            raise VideoError(
                f"pictures are missing: after number {before} comes {file.name}",
                hint="add the missing pictures, or renumber the rest without a gap",
            )


def _check_sizes(files: list[tuple[Path, PictureFile]], info: VideoInfo) -> int:
    """Compare the sizes in the headers; a turned picture shows only when it is decoded.

    Returns:
        Bits of the deepest: 8 or 16.
    """
    deepest = info.bit_depth
    for path, file in files:
        with open_input(path) as container:
            stream = main_video(container, path)
            heif = file.heif
            size = (heif.width, heif.height) if heif else (stream.width, stream.height)
            if 0 in size:
                raise damage_error(path, "its size cannot be read")
            if size not in ((info.width, info.height), (info.height, info.width)):
                raise _other_size(path, *size, info)
            if stream.format is not None and bit_depth(stream.format) > 8:
                deepest = 16
    return deepest


def _other_size(file: Path, width: int, height: int, info: VideoInfo) -> VideoError:
    return VideoError(
        f"{file} is {width}x{height}, but the first picture is {info.width}x{info.height}",
        hint="resize all pictures in the folder to one size",
    )
