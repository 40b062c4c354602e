"""Small documents that anybody may have written: JSON, read within limits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vsrdb_cli.disks import LONGEST_RECORD, read_regular


def read_json(path: Path, limit: int = LONGEST_RECORD) -> Any:
    """What a file of JSON holds.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no file, longer than `limit` bytes, or no JSON in UTF-8.
    """
    return parse_json(read_regular(path, limit).decode("utf-8"))


def parse_json(text: str) -> Any:
    """`json.loads`, with one error for all that is no JSON.

    Raises:
        ValueError: as there, or it is nested too deeply.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
