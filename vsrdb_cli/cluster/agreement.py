"""The facts that must be the same on all nodes, so that segments of one video fit together."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch

from vsrdb_cli import __version__
from vsrdb_cli.errors import BackendError
from vsrdb_cli.video.containers.opening import library_versions
from vsrdb_cli.video.frame import Frame
from vsrdb_cli.video.writing.output import Output

# Signatures that encoders write into a video.
_SIGNATURE = re.compile(rb"x264 - core \w+(?: r\w+)?|x265 \(build \d+\) - [\w.+-]+")


def versions() -> dict[str, str]:
    """Return the versions of the software here, by names that users know."""
    libraries = library_versions().items()
    return {
        "vsrdb": __version__,
        "torch": torch.__version__.partition("+")[0],  # the CPU's and the GPU's builds agree
        "FFmpeg": " ".join(f"{name} {'.'.join(map(str, number))}" for name, number in libraries),
    }


def encoder_facts(output: Output, scale: int) -> dict[str, str]:
    """Return the encoder and its version, by the signature in a frame written for `output`.

    Raises:
        VsrdbError: the encoder does not work here.
    """
    dtype = torch.uint8 if output.bit_depth == 8 else torch.uint16
    height, width = output.info.height * scale, output.info.width * scale
    with tempfile.TemporaryDirectory() as folder:
        path = output.segment(Path(folder), 0)
        with output.open_segment(path, 1) as sink:
            black = torch.zeros((3, height, width), dtype=dtype)
            sink.write(Frame(black, 0, output.info.frame_ticks))
            sink.commit(1)
        signature = None if path.is_dir() else _SIGNATURE.search(path.read_bytes())
    name = output.description.split()[0]
    return {"encoder": name if signature is None else f"{name}, {signature[0].decode()}"}


def require_same(here: str, ours: Mapping[str, str], there: str, theirs: Mapping[str, str]) -> None:
    """Check that two nodes agree.

    Raises:
        BackendError: they do not; names the differences.
    """
    different = [name for name, value in ours.items() if theirs.get(name, "") != value]
    if not different:
        return
    text = "; ".join(f"{name} is {theirs.get(name)}, on {here} {ours[name]}" for name in different)
    hint = "install the same versions on all nodes"
    if "vsrdb" in different:
        hint = f"on {there}: pip install vsrdb=={ours['vsrdb']}; or add --ray-ship-code"
    elif different == ["precision"]:
        hint = f"choose one for all: --precision {ours['precision']}"
    raise BackendError(f"{there} differs from {here}: {text}", hint=hint)
