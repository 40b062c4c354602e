"""Exported files that are damaged, another's or outdated: made again, then used."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import TypeVar

from filelock import FileLock

from vsrdb_cli.backends.exported_files import ExportFiles, StaleExportError
from vsrdb_cli.errors import BackendError

T = TypeVar("T")


def current(load: Callable[[], T], files: ExportFiles, on_notice: Callable[[str], None]) -> T:
    """What `load` gives, once the files it needs are as they have to be.

    Raises:
        BackendError: they are not, and cannot be made again.
    """
    try:
        return load()
    except StaleExportError:
        pass
    try:
        # Of several processes one makes them.
        with FileLock(files.folder / ".vsrdb-export.lock"):
            try:
                return load()
            except StaleExportError as error:
                _make(error, files)
                on_notice(f"{error}; made again")
    except OSError as error:
        raise BackendError(
            f"{files.folder} holds damaged files and cannot be written to: {error.strerror}",
            hint="set VSRDB_EXPORTS to another folder, and export there",
        ) from error
    return load()


def _make(stale: StaleExportError, files: ExportFiles) -> None:
    """Run the command that makes the files: what it calls often ends the process it is in."""
    _, *words = stale.command
    done = subprocess.run(
        [sys.executable, "-P", "-m", "vsrdb_cli", *words, "--output", str(files.folder)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.startswith("error:")]
        raise BackendError(
            f"{stale}, and could not be made again:"
            f" {lines[-1].removeprefix('error: ') if lines else f'status {done.returncode}'}",
            hint=stale.hint,
        )
