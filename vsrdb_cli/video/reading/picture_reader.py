"""Pictures in: a folder of them as a video, or a single one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Self

from vsrdb_cli.errors import VideoError
from vsrdb_cli.text import count
from vsrdb_cli.video.containers.demuxing import main_video
from vsrdb_cli.video.containers.opening import open_input
from vsrdb_cli.video.frame import Frame, ReadReport
from vsrdb_cli.video.info import Kind, VideoInfo
from vsrdb_cli.video.pictures.decoding import Picture, damaged
from vsrdb_cli.video.pictures.formats import SUFFIXES, picture_files, visible_files
from vsrdb_cli.video.pictures.metadata import PictureColour
from vsrdb_cli.video.pictures.picture_file import PictureFile, look_at, state_of
from vsrdb_cli.video.pixels.colour import PC, SMPTE170M
from vsrdb_cli.video.pixels.pixel_formats import Transparency, bit_depth
from vsrdb_cli.video.pixels.to_rgb import NO_CROP, ToRgb
from vsrdb_cli.video.reading.probe import probe

USUAL_RATE = Fraction(24)
_OPAQUE = "transparency (alpha) is dropped: the pictures become opaque"


class PictureReader:
    """Pictures of one size as frames, `rate` a second; `Frame.pts` is the picture's index.

    Attributes:
        files: of all pictures, also those outside the wanted part.
    """

    def __init__(
        self, info: VideoInfo, files: list[Path], looked: Mapping[Path, PictureFile] | None = None
    ) -> None:
        self.info = info
        self.report = ReadReport()
        self.files = files
        self._looked = looked or {}

    @classmethod
    def of_folder(cls, folder: Path, rate: Fraction | None) -> Self:
        """All pictures of a folder, in natural order of their names.

        Raises:
            VideoError: there are none, numbers are missing, or sizes differ.
        """
        files = picture_files(folder)
        if not files:
            raise VideoError(
                f"the folder {folder} holds no pictures ({', '.join(SUFFIXES)})",
                hint="give a video file, or a folder of such pictures",
            )
        _check_names(files)
        _check_numbers(files)
        looked = [look_at(file) for file in files]
        pairs = list(zip(files, looked, strict=True))
        info = _info(folder, Kind.PICTURES, files, rate or USUAL_RATE, looked[0])
        if rate is None:
            assumed = (
                f"the pictures are taken to be {USUAL_RATE} frames a second; vsrdb restore has"
                " --fps for another rate"
            )
            info = replace(info, assumed=(assumed,))
        info = replace(
            info,
            bit_depth=_check_sizes(pairs, info),
            notices=(*info.notices, *_left_out(pairs)),
        )
        described = sum(bool(file.metadata) for file in looked)
        if described:
            notice = f"metadata (EXIF, XMP, text) of {count(described, 'picture')} left out"
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
        )

    @classmethod
    def of_still(cls, path: Path, rate: Fraction | None) -> Self:
        """One picture file, as a video of one frame."""
        file = look_at(path)
        info = _info(path, Kind.STILL, [path], rate or USUAL_RATE, file)
        return cls(replace(info, notices=(*info.notices, *_left_out([(path, file)]))), [path])

    def with_info(self, info: VideoInfo) -> Self:
        """A reader of the same pictures with another part wanted."""
        return type(self)(info, self.files, self._looked)

    def times(self) -> Iterator[int]:
        """The `pts` of all pictures."""
        return iter(range(len(self.files)))

    def sizes(self) -> list[tuple[Fraction, int]]:
        """When each picture is shown, in seconds, and the bytes of its file."""
        time_base = self.info.time_base
        return [(i * time_base, file.stat().st_size) for i, file in enumerate(self.files)]

    def frames(self, first: int = 0, last: int | None = None) -> Iterator[Frame]:
        """The pictures with index `first` <= i < `last`; see `FrameSource`."""
        self.report = ReadReport()
        before, cut = self.info.frames_before, self.info.cut
        if last is None and cut is not None:
            last = cut.count
        colour = self.info.converted_from or self.info.colour
        # What does not say its range is full, as JPEG and TIFF are: also where it is grey.
        colour = replace(colour, range=PC, matrix=SMPTE170M)
        to_sdr = self.info.converted_from is not None
        # Of no codec: pictures have their chroma in the middle, unless they say otherwise.
        to_rgb = ToRgb("", colour, self.info.bit_depth, to_sdr=to_sdr)
        transparency = Transparency()
        end = None if last is None else last + before
        for index, path in islice(enumerate(self.files, -before), first + before, end):
            # Looking decodes the whole picture: of one that has not changed, once.
            looked = self._looked.get(path)
            if looked is None or looked.state != state_of(path):
                looked = look_at(path)
            picture = Picture(path, looked)
            if not self.info.transparent:
                self.report.opaque_again += picture.is_transparent(transparency)
            rgb = picture.rgb(to_rgb, self.info.bit_depth)
            if tuple(rgb.shape[1:]) != (self.info.height, self.info.width):
                raise _other_size(path, rgb.shape[2], rgb.shape[1], self.info)
            yield Frame(rgb, index, 1)
            self.report.frames = max(0, index + 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


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
    """What the files hold beside the pictures that are restored, one line each."""
    others = [(path, file.others) for path, file in files if file.others]
    if others:
        where = others[0][0].name if len(others) == 1 else f"{len(others)} of the files"
        number = count(sum(n for _, n in others), "further picture")
        yield f"{number} in {where} left out: only the first of a file is restored"
    auxiliary = sum(file.heif.auxiliary for _, file in files if file.heif)
    if auxiliary:
        yield f"{count(auxiliary, 'map')} of depth or brightness beside the pictures left out"
    lost = sorted({file.lost for _, file in files if file.lost})
    if lost:
        yield f"the colour profile {', '.join(lost)} is not applied: colours may look different"
    first = files[0][1].colour
    others_said = {file.colour for _, file in files if file.colour != first}
    same = {said for said in others_said if first.is_srgb and said.is_srgb}
    odd = sum(file.colour != first and file.colour not in same for _, file in files)
    if odd:
        yield (
            f"{count(odd, 'picture')} with another colour profile than the first one taken to"
            " have its profile"
        )


def _check_names(files: list[Path]) -> None:
    """Outputs have the pictures' names with another ending, and two of one name would be one."""
    by_stem: dict[str, Path] = {}
    for file in files:
        before = by_stem.setdefault(file.stem, file)
        if before is not file:
            raise VideoError(
                f"two pictures have one name: {before.name} and {file.name}",
                hint="keep one of them",
            )


def _check_numbers(files: list[Path]) -> None:
    """Where all names end in numbers, none may be missing: a gap would become a jump."""
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
    """Compare what the headers say; how a picture is held shows only when it is decoded.

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
                raise damaged(path, "its size cannot be read")
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
