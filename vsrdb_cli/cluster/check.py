"""Checks the nodes of a cluster by trying each of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from vsrdb_cli.backends import try_network
from vsrdb_cli.checkpoints.registry import default_weights
from vsrdb_cli.cluster.agreement import require_same, versions
from vsrdb_cli.cluster.connection import connected
from vsrdb_cli.cluster.pool import reason
from vsrdb_cli.errors import VsrdbError

# Importing torch and loading a network takes this long on a slow, busy machine.
_PATIENCE_SECONDS = 180.0
_HINT = "install the same version of vsrdb there, and see what is in use: ray status"


class NodeCheck:
    """Runs on a node."""

    def versions(self) -> dict[str, str]:
        """Return the versions of the software there."""
        return versions()

    def network(self) -> str:
        """Restore a frame; describe what ran."""
        return try_network(default_weights())

    def can_read(self, folder: Path) -> bool:
        """Return whether a folder can be read there."""
        return folder.is_dir() and os.access(folder, os.R_OK | os.X_OK)


class Answer(NamedTuple):
    """A node's answer to one question."""

    name: str
    works: bool | None
    """None where it does not, which is no fault."""

    detail: str
    hint: str | None = None


def ask_nodes(address: str, folder: Path) -> Iterator[Answer]:
    """Try every node of a cluster.

    Args:
        folder: of the sources.

    Raises:
        VsrdbError: Ray is not installed, or there is no cluster.
    """
    with connected(address, verbose=False, ship_code=False) as cluster:
        ray = cluster.ray
        for node in cluster.nodes():
            offers = f"{node.cpus} CPUs, {node.gpus} GPUs, {node.memory / 2**30:.1f} GiB"
            yield Answer(node.name, True, offers)
            for actor in cluster.start_actors(NodeCheck, node):
                questions = {
                    "versions": actor.versions.remote(),
                    "device": actor.network.remote(),
                    "folder": actor.can_read.remote(folder),
                }
                for question, call in questions.items():
                    name = f"{node.name} {question}"
                    try:
                        answer = ray.get(call, timeout=_PATIENCE_SECONDS)
                        yield _judge(name, node.name, folder, answer)
                    except VsrdbError as error:
                        yield Answer(name, False, str(error.args[0]), error.hint)
                    except ray.exceptions.RayError as error:
                        yield Answer(name, False, reason(error), _HINT)
                ray.kill(actor)


def _judge(name: str, node: str, folder: Path, answer: dict[str, str] | str | bool) -> Answer:
    """Judge an answer of `NodeCheck`.

    Raises:
        BackendError: the node has other versions.
    """
    match answer:
        case dict():
            require_same("this machine", versions(), node, answer)
            return Answer(name, True, "same as on this machine")
        case str():
            return Answer(name, True, answer)
    if answer:
        return Answer(name, True, f"{folder} can be read")
    return Answer(name, None, f"{folder} cannot be read: each segment's packets are sent")
