"""Write pictures: a folder of PNG or TIFF files, or a single one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

from vsrdb_cli.errors import OutputError
from vsrdb_cli.files import (
    check_apart,
    check_file,
    check_folder,
    check_space,
    followed,
    kept_beside,
    link_or_copy,
    put_in_place,
    remove,
    temporary_beside,
    writing,
)
from vsrdb_cli.video.filtering.filtering import Filtering
from vsrdb_cli.video.frame import Frame
from vsrdb_cli.video.info import VideoInfo
from vsrdb_cli.video.pictures.formats import WRITTEN, natural_order, picture_encoder
from vsrdb_cli.video.pictures.metadata import wide_colours
from vsrdb_cli.video.side_data.orientation import upright, upright_ratio, upright_size
from vsrdb_cli.video.writing.frame_converter import Converted, FrameConverter

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

METADATA_LOST = "the picture's metadata (EXIF, XMP, text) is dropped; PNG output keeps it"
_BITS_PER_PIXEL = {8: 4.0, 16: 8.0}  # a low guess


def check_pictures(path: Path, info: VideoInfo, scale: int, *, overwrite: bool) -> None:
    """Check that pictures may be written to `path`, a folder or a single file.

    Raises:
        OutputError: it is the source, exists, is one picture for many, or the disk is full.
    """
    if is_single(path):
        check_file(path.absolute(), info.path, overwrite=overwrite)
        if info.frame_count not in (1, None):  # unknown of a pipe; a second one is refused then
            raise _too_many(path)
    else:
        _check_pictures_folder(path, info.path, overwrite=overwrite)
    pixels = info.height * info.width * scale**2 * (info.frame_count or 1)
    check_space(followed(path.absolute()).parent, pixels * _BITS_PER_PIXEL[info.bit_depth] / 8)


def is_single(path: Path) -> bool:
    """Return whether an output is one picture file, not a folder of them."""
    return path.suffix.lower() in WRITTEN and not path.is_dir()


def written_suffix(path: Path, info: VideoInfo) -> str:
    """Return the name ending of pictures written to `path`."""
    asked = path if is_single(path) else Path(next(iter(info.pictures), ""))
    return asked.suffix.lower() if asked.suffix.lower() in WRITTEN else ".png"


def _too_many(path: Path) -> OutputError:
    return OutputError(
        f"{path} is a single picture, but the input has more",
        hint=f"give a folder: {path.with_suffix('')}",
    )


def _check_pictures_folder(path: Path, source: Path, *, overwrite: bool) -> None:
    check_folder(followed(path.absolute()).parent)
    if not path.exists():
        return
    if not path.is_dir():
        raise OutputError(f"{path} is a file, not a folder", hint="choose another folder")
    check_apart(path, source)
    others = [file for file in path.iterdir() if file.suffix.lower() not in WRITTEN]
    if others or (not overwrite and any(path.iterdir())):
        raise OutputError(
            f"the folder {path} is not empty",
            hint="choose a new folder"
            if others
            else "add --overwrite to replace the pictures in it, or choose a new folder",
        )


class PictureWriter:
    """Writes frames to a folder of picture files, or a single frame to a single file.

    They are PNG, or TIFF if the source or the single file's name is; 16-bit frames become 16-bit
    pictures. Names are those of the source's pictures, or `frame_000001.png` and so on. The folder
    gets its name when it is complete.
    """

    def __init__(
        self,
        path: Path,
        info: VideoInfo,
        scale: int,
        postfilters: Sequence[Filtering] = (),
        *,
        overwrite: bool,
    ) -> None:
        self.path = path
        self._info = info
        self._overwrite = overwrite
        self._single = is_single(path)
        self._suffix = written_suffix(path, info)
        self._size = info.height * scale, info.width * scale
        size = upright_size(*self._size, info.orientation)
        depth = info.bit_depth
        if postfilters:
            gives = postfilters[-1].gives
            size, depth = (gives.height, gives.width), gives.code_depth
        self._encoder = picture_encoder(WRITTEN[self._suffix], *size, depth)
        self._converter = FrameConverter(
            str(self._encoder.pix_fmt),
            info,
            postfilters,
            turned=lambda rgb: upright(rgb, info.orientation),
        )
        self._written = 0
        self._temporary = temporary_beside(path.absolute())
        self._open = True
        if not self._single:
            self._temporary.mkdir()

    @property
    def damage(self) -> tuple[str, ...]:
        """Empty: no other streams are copied."""
        return ()

    def write(self, frame: Frame) -> None:
        """Write one HR frame as a file."""
        if tuple(frame.rgb.shape[1:]) != self._size:
            raise ValueError(f"frame of {tuple(frame.rgb.shape[1:])}, wanted {self._size}")
        self._encode(self._converter.push(frame))

    def _encode(self, converted: list[Converted]) -> None:
        for frame, picture in converted:
            if self._single and self._written:
                raise _too_many(self.path)
            self._encode_picture(frame, picture)

    def _encode_picture(self, frame: Frame, picture: VideoFrame) -> None:
        picture.pts = self._written
        data = b"".join(bytes(packet) for packet in self._encoder.encode(picture))
        said = self._info.picture_colour
        if self._suffix == ".png":
            data = said.in_png(data, self._info.colour, self._info.picture_metadata)
        else:
            data = said.in_tiff(data)
        file = self._temporary if self._single else self._temporary / self._name(frame)
        with writing(self.path):
            file.write_bytes(data)
        self._written += 1

    def _name(self, frame: Frame) -> str:
        if self._info.pictures:
            return f"{Path(self._info.pictures[frame.pts]).stem}{self._suffix}"
        return f"frame_{self._written + 1:06d}{self._suffix}"

    def commit(self, frames: int | None = None) -> Path:
        """Give the folder or file its name; a replaced folder is removed."""
        self._encode(self._converter.flush())
        if frames is not None and frames != self._written:
            kept = kept_beside(self.path, self._temporary, "MISMATCH")
            raise OutputError(
                f"{self.path.name} does not match its source: it has {self._written} pictures,"
                f" the source {frames}",
                hint=f"it is kept as {kept}; please report this with the source",
            )
        put_in_place(self._temporary, self.path, overwrite=self._overwrite, replaced=WRITTEN)
        self._open = False
        return self.path

    def abort(self) -> None:
        """Remove what was written; do nothing after `commit`."""
        if self._open:
            self._open = False
            remove(self._temporary)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.abort()


def picture_notices(info: VideoInfo, suffix: str = ".png") -> Iterator[str]:
    """Yield what pictures that end in `suffix` cannot hold of a source, one line each."""
    if info.extras:
        dropped = ", ".join(info.extras)
        yield f"dropped, because pictures cannot hold it: {dropped}; a .mkv output keeps it"
    ratio = upright_ratio(info.sample_aspect_ratio, info.orientation)
    if ratio is not None and ratio != 1:
        yield (
            f"pictures have square pixels, but the source's are {ratio.numerator}:"
            f"{ratio.denominator}: they look too {'narrow' if ratio > 1 else 'wide'}"
        )
    if suffix != ".png" and info.picture_metadata:
        yield METADATA_LOST
    if suffix != ".png" and not info.picture_colour.profile:
        unsaid = info.picture_colour.uncoded or wide_colours(info.colour)
        if unsaid:
            yield f"TIFF cannot hold all colour information of a PNG, and looks different: {unsaid}"
    if info.colour.hdr:
        hdr = f"HDR ({info.colour.hdr_name})"
        tagged = "PNG is tagged as" if suffix == ".png" else "TIFF cannot be tagged as"
        yield f"{tagged} {hdr}: most viewers show its colours wrong"


def join_pictures(segments: Sequence[Path], target: Path, *, named: bool) -> Path:
    """Collect the pictures of all segments in a new folder, numbered unless they have names.

    They are linked, so that the segments stay complete, or copied if the disk has no links.
    """
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    pictures = [
        picture
        for segment in segments
        for picture in sorted(segment.iterdir(), key=lambda file: natural_order(file.name))
    ]
    for number, picture in enumerate(pictures, 1):
        name = picture.name if named else f"frame_{number:06d}{picture.suffix}"
        try:
            link_or_copy(picture, target / name)
        except FileExistsError:
            raise OutputError(
                f"two pictures of {target} would be called {name}", hint="rename one of the source"
            ) from None
    return target
