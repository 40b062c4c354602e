"""What the nodes of a cluster can do, found out by doing it on each."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch

from vsrdb_cli.backends import load_runner
from vsrdb_cli.checkpoints.registry import default_weights
from vsrdb_cli.cluster.agreement import require_same, versions
from vsrdb_cli.cluster.connection import actor_on, connected, nodes
from vsrdb_cli.cluster.pool import reason
from vsrdb_cli.errors import VsrdbError

# Importing torch and loading a network takes this long on a slow, busy machine.
_PATIENCE_SECONDS = 180.0
_HINT = "install the same version of vsrdb there, and see what is in use: ray status"


class Trial:
    """Runs on a node."""

    def versions(self) -> dict[str, str]:
        return versions()

    def device(self) -> str:
        """Restore a frame; says on what, and how long it took."""
        started = time.monotonic()
        runner = load_runner(default_weights())
        features = runner.encode(torch.rand(1, 3, 64, 80))
        if not runner.restore([features] * runner.length).isfinite().all():
            raise VsrdbError(f"{runner.info}: its results are not finite")
        return f"{runner.info}, loaded and run in {time.monotonic() - started:.1f} s"

    def folder(self, path: Path) -> bool:
        """Whether a folder can be read."""
        return path.is_dir() and os.access(path, os.R_OK | os.X_OK)


class Answer(NamedTuple):
    """Of a node, to one question. works: None where it is no fault. hint: what helps."""

    name: str
    works: bool | None
    detail: str
    hint: str | None = None


def ask_nodes(address: str, folder: Path) -> Iterator[Answer]:
    """Try every node of a cluster.

    Args:
        folder: where sources lie.

    Raises:
        VsrdbError: Ray is not installed, or there is no cluster.
    """
    with connected(address, verbose=False, ship_code=False) as ray:
        for node in nodes(ray):
            offers = f"{node.cpus} CPUs, {node.gpus} GPUs, {node.memory / 2**30:.1f} GiB"
            yield Answer(node.name, True, offers)
            for actor in actor_on(ray, Trial, node, 0):
                questions = {
                    "versions": actor.versions.remote(),
                    "device": actor.device.remote(),
                    "folder": actor.folder.remote(folder),
                }
                for what, call in questions.items():
                    name = f"{node.name} {what}"
                    try:
                        answer = ray.get(call, timeout=_PATIENCE_SECONDS)
                        yield _answer(name, node.name, folder, answer)
                    except VsrdbError as error:
                        yield Answer(name, False, str(error.args[0]), error.hint)
                    except ray.exceptions.RayError as error:
                        yield Answer(name, False, reason(error), _HINT)
                ray.kill(actor)


def _answer(name: str, node: str, folder: Path, said: dict[str, str] | str | bool) -> Answer:
    """What a node has said.

    Raises:
        BackendError: its versions are others.
    """
    if isinstance(said, dict):
        require_same("this machine", versions(), node, said)
        return Answer(name, True, "those of this machine")
    if isinstance(said, str):
        return Answer(name, True, said)
    if said:
        return Answer(name, True, f"{folder} can be read")
    return Answer(name, None, f"{folder} cannot be read: each segment's packets are sent")
