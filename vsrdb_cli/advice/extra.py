"""The packages that measuring needs, and what to say where they are missing."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from vsrdb_cli.errors import VsrdbError

MODULES = ("cv2", "skimage.restoration")


def extra(module: str) -> Any:
    """Import a module that only advising needs.

    Raises:
        VsrdbError: it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise VsrdbError(
            f"advising needs the Python package {module.partition('.')[0]}: {error}",
            hint="pip install 'vsrdb[evaluate]'",
        ) from error
