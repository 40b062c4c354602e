"""Converts programs' pictures (tensors, arrays and PIL images) to the pipeline's and back."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from vsrdb_cli.errors import OptionError
from vsrdb_cli.video.pixels.colour import to_float, to_planes

Picture = TypeVar("Picture")

# Resampling and sharpening leave 0 to 1 by a little, codes of 8 bits and logits by much.
LOWEST, HIGHEST = -0.5, 1.5


@dataclass(frozen=True)
class ReadPicture(Generic[Picture]):
    """A program's picture, as the pipeline works on it."""

    rgb: Tensor
    """(3, H, W), float32, 0 to 1, on the CPU."""

    convert_back: Callable[[Tensor], Picture]
    """Converts a restored picture to the kind, number type and device of the program's."""


def read_pictures(pictures: Iterable[Picture]) -> Iterator[ReadPicture[Picture]]:
    """Read pictures one by one.

    Args:
        pictures: torch tensors (3, H, W), numpy arrays (H, W, 3), or PIL images of mode RGB, all of
            one size; uint8, or float from 0 to 1.

    Raises:
        OptionError: one is something else.
    """
    if isinstance(pictures, str | bytes | Path) or _is_pil(pictures):
        raise OptionError(
            f"pictures is one {type(pictures).__name__}, expected several pictures",
            hint="use restore_video for files; put a single picture into a list",
        )
    size = None
    for index, picture in enumerate(pictures):
        name = f"picture {index}"
        read = _read(picture, name)
        height, width = read.rgb.shape[1:]
        if size is None:
            size = height, width
        if size != (height, width):
            raise OptionError(
                f"{name} is {width}x{height}, those before are {size[1]}x{size[0]}",
                hint="call restore_frames once for every size",
            )
        yield read


def _read(picture: Any, name: str) -> ReadPicture[Any]:
    if isinstance(picture, Tensor):
        _check_shape(picture, name, channels_first=True)
        dtype, device = picture.dtype, picture.device
        return ReadPicture(
            _to_rgb(picture.cpu(), name), lambda rgb: _to_dtype(rgb, dtype).to(device)
        )
    if isinstance(picture, np.ndarray):
        return _read_array(picture, name)
    if _is_pil(picture):
        if picture.mode != "RGB":
            raise OptionError(
                f"{name} is a PIL image of mode {picture.mode}, expected RGB",
                hint='convert it: image.convert("RGB")',
            )
        read = _read_array(np.array(picture), name)
        from_array, to_array = sys.modules["PIL.Image"].fromarray, read.convert_back
        return ReadPicture(read.rgb, lambda rgb: from_array(to_array(rgb)))
    raise OptionError(
        f"{name} is a {type(picture).__name__}, which is not a picture",
        hint="pass torch tensors (3, H, W), numpy arrays (H, W, 3) or PIL images",
    )


def _read_array(picture: np.ndarray[Any, Any], name: str) -> ReadPicture[np.ndarray[Any, Any]]:
    _check_shape(picture, name, channels_first=False)
    try:
        tensor = torch.from_numpy(np.array(picture, picture.dtype.newbyteorder("="), order="C"))
    except TypeError:
        raise _wrong_dtype(picture, name) from None
    dtype = tensor.dtype

    def convert_back(rgb: Tensor) -> np.ndarray[Any, Any]:
        result: np.ndarray[Any, Any] = _to_dtype(rgb, dtype).permute(1, 2, 0).contiguous().numpy()
        return result

    return ReadPicture(_to_rgb(tensor.permute(2, 0, 1).contiguous(), name), convert_back)


def _is_pil(value: object) -> bool:
    """Return whether a value is an image of Pillow, which need not be installed."""
    pillow = sys.modules.get("PIL.Image")
    return pillow is not None and isinstance(value, pillow.Image)


def _check_shape(picture: Any, name: str, *, channels_first: bool) -> None:
    shape = tuple(picture.shape)
    kind, expected = ("tensor", "(3, H, W)") if channels_first else ("array", "(H, W, 3)")
    if len(shape) == 3 and shape[0 if channels_first else 2] == 3 and 0 not in shape:
        return
    if len(shape) == 4:
        hint = "pass its pictures one by one: a batch can be iterated over"
    elif len(shape) == 2:
        hint = "put a single picture into a list; give a grey one three equal channels"
    elif len(shape) == 3 and shape[2 if channels_first else 0] == 3:
        swap = ".permute(2, 0, 1)" if channels_first else ".transpose(1, 2, 0)"
        hint = f"move its channels: picture{swap}"
    else:
        hint = "three channels: red, green, blue"
    raise OptionError(f"{name} is a {kind} of shape {shape}, expected {expected}", hint=hint)


def _to_rgb(picture: Tensor, name: str) -> Tensor:
    """Convert (3, H, W) of any number type that is taken to float32, 0 to 1."""
    if picture.dtype == torch.uint8:
        return to_float(picture)
    if not picture.is_floating_point():
        raise _wrong_dtype(picture, name)
    # A copy: whoever passes pictures may fill the same memory with the next one.
    rgb = picture.detach().to(torch.float32, copy=True)
    lowest, highest = (value.item() for value in rgb.aminmax())
    if not LOWEST <= lowest <= highest <= HIGHEST:  # nor is NaN
        if np.isfinite((lowest, highest)).all():
            raise OptionError(
                f"{name} has values from {lowest:g} to {highest:g}, expected 0 to 1",
                hint="divide by 255, or pass uint8",
            )
        raise OptionError(
            f"{name} has values that are not finite", hint="find where NaN or infinity comes from"
        )
    return rgb


def _to_dtype(rgb: Tensor, dtype: torch.dtype) -> Tensor:
    if dtype == torch.uint8:
        return to_planes(rgb, 8)
    # A copy: the caller may change it in place, and repeated pictures share what was restored.
    return rgb.to(dtype, copy=True)


def _wrong_dtype(picture: Any, name: str) -> OptionError:
    return OptionError(
        f"{name} has values of type {str(picture.dtype).removeprefix('torch.')}, expected uint8 or"
        " float",
        hint="pass uint8 from 0 to 255, or float from 0 to 1",
    )
