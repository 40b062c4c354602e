"""Small JSON documents that anybody may have written, read within limits."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

# A journal of a day with a scene cut every second has less than one mebibyte; a batch lists its
# inputs, some hundred bytes each.
_LONGEST = 64 << 20


def read_json(path: Path, limit: int = _LONGEST) -> Any:
    """Read a JSON file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not a regular file, has more than `limit` bytes, or is not JSON in UTF-8.
    """
    opened = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))  # a pipe is not waited for
    with os.fdopen(opened, "rb") as file:
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            raise ValueError("it is not a regular file")
        content = file.read(limit + 1)
    if len(content) > limit:
        raise ValueError(f"it is longer than {limit} bytes")
    return parse_json(content.decode("utf-8"))


def parse_json(text: str) -> Any:
    """Parse JSON, as `json.loads` does, with one kind of error.

    Raises:
        ValueError: it is not JSON, or is nested too deeply.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
