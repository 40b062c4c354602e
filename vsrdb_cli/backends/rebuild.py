"""Exported files that are missing, damaged, outdated or another network's: built, then used."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from typing import TypeVar

from filelock import FileLock

from vsrdb_cli.backends.exported_files import ExportFiles, StaleExportError
from vsrdb_cli.errors import BackendError

T = TypeVar("T")


def load_or_rebuild(
    load: Callable[[], T], files: ExportFiles, on_notice: Callable[[str], None]
) -> T:
    """Return what `load` does, after building the files it needs if they are missing or stale.

    Raises:
        BackendError: they cannot be built.
    """
    try:
        return load()
    except StaleExportError:
        pass
    try:
        files.folder.mkdir(parents=True, exist_ok=True)
        # One of several processes builds them.
        with FileLock(files.folder / ".vsrdb-export.lock"):
            try:
                return load()
            except StaleExportError as error:
                missing, started = not files.complete(), time.monotonic()
                rebuild(error, files, missing=missing)
                seconds = time.monotonic() - started
                on_notice(
                    f"exported {files.weights} in {files.precision}, which is done once and took"
                    f" {seconds:.0f} s"
                    if missing
                    else f"{error}; rebuilt"
                )
    except OSError as error:
        raise BackendError(
            f"{files.folder} cannot be written to: {error.strerror}",
            hint="set VSRDB_EXPORTS to another folder, and export there",
        ) from error
    return load()


def rebuild(stale: StaleExportError, files: ExportFiles, *, missing: bool) -> None:
    """Run the command that writes the files, in a process of its own, since exporters may crash."""
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
        what = f"{files.weights} could not be exported" if missing else (
            f"{stale}, and could not be rebuilt"
        )  # fmt: skip
        reason = lines[-1].removeprefix("error: ") if lines else f"status {done.returncode}"
        raise BackendError(
            f"{what}: {reason}",
            hint=stale.hint,
        )
