"""Draw all figures of a frame on one labelled sheet, with matplotlib."""

from __future__ import annotations

from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from vsrdb_cli.inspection.figures import Figure, captions, figures

if TYPE_CHECKING:
    from vsrdb_cli.inspection.analysis import Inspection

# Inches.
_COLUMN, _BETWEEN, _MARGIN, _GAP = 7.0, 0.35, 0.15, 0.06
_TITLE, _CAPTION, _LABEL = 0.28, 0.2, 0.2
_TALLEST = 2.0
_DOTS_PER_INCH = 96


def can_draw() -> bool:
    """Return whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


def write_overview(path: Path, heading: str, found: Inspection) -> None:
    """Draw the sheet to a PNG file; needs matplotlib."""
    groups = {name: list(members) for name, members in groupby(figures(found), lambda f: f.group)}
    sheet = _Sheet(found)
    right = _MARGIN + _COLUMN + _BETWEEN
    beside = {
        _MARGIN: ("input", "flow", "mask", "warped"),
        right: ("feature flow", "degradation", "restoration"),
    }
    bottoms = []
    for left, names in beside.items():
        bottom = _MARGIN + _TITLE
        for name in names:
            bottom = sheet.group(name, _lines(name, groups[name]), left, bottom, _COLUMN)
        bottoms.append(bottom)
    whole = 2 * _COLUMN + _BETWEEN
    height = sheet.group("parts", [groups["parts"]], _MARGIN, max(bottoms), whole)
    sheet.draw(path, heading, whole + 2 * _MARGIN, height)


def _lines(name: str, members: list[Figure]) -> list[list[Figure]]:
    """Arrange the pictures of a group in lines."""
    if name == "feature flow":
        half = len(members) // 2
        return [members[:half], members[half:]]
    if name == "restoration":
        return [members[-1:] + members[:1], members[1:-1]]
    return [members]


class _Sheet:
    """A sheet of pictures placed in inches from the top left, drawn once its height is known."""

    def __init__(self, found: Inspection) -> None:
        self._captions = captions(found)
        self._pictures: list[tuple[Figure, float, float, float, float]] = []
        self._titles: list[tuple[str, str, float, float]] = []

    def group(
        self, name: str, lines: list[list[Figure]], left: float, top: float, width: float
    ) -> float:
        """Lay out lines of pictures, each of one height; return where the next group begins."""
        self._titles.append((*self._captions[name], left, top))
        top += _TITLE + _CAPTION
        for line in lines:
            shapes = [figure.picture.shape[1] / figure.picture.shape[0] for figure in line]
            room = width - _GAP * (len(line) - 1)
            height = min(room / sum(shapes), _TALLEST * width / _COLUMN)
            x = left
            for figure, shape in zip(line, shapes, strict=True):
                self._pictures.append((figure, x, top, height * shape, height))
                x += height * shape + _GAP
            top += height + _LABEL
        return top + _GAP

    def draw(self, path: Path, heading: str, width: float, height: float) -> None:
        """Draw everything on a sheet of this size in inches."""
        from matplotlib.figure import Figure as Canvas

        canvas = Canvas(figsize=(width, height), facecolor="white")
        canvas.text(_MARGIN / width, 1 - _MARGIN / height, heading, va="top", weight="bold")
        for title, caption, x, y in self._titles:
            canvas.text(x / width, 1 - (y + _TITLE * 0.85) / height, title, fontsize=10)
            below = y + _TITLE + _CAPTION * 0.6
            canvas.text(x / width, 1 - below / height, caption, fontsize=7.5, color="0.35")
        for figure, x, y, wide, high in self._pictures:
            axes = canvas.add_axes(
                (x / width, 1 - (y + high) / height, wide / width, high / height)
            )
            smooth = figure.lr_scale > 1
            axes.imshow(figure.picture, interpolation="antialiased" if smooth else "nearest")
            axes.set(xticks=(), yticks=())
            for spine in axes.spines.values():
                spine.set_color("0.8")
            place = (x / width, 1 - (y + high + _LABEL * 0.75) / height)
            canvas.text(*place, figure.title, fontsize=7.5, color="0.35")
        canvas.savefig(path, format="png", dpi=_DOTS_PER_INCH)
