"""Pictures in and out: a folder of PNG or JPEG files as a video, or a single one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import av
from av.error import FFmpegError

from vsrdb_cli.errors import OutputError, VideoError
from vsrdb_cli.files import (
    check_file,
    check_folder,
    check_space,
    put_in_place,
    remove,
    temporary_beside,
    writing,
)
from vsrdb_cli.video.colour import BT709, TV, Colour
from vsrdb_cli.video.container import main_video, open_input, reason
from vsrdb_cli.video.conversion import FromRgb, ToRgb
from vsrdb_cli.video.frame import Frame
from vsrdb_cli.video.info import Kind, ReadReport, VideoInfo
from vsrdb_cli.video.orientation import orientation_of, upright, upright_size
from vsrdb_cli.video.probe import probe

if TYPE_CHECKING:
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame

SUFFIXES = (".png", ".jpg", ".jpeg")
# FFmpeg would otherwise take a % in a name for a number.
_LITERAL_NAME = {"pattern_type": "none"}
# Pictures are sRGB whatever they were stored as; a video made of them is plain BT.709.
_PICTURE_COLOUR = Colour(BT709, TV, 1, 1)
_OPAQUE = "transparency (alpha) is left out: the pictures become opaque"
_BITS_PER_PIXEL = {8: 4.0, 16: 8.0}  # of a PNG, a low guess


def natural_order(name: str) -> list[tuple[int, str]]:
    """A key that sorts names as people count: frame_2 before frame_10."""
    return [(int(p), "") if p.isdigit() else (-1, p) for p in re.split(r"(\d+)", name) if p]


class PictureReader:
    """Pictures of one size as frames, `rate` a second; `Frame.pts` is the picture's index."""

    def __init__(self, info: VideoInfo, files: list[Path]) -> None:
        self.info = info
        self.report = ReadReport()
        self._files = files

    @classmethod
    def of_folder(cls, folder: Path, rate: Fraction) -> Self:
        """All PNG and JPEG pictures of a folder, in natural order of their names.

        Raises:
            VideoError: there are none, numbers are missing, or sizes differ.
        """
        visible = [f for f in folder.iterdir() if f.is_file() and not f.name.startswith(".")]
        files = [f for f in visible if f.suffix.lower() in SUFFIXES]
        if not files:
            raise VideoError(
                f"the folder {folder} holds no pictures ({', '.join(SUFFIXES)})",
                hint="give a video file, or a folder of PNG or JPEG pictures",
            )
        files.sort(key=lambda file: natural_order(file.name))
        _check_numbers(files)
        info = _info(folder, Kind.PICTURES, files, rate)
        _check_sizes(files, info)
        left = len(visible) - len(files)
        if left:
            info = replace(
                info, notices=(*info.notices, f"{left} other files in {folder} are left aside")
            )
        return cls(info, files)

    @classmethod
    def of_still(cls, path: Path, rate: Fraction) -> Self:
        """One picture file, as a video of one frame."""
        return cls(_info(path, Kind.STILL, [path], rate), [path])

    def with_info(self, info: VideoInfo) -> Self:
        """A reader of the same pictures with another part wanted."""
        return type(self)(info, self._files)

    def times(self) -> Iterator[int]:
        """The `pts` of all pictures."""
        return iter(range(len(self._files)))

    def sizes(self) -> list[tuple[Fraction, int]]:
        """When each picture is shown, in seconds, and the bytes of its file."""
        time_base = self.info.time_base
        return [(i * time_base, file.stat().st_size) for i, file in enumerate(self._files)]

    def frames(self, first: int = 0, last: int | None = None) -> Iterator[Frame]:
        """The pictures with index `first` <= i < `last`; see `FrameSource`."""
        self.report = ReadReport()
        before, cut = self.info.frames_before, self.info.cut
        if last is None and cut is not None:
            last = cut.count
        to_rgb = ToRgb(self.info.codec, self.info.colour, self.info.bit_depth)
        end = None if last is None else last + before
        for index, file in islice(enumerate(self._files, -before), first + before, end):
            picture = _decode(file)
            # Cameras write how they were held; neither PNG nor a video has that for each picture.
            rgb = upright(to_rgb(picture), orientation_of(picture))
            if tuple(rgb.shape[1:]) != (self.info.height, self.info.width):
                raise _other_size(file, rgb.shape[2], rgb.shape[1], self.info)
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


def _info(path: Path, kind: Kind, files: list[Path], rate: Fraction) -> VideoInfo:
    first = probe(files[0])
    height, width = upright_size(first.height, first.width, first.orientation)
    return replace(
        first,
        path=path,
        kind=kind,
        height=height,
        width=width,
        orientation=None,
        frame_count=len(files),
        rate=rate,
        time_base=1 / rate,
        start_seconds=Fraction(0),
        duration_seconds=float(len(files) / rate),
        end_seconds=None,
        promised_seconds=None,
        colour=_PICTURE_COLOUR,
        sample_aspect_ratio=None,
        interlaced=False,
        pictures=tuple(file.name for file in files),
        notices=(_OPAQUE,) if first.transparent else (),
        assumed=(),
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
                hint="add the missing pictures or number the rest without a gap",
            )


def _check_sizes(files: list[Path], info: VideoInfo) -> None:
    """Compare what the headers say; how a picture is held shows only when it is decoded."""
    for file in files:
        with open_input(file, **_LITERAL_NAME) as container:
            stream = main_video(container, file)
            size = stream.width, stream.height
            if size not in ((info.width, info.height), (info.height, info.width)):
                raise _other_size(file, *size, info)


