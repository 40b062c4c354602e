"""Folders of the user: caches, and imported files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from platformdirs import user_cache_path, user_data_path


def cache_folder() -> Path | None:
    """Return the folder for files that can be made again; None for a user without a home."""
    return _folder(user_cache_path)


def data_folder() -> Path | None:
    """Return the folder for what is to stay; None for a user without a home."""
    return _folder(user_data_path)


def _folder(find: Callable[..., Path]) -> Path | None:
    try:
        folder = find("vsrdb", appauthor=False)
    except RuntimeError:
        return None
    return folder if folder.is_absolute() else None  # older versions answer "~/.cache"
