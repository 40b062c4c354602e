"""Exported files that are damaged, outdated or another network's: rebuilt, then used."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import TypeVar

from filelock import FileLock

from vsrdb_cli.backends.exported_files import ExportFiles, StaleExportError
from vsrdb_cli.errors import BackendError

T = TypeVar("T")


def load_or_rebuild(
    load: Callable[[], T], files: ExportFiles, on_notice: Callable[[str], None]
) -> T:
    """Return what `load` does, after rebuilding the files it needs if they are stale.

    Raises:
        BackendError: they are stale, and cannot be rebuilt.
    """
    try:
        return load()
    except StaleExportError:
        pass
    try:
        # One of several processes builds them.
        with FileLock(files.folder / ".vsrdb-export.lock"):
            try:
                return load()
            except StaleExportError as error:
                rebuild(error, files)
                on_notice(f"{error}; rebuilt")
    except OSError as error:
        raise BackendError(
            f"{files.folder} holds damaged files and cannot be written to: {error.strerror}",
            hint="set VSRDB_EXPORTS to another folder, and export there",
        ) from error
    return load()


def rebuild(stale: StaleExportError, files: ExportFiles) -> None:
    """Run the command that writes the files; in a process of its own, since exporters may crash."""
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
            f"{stale}, and could not be rebuilt:"
            f" {lines[-1].removeprefix('error: ') if lines else f'status {done.returncode}'}",
            hint=stale.hint,
        )
