"""Write safetensors files: whole or not at all, and equal contents as equal bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from vsrdb_cli.checkpoints.registry import SUFFIX
from vsrdb_cli.errors import OutputError
from vsrdb_cli.files import whole

if TYPE_CHECKING:
    from torch import Tensor


def check_target(path: Path, *, overwrite: bool) -> None:
    """Check that a checkpoint can be written at `path`.

    Raises:
        OutputError: its suffix or folder is wrong, or the path exists.
    """
    if path.suffix != SUFFIX:
        raise OutputError(
            f"{path} does not end in {SUFFIX}, as checkpoints do",
            hint=f"name the output {path.stem or 'fmanet'}{SUFFIX}",
        )
    if not path.parent.is_dir():
        raise OutputError(
            f"the folder {path.parent} does not exist", hint=f"mkdir -p '{path.parent}'"
        )
    if path.is_dir():
        raise OutputError(f"{path} is a folder", hint="give a file name in it")
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists already", hint="add --overwrite to replace it")


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file; it appears under its name only when it is complete.

    Raises:
        OutputError: the disk is full or the folder not writable.
    """
    import safetensors.torch

    data = _in_fixed_order(safetensors.torch.save(tensors, metadata))
    with whole(path) as temporary:
        temporary.write_bytes(data)


def _in_fixed_order(data: bytes) -> bytes:
    """Sort the metadata of a safetensors file.

    safetensors writes them in random order (its issue 584): two runs would give two SHA-256.
    """
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # tensors start at a multiple of 8 bytes
    return len(text).to_bytes(8, "little") + text + data[8 + length :]