def _other_size(file: Path, width: int, height: int, info: VideoInfo) -> VideoError:
    return VideoError(
        f"{file} is {width}x{height}, but the first picture is {info.width}x{info.height}",
        hint="bring all pictures of the folder to one size",
    )


def _decode(file: Path) -> VideoFrame:
    with open_input(file, **_LITERAL_NAME) as container:
        try:
            for frame in container.decode(main_video(container, file)):
                return frame
        except FFmpegError as error:
            raise VideoError(
                f"{file} is damaged: {reason(error)}", hint="copy it again or make it anew"
            ) from error
    raise VideoError(f"{file} holds no picture", hint="copy it again or make it anew")


class PictureWriter:
    """Frames to PNG files: a folder of them, or a single file for a single frame.

    16-bit frames become 16-bit PNG. Names are those of the source's pictures, or
    `frame_000001.png` and so on. The folder gets its name when it is whole.
    """

    def __init__(self, path: Path, info: VideoInfo, scale: int, *, overwrite: bool) -> None:
        self.path = path
        self._info = info
        self._overwrite = overwrite
        self._single = path.suffix.lower() == ".png" and not path.is_dir()
        self._check()
        self._size = info.height * scale, info.width * scale
        size = upright_size(*self._size, info.orientation)
        pixels = size[0] * size[1] * (info.frame_count or 1)
        check_space(path.absolute().parent, pixels * _BITS_PER_PIXEL[info.bit_depth] / 8)
        self._encoder = _png_encoder(*size, info.bit_depth)
        self._from_rgb = FromRgb(str(self._encoder.pix_fmt), info.colour)
        self._written = 0
        self._temporary = temporary_beside(path.absolute())
        self._open = True
        if not self._single:
            self._temporary.mkdir()

    @property
    def bit_depth(self) -> int:
        """Depth of the frames to write: 8 for uint8 codes, 16 for uint16 ones."""
        return self._info.bit_depth

    @property
    def notices(self) -> tuple[str, ...]:
        """What the output cannot hold, one line each."""
        if not self._info.streams:
            return ()
        dropped = ", ".join(str(stream) for stream in self._info.streams)
        return (f"dropped, since pictures hold none of it: {dropped}; a .mkv output keeps it",)

    @property
    def damage(self) -> tuple[str, ...]:
        """Nothing beside the pictures is copied."""
        return ()

    def _check(self) -> None:
        if self._single:
            check_file(self.path.absolute(), self._info.path, overwrite=self._overwrite)
            if self._info.frame_count != 1:
                raise OutputError(
                    f"{self.path} is one picture, but the input has more",
                    hint=f"name a folder: {self.path.with_suffix('')}",
                )
            return
        check_folder(self.path.absolute().parent)
        if not self.path.exists():
            return
        if not self.path.is_dir():
            raise OutputError(f"{self.path} is a file, no folder", hint="name another folder")
        if self.path.samefile(self._info.path):
            raise OutputError(f"{self.path} is the input itself", hint="name another folder")
        others = [file for file in self.path.iterdir() if file.suffix.lower() != ".png"]
        if others or (not self._overwrite and any(self.path.iterdir())):
            raise OutputError(
                f"the folder {self.path} is not empty",
                hint="name a new folder"
                if others
                else "add --overwrite to replace the pictures in it, or name a new folder",
            )

    def write(self, frame: Frame) -> None:
        """Write one HR frame as a PNG file."""
        if tuple(frame.rgb.shape[1:]) != self._size:
            raise ValueError(f"frame of {tuple(frame.rgb.shape[1:])}, wanted {self._size}")
        if self._single and self._written:
            raise OutputError(
                f"{self.path} is one picture, but the input has more",
                hint=f"name a folder: {self.path.with_suffix('')}",
            )
        picture = self._from_rgb(upright(frame.rgb, self._info.orientation))
        picture.pts = self._written
        data = b"".join(bytes(packet) for packet in self._encoder.encode(picture))
        file = self._temporary if self._single else self._temporary / self._name(frame)
        with writing(self.path):
            file.write_bytes(data)
        self._written += 1

    def _name(self, frame: Frame) -> str:
        if self._info.pictures:
            return f"{Path(self._info.pictures[frame.pts]).stem}.png"
        return f"frame_{self._written + 1:06d}.png"

    def commit(self, frames: int | None = None) -> Path:
        """Give the folder or file its name; a replaced folder is removed."""
        self._open = False
        if frames is not None and frames != self._written:
            kept = self.path.with_name(f"{self.path.stem}.MISMATCH{self.path.suffix}")
            self._temporary.rename(kept)
            raise OutputError(
                f"{self.path.name} does not match its source: it has {self._written} pictures,"
                f" the source {frames}",
                hint=f"what there is is kept as {kept}; please report this with the source",
            )
        put_in_place(self._temporary, self.path, overwrite=self._overwrite)
        return self.path

    def abort(self) -> None:
        """Remove what was written; nothing after `commit`."""
        if self._open:
            self._open = False
            remove(self._temporary)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.abort()


def _png_encoder(height: int, width: int, bit_depth: int) -> VideoCodecContext:
    encoder = av.CodecContext.create("png", "w")
    encoder.width, encoder.height = width, height
    encoder.pix_fmt = "rgb24" if bit_depth == 8 else "rgb48be"
    encoder.time_base = Fraction(1, 25)  # asked for, and of no meaning in a picture
    return encoder
