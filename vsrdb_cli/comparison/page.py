"""The page as a file: template, style, script and everything shown, in one HTML document."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Mapping
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

from vsrdb_cli.errors import OptionError
from vsrdb_cli.files import check_file, whole
from vsrdb_cli.video.reading.y4m_reader import is_stream_input

SUFFIXES = (".html", ".htm")
_PLACE = re.compile(r"\{\{(\w+)\}\}")


def check_page(path: Path, sources: list[Path], *, overwrite: bool) -> None:
    """Whether a page can be written to `path`, before the work that leads to it.

    Raises:
        OptionError: its name does not end as a page's does, or a source is a stream.
        OutputError: it is a source, exists, or its folder cannot be written to.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise OptionError(
            f"{path.name}: no page is written to '{path.suffix or 'a name without an ending'}'",
            hint=f"end the page's name with {' or '.join(SUFFIXES)}",
        )
    if any(is_stream_input(source) for source in sources):
        raise OptionError(
            "only files can be compared, no stream on stdin or stdout, no named pipe",
            hint="save it as a file first",
        )
    for source in sources:
        check_file(path.absolute(), source, overwrite=overwrite)


def page_of(
    data: Mapping[str, Any], pictures: Mapping[int, bytes], video: bytes | None, title: str
) -> str:
    """The document.

    Args:
        data: what the script reads (`compare.py` says what is in it).
        pictures: lossless WebP files of stacked pictures, by their number.
        video: the stacked pictures as an mp4 file, where not all are in `pictures`.
    """
    files = resources.files(__package__)
    parts = {
        "title": escape(title),
        "style": (files / "page.css").read_text("utf-8"),
        "script": (files / "page.js").read_text("utf-8"),
        "data": _json(data),
        "pictures": _json({number: _base64(webp) for number, webp in pictures.items()}),
        "video": _base64(video) if video else "",
    }
    # All at once, so that what is put in is not searched for places itself.
    return _PLACE.sub(lambda place: parts[place[1]], (files / "page.html").read_text("utf-8"))


def save_page(document: str, path: Path, *, overwrite: bool) -> int:
    """Write a page, which has its name only when it is whole; returns its bytes.

    Raises:
        OutputError: the disk is full, or something of that name has come into being.
    """
    with whole(path, overwrite=overwrite) as temporary:
        # File names may hold bytes that are no text.
        temporary.write_text(document, "utf-8", errors="replace")
        return temporary.stat().st_size


def _json(value: Any) -> str:
    """JSON that may stand in a script element whatever file names it holds."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def _base64(data: bytes) -> str:
    return b64encode(data).decode("ascii")
