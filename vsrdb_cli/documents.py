"""Small documents that anybody may have written: JSON, read within limits."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

# The longest of ours lists the inputs of a batch, some hundred bytes each.
LIMIT = 64 << 20


def read_json(path: Path, limit: int = LIMIT) -> Any:
    """What a file of JSON holds.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no file, longer than `limit` bytes, or no JSON in UTF-8.
    """
    if not stat.S_ISREG(path.stat().st_mode):  # a pipe or a device might never end
        raise ValueError("it is no file")
    with path.open("rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise ValueError(f"it is longer than {limit} bytes")
    return parse_json(data.decode("utf-8"))


def parse_json(text: str) -> Any:
    """`json.loads`, with one error for all that is no JSON.

    Raises:
        ValueError: as there, or it is nested too deeply.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
