"""Put the figures of frames, and the kernels behind a click, into one HTML document."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Sequence
from html import escape
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from vsrdb_cli.inspection.analysis import Inspection, weights_per_pixel
from vsrdb_cli.inspection.figures import Figure, captions, figures, frame_name, points
from vsrdb_cli.pages import fill_page, script_json
from vsrdb_cli.video.pictures.formats import encode_png

if TYPE_CHECKING:
    from vsrdb_cli.inspection.moments import Moment
    from vsrdb_cli.network.config import FMANetConfig

# Bytes of all kernels in the page before compression, one per weight.
_KERNEL_BYTES = 10 << 20
_LARGEST_SIDE = 1280


def grid_for_page(config: FMANetConfig, height: int, width: int, moments: int) -> int:
    """Return the smallest grid spacing, in pixels, whose kernels fit into a page."""
    every = 1
    frame_bytes = weights_per_pixel(config) * moments
    while -(-height // every) * -(-width // every) * frame_bytes > _KERNEL_BYTES:
        every += 1
    return every


def page(title: str, network: str, seen: Sequence[tuple[Moment, Inspection]]) -> str:
    """Return the document, which contains everything it shows.

    Args:
        title: of the page.
        network: its name, and more about it in a few words.
        seen: the frames.
    """
    data = {
        "title": title,
        "network": network,
        "moments": [_moment(moment, found) for moment, found in seen],
    }
    return fill_page("vsrdb_cli.inspection", title=escape(title), data=script_json(data))


def describe(moment: Moment, found: Inspection) -> str:
    """Describe a frame in one line."""
    height, width = found.size
    parts = [f"frame {moment.index} at {moment.seconds:.3f} s", f"{width}x{height}"]
    if found.tile:
        parts.append(f"in tiles of {found.tile} pixels")
    mirrored = [frame_name(found, t) for t, is_so in enumerate(moment.mirrored) if is_so]
    if mirrored:
        parts.append(f"{' and '.join(mirrored)} mirrored because the shot ends there")
    return ", ".join(parts)


def _moment(moment: Moment, found: Inspection) -> dict[str, Any]:
    texts = captions(found)
    return {
        "index": moment.index,
        "about": describe(moment, found),
        "groups": [
            {
                "title": texts[group][0],
                "caption": texts[group][1],
                "across": found.feature_flow.shape[1] if group == "feature flow" else 0,
                "figures": [_figure(figure, found) for figure in members],
            }
            for group, members in groupby(figures(found), lambda figure: figure.group)
        ],
        "kernels": _kernels(found),
    }


def _figure(figure: Figure, found: Inspection) -> dict[str, Any]:
    picture = _fitted(figure.picture)
    height, width = picture.shape[:2]
    return {
        "title": figure.title,
        "png": base64.b64encode(encode_png(picture)).decode(),
        "width": width,
        "height": height,
        "lr_scale": figure.lr_scale and width / found.size[1],
        "legend": figure.name == "flow_legend",
    }


def _fitted(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Shrink a picture that is larger than any screen shows it."""
    share = _LARGEST_SIDE / max(picture.shape)
    if share >= 1:
        return picture
    size = [max(1, round(length * share)) for length in picture.shape[:2]]
    planes = torch.from_numpy(picture).permute(2, 0, 1)[None].float()
    small = F.interpolate(planes, size=size, mode="bilinear", antialias=True)
    return small[0].permute(1, 2, 0).round().to(torch.uint8).numpy()


def _kernels(found: Inspection) -> dict[str, Any]:
    kernels = found.kernels
    every = kernels.every
    degradation, restoration = kernels.degradation, kernels.restoration
    largest_d = degradation.max(axis=(2, 3, 4), keepdims=True)
    largest_r = np.abs(restoration).max(axis=(2, 3, 4, 5, 6), keepdims=True)
    motion = np.concatenate([found.flow, found.mask[:, None]], axis=1)[:, :, ::every, ::every]
    return {
        "every": every,
        "height": found.size[0],
        "width": found.size[1],
        "rows": degradation.shape[0],
        "columns": degradation.shape[1],
        "names": [frame_name(found, t) for t in range(found.length)],
        "side_d": degradation.shape[-1],
        "side_r": restoration.shape[-1],
        "scale": restoration.shape[2],
        "points": [(column * every + 0.5, row * every + 0.5) for row, column in points(found)],
        "degradation": _packed(np.rint(degradation / largest_d * 255).astype(np.uint8)),
        "degradation_largest": _packed(largest_d.astype("<f4")),
        "restoration": _packed(np.rint(restoration / largest_r * 127).astype(np.int8)),
        "restoration_largest": _packed(largest_r.astype("<f4")),
        "motion": _packed(motion.transpose(2, 3, 0, 1).astype("<f4")),
    }


def _packed(array: NDArray[Any]) -> str:
    data = gzip.compress(np.ascontiguousarray(array).tobytes(), compresslevel=6, mtime=0)
    return base64.b64encode(data).decode()
