"""Write HTML pages that contain everything they show."""

from __future__ import annotations

import json
import re
from importlib import resources
from pathlib import Path
from typing import Any

from vsrdb_cli.files import whole

PAGE_SUFFIXES = (".html", ".htm")
_PLACE = re.compile(r"\{\{(\w+)\}\}")


def fill_page(package: str, **parts: str) -> str:
    """Return the page.html of a package with every `{{name}}` replaced by the part of that name."""
    template = resources.files(package).joinpath("page.html").read_text("utf-8")
    # All at once, so that no part is searched for places itself.
    return _PLACE.sub(lambda place: parts[place[1]], template)


def script_json(value: Any) -> str:
    """Return JSON that can stand in a script element, whatever text it holds."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def save_page(document: str, path: Path, *, overwrite: bool) -> int:
    """Write a page to a file that appears only when it is complete, and return its bytes.

    Raises:
        OutputError: the disk is full, or a file of that name has appeared.
    """
    with whole(path, overwrite=overwrite) as temporary:
        # File names may hold bytes that are not valid text.
        temporary.write_text(document, "utf-8", errors="replace")
        return temporary.stat().st_size
