"""Inspect frames of a source and write a folder of pictures or a page."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vsrdb_cli.callbacks import ignore
from vsrdb_cli.checkpoints.checkpoint import build_network, load_checkpoint
from vsrdb_cli.errors import OptionError, OutputError
from vsrdb_cli.files import check_apart, check_file, check_folder, followed, whole, writing
from vsrdb_cli.inspection.analysis import Inspection, inspect_clip, inspection_bytes, largest_tile
from vsrdb_cli.inspection.figures import captions, figures
from vsrdb_cli.inspection.kernel_page import describe, grid_for_page, page
from vsrdb_cli.inspection.moments import Moment, moments
from vsrdb_cli.inspection.overview import can_draw, write_overview
from vsrdb_cli.inspection.raw import __doc__ as raw_format
from vsrdb_cli.inspection.raw import write_raw
from vsrdb_cli.names import fitting
from vsrdb_cli.options import Hdr
from vsrdb_cli.pages import PAGE_SUFFIXES, save_page
from vsrdb_cli.text import printable
from vsrdb_cli.video.pictures.formats import encode_png
from vsrdb_cli.video.reading.open import open_source

if TYPE_CHECKING:
    from vsrdb_cli.option_values import Position

README = "README.txt"
_HEADING = "What FMA-Net saw in"
_WRITTEN = (".png", ".npz", ".txt")
_NAMES = re.compile(rf"{re.escape(README)}|(\d{{6,}}_)?(\d\d+_.+\.png|overview\.png|arrays\.npz)")


@dataclass(frozen=True)
class InspectOptions:
    """Which frames to inspect, and how."""

    weights: str
    """A bundled name or a .safetensors path."""
    at: Position | None = None
    """The first frame; None is the middle of the busiest second."""
    frames: int = 1
    """The number of consecutive frames."""
    every: int | None = None
    """Keep the kernels of every so many rows and columns; None is as dense as fits into a page."""
    tile: int | str | None = "auto"
    """Side of the tiles in LR pixels; None is whole pictures, "auto" what fits into memory."""
    raw: bool = False
    """Write the arrays as well."""
    hdr: Hdr = Hdr.REFUSE
    overwrite: bool = False
    """Replace an earlier inspection."""


@dataclass(frozen=True)
class InspectReport:
    """The files written."""

    output: Path
    arrays: tuple[Path, ...]
    frames: tuple[str, ...]
    """One line about each frame."""
    notices: tuple[str, ...]
    """Remarks, one line each."""


def inspect_source(
    source: Path,
    target: Path,
    options: InspectOptions,
    *,
    on_frame: Callable[[int, int], None] = ignore,
) -> InspectReport:
    """Inspect frames of a source.

    Args:
        source: a video, a folder of pictures or a picture.
        target: the folder to write, or the page if it ends in .html.
        options: which frames, and how.
        on_frame: called after each frame with the frames done and the total.

    Raises:
        VideoError: the source cannot be read.
        CheckpointError: no network has that name.
        OptionError: the source has no such frame, or is a stream.
        OutputError: the target cannot be written.
    """
    is_page = target.suffix.lower() in PAGE_SUFFIXES
    _check_target(source, target, is_page=is_page, overwrite=options.overwrite)
    checkpoint = load_checkpoint(options.weights)
    network = build_network(checkpoint)
    config = network.config
    with open_source(source, hdr=options.hdr) as opened:
        height, width = opened.info.height, opened.info.width
        every = options.every or grid_for_page(config, height, width, options.frames)
        tile = options.tile
        if isinstance(tile, str):
            beside = inspection_bytes(network, height, width, every) * options.frames
            tile = largest_tile(network, height, width, beside=beside)
        seen = []
        chosen = moments(opened, config.num_seq, at=options.at, count=options.frames)
        for moment in chosen:
            seen.append((moment, inspect_clip(network, moment.clip, every=every, tile=tile)))
            on_frame(len(seen), options.frames)
    notices = [*checkpoint.notes, *opened.info.notices, *opened.report.notices]
    if len(seen) < options.frames:
        notices.append(f"{source} ends after {len(seen)} of {options.frames} frames")
    name = f"{checkpoint.name} ({checkpoint.parameters:,} parameters)"
    if every > 1 and options.raw:
        notices.append(
            f"the arrays contain the kernels of every {every} rows and columns; see --kernels-every"
        )
    write = _write_page if is_page else _write_folder
    if not is_page and not can_draw():
        notices.append(
            "overview.png is left out because matplotlib is missing: pip install 'vsrdb[evaluate]'"
        )
    arrays = write(source, target, name, seen, options)
    return InspectReport(
        target, tuple(arrays), tuple(describe(*one) for one in seen), tuple(notices)
    )


def _is_ours(folder: Path) -> bool:
    """Return whether a folder contains an earlier inspection and nothing else."""
    readme = folder / README
    if not readme.is_file() or not readme.read_text("utf-8", "replace").startswith(_HEADING):
        return False
    return all(_NAMES.fullmatch(file.name) for file in folder.iterdir())


def _check_target(source: Path, target: Path, *, is_page: bool, overwrite: bool) -> None:
    if is_page:
        check_file(target.absolute(), source, overwrite=overwrite)
        return
    if target.suffix and not target.is_dir():
        raise OptionError(
            f"{target.name}: expected a folder or a .html file",
            hint="end the name with .html for a page, or name a folder for pictures",
        )
    check_folder(followed(target.absolute()).parent)
    if target.is_file():
        raise OutputError(f"{target} is a file, not a folder", hint="choose another folder")
    if target.exists() and any(target.iterdir()):
        check_apart(target, source)
        ours = _is_ours(target)
        if not (overwrite and ours):
            raise OutputError(
                f"the folder {target} is not empty",
                hint="add --overwrite to replace the earlier inspection"
                if ours
                else "choose a new folder",
            )


def _write_page(
    source: Path,
    target: Path,
    network: str,
    seen: list[tuple[Moment, Inspection]],
    options: InspectOptions,
) -> list[Path]:
    arrays = []
    for moment, found in seen if options.raw else ():
        arrays.append(target.with_name(fitting(target.stem, f"_{moment.index:06d}.npz")))
        with writing(arrays[-1]):
            write_raw(arrays[-1], moment, found)
    document = page(f"{_HEADING} {source.name}", network, seen)
    save_page(document, target, overwrite=options.overwrite)
    return arrays


def _write_folder(
    source: Path,
    target: Path,
    network: str,
    seen: list[tuple[Moment, Inspection]],
    options: InspectOptions,
) -> list[Path]:
    arrays = []
    lines = [f"{_HEADING} {source.name} ({network})"]
    with whole(target, replaced=_WRITTEN) as temporary:
        temporary.mkdir()
        for moment, found in seen:
            begin = f"{moment.index:06d}_" if options.frames > 1 else ""
            lines += ["", describe(moment, found)]
            texts = captions(found)
            for number, figure in enumerate(figures(found)):
                name = f"{begin}{number:02d}_{figure.name}.png"
                (temporary / name).write_bytes(encode_png(figure.picture))
                if figure.group in texts:
                    lines += ["", ": ".join(texts.pop(figure.group))]
                lines.append(f"  {name}: {figure.title}")
            if can_draw():
                name = printable(source.name)
                heading = f"{name}, {describe(moment, found)} · {network}"
                write_overview(temporary / f"{begin}overview.png", heading, found)
            if options.raw:
                name = f"{begin}arrays.npz"
                write_raw(temporary / name, moment, found)
                arrays.append(target / name)
        if options.raw:
            lines += ["", str(raw_format)]
        text = "\n".join(lines).rstrip() + "\n"
        (temporary / README).write_text(text, "utf-8", errors="replace")
    return arrays
