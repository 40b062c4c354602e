"""vsrdb: restore blurry, low-resolution video, sharp and four times as large.

The front door for programs; docs/API.md has an example of each. Everything here is imported when
it is first used, so that importing the package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vsrdb_cli.backends import load_runner as load_runner
    from vsrdb_cli.backends.runner import Runner as Runner
    from vsrdb_cli.backends.runner import RunnerInfo as RunnerInfo
    from vsrdb_cli.errors import BackendError as BackendError
    from vsrdb_cli.errors import CheckpointError as CheckpointError
    from vsrdb_cli.errors import OptionError as OptionError
    from vsrdb_cli.errors import OutputError as OutputError
    from vsrdb_cli.errors import ResourceError as ResourceError
    from vsrdb_cli.errors import VideoError as VideoError
    from vsrdb_cli.errors import VsrdbError as VsrdbError
    from vsrdb_cli.jobs.report import Progress as Progress
    from vsrdb_cli.jobs.report import RestoreReport as RestoreReport
    from vsrdb_cli.options import EncoderOptions as EncoderOptions
    from vsrdb_cli.options import Hdr as Hdr
    from vsrdb_cli.options import RestoreOptions as RestoreOptions
    from vsrdb_cli.pipeline.frames import restore_frames as restore_frames
    from vsrdb_cli.restore import restore_video as restore_video
    from vsrdb_cli.runtime import configure_runtime as configure_runtime

__version__ = "0.1.0"

_HOMES = {
    "load_runner": "vsrdb_cli.backends",
    "Runner": "vsrdb_cli.backends.runner",
    "RunnerInfo": "vsrdb_cli.backends.runner",
    "BackendError": "vsrdb_cli.errors",
    "CheckpointError": "vsrdb_cli.errors",
    "OptionError": "vsrdb_cli.errors",
    "OutputError": "vsrdb_cli.errors",
    "ResourceError": "vsrdb_cli.errors",
    "VideoError": "vsrdb_cli.errors",
    "VsrdbError": "vsrdb_cli.errors",
    "Progress": "vsrdb_cli.jobs.report",
    "RestoreReport": "vsrdb_cli.jobs.report",
    "EncoderOptions": "vsrdb_cli.options",
    "Hdr": "vsrdb_cli.options",
    "RestoreOptions": "vsrdb_cli.options",
    "restore_frames": "vsrdb_cli.pipeline.frames",
    "restore_video": "vsrdb_cli.restore",
    "configure_runtime": "vsrdb_cli.runtime",
}
__all__ = ["__version__", *_HOMES]  # noqa: PLE0604


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'vsrdb_cli' has no attribute '{name}'")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
