"""Put everything a comparison shows into one HTML document."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

from vsrdb_cli.errors import OptionError
from vsrdb_cli.files import check_file
from vsrdb_cli.pages import PAGE_SUFFIXES, fill_page, script_json
from vsrdb_cli.video.reading.y4m_reader import is_stream_input


def check_page(path: Path, sources: Sequence[Path], *, overwrite: bool) -> None:
    """Check before the work that a page of `sources` can be written to `path`.

    Raises:
        OptionError: its extension is not that of a page, or a source is a stream.
        OutputError: it is a source, exists, or its folder is not writable.
    """
    if path.suffix.lower() not in PAGE_SUFFIXES:
        raise OptionError(
            f"{path.name}: unsupported page extension '{path.suffix}'",
            hint=f"use {' or '.join(PAGE_SUFFIXES)}",
        )
    if any(is_stream_input(source) for source in sources):
        raise OptionError(
            "compare needs files, not stdin, stdout or named pipes",
            hint="save the stream to a file first",
        )
    for source in sources:
        check_file(path.absolute(), source, overwrite=overwrite)


def page_of(data: Mapping[str, Any], lossless: Mapping[int, bytes], video: bytes | None) -> str:
    """Return the document.

    Args:
        data: what the script reads; see `compare.py`.
        lossless: WebP files of stacked pictures by frame number.
        video: the stacked pictures as an mp4 file, unless all are in `lossless`.
    """
    package = "vsrdb_cli.comparison"
    folder = resources.files(package)
    names = data["names"]
    return fill_page(
        package,
        title=escape(f"{names['before']} → {names['after']}"),
        style=folder.joinpath("page.css").read_text("utf-8"),
        script=folder.joinpath("page.js").read_text("utf-8"),
        data=script_json(data),
        pictures=script_json({number: _base64(webp) for number, webp in lossless.items()}),
        video=_base64(video) if video else "",
    )


def _base64(data: bytes) -> str:
    return b64encode(data).decode("ascii")
