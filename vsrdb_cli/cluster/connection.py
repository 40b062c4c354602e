"""The connection to a Ray cluster, and its nodes."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from vsrdb_cli.errors import BackendError
from vsrdb_cli.runtime import environment
from vsrdb_cli.text import count

LOCAL, AUTO = "local", "auto"
KEPT_HINT = "finished segments are kept; run the same command again, with or without --ray"
# How long a machine may take to answer.
_REACH_SECONDS = 5.0
_LEAVE_SECONDS = 10.0
_SETTINGS = 4  # the type of the frame that either side of HTTP/2 sends first (RFC 9113, 3.4)


@dataclass(frozen=True)
class Node:
    """A machine of the cluster, with the resources that Ray may hand out."""

    id: str
    name: str
    cpus: int
    gpus: int
    memory: int
    """In bytes."""


@dataclass(frozen=True)
class Cluster:
    """A cluster that this process is connected to."""

    ray: Any
    """The library."""

    def check_alive(self) -> None:
        """Check that the cluster's head still answers.

        Raises:
            BackendError: it does not. Ray itself would wait for a minute, then end the program.
        """
        address = self.ray.get_runtime_context().gcs_address
        if not _answers(address):
            raise BackendError(f"the Ray cluster at {address} is gone", hint=KEPT_HINT)

    def nodes(self) -> list[Node]:
        """Return the nodes alive that offer CPUs or GPUs."""
        found = []
        for values in self.ray.nodes():
            resources = values["Resources"]
            cpus, gpus = int(resources.get("CPU", 0)), int(resources.get("GPU", 0))
            if values["Alive"] and (cpus or gpus):
                name, node_id = values["NodeManagerHostname"], values["NodeID"]
                found.append(Node(node_id, name, cpus, gpus, int(resources.get("memory", 0))))
        return found

    def start_actors(self, kind: type, node: Node, memory: int = 0) -> list[Any]:
        """Start actors of a class on a node: one for each GPU, or one with all its CPUs.

        Args:
            memory: bytes that each needs.
        """
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        number = max(1, node.gpus)
        remote = self.ray.remote(kind).options(
            num_cpus=node.cpus // number,
            num_gpus=1 if node.gpus else 0,
            memory=memory,
            max_restarts=0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, soft=False),
        )
        return [remote.remote() for _ in range(number)]


def library() -> Any:
    """Import Ray.

    Raises:
        BackendError: it is not installed.
    """
    try:
        import ray
    except ImportError:
        raise BackendError(
            "--ray needs Ray, which is not installed", hint="pip install 'vsrdb[ray]'"
        ) from None
    return ray


@contextmanager
def connected(address: str, *, verbose: bool, ship_code: bool) -> Iterator[Cluster]:
    """Connect to a cluster; "local" starts one of this machine alone, and ends it.

    A connection that the program has already is used, and kept open.

    Raises:
        BackendError: Ray is not installed, or there is no cluster.
    """
    with _settings_of_ray(verbose=verbose):
        ray = library()
    if ray.is_initialized():
        yield Cluster(ray)
        return
    _check_reachable(address)
    settings: dict[str, Any] = {"include_dashboard": False} if address == LOCAL else {}
    with tempfile.TemporaryDirectory() as folder:
        if ship_code:
            settings["runtime_env"] = {"py_modules": [str(_code(Path(folder)))]}
        terminate = signal.getsignal(signal.SIGTERM)
        try:
            with _settings_of_ray(verbose=verbose), nullcontext() if verbose else silent_stderr():
                ray.init(
                    address,
                    log_to_driver=verbose,
                    logging_level="INFO" if verbose else "ERROR",
                    **settings,
                )
        except (ConnectionError, RuntimeError, ValueError) as error:
            # `ray start` asks for a token where there is one; a program must be told to send it.
            if "InvalidAuthToken" in str(error.__cause__):
                raise BackendError(
                    f"the Ray cluster at {address} asks for a token, and got none or a wrong one",
                    hint="export RAY_AUTH_MODE=token, with the cluster's ~/.ray/auth_token here",
                ) from error
            raise BackendError(
                f"cannot join a Ray cluster at {address}: {str(error).splitlines()[0]}",
                hint="run vsrdb on a machine of the cluster; start one with: ray start --head",
            ) from error
        finally:
            # Ray's handler ends the program at once, without the messages of a stopped run.
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, terminate)
        try:
            yield Cluster(ray)
        finally:
            _leave(ray)


def describe(found: list[Node]) -> str:
    """Return text such as "2 nodes, 16 CPUs, 1 GPU"."""
    cpus, gpus = sum(node.cpus for node in found), sum(node.gpus for node in found)
    return f"{count(len(found), 'node')}, {count(cpus, 'CPU')}, {count(gpus, 'GPU')}"


@contextmanager
def _settings_of_ray(*, verbose: bool) -> Iterator[None]:
    """Set the variables that Ray reads when it is imported and when it starts a cluster."""
    # Ray prints on stdout what happens to nodes, whether or not logs are wanted.
    quiet = {} if verbose else {"RAY_DEDUP_LOGS_SKIP_REGEX": "."}
    with environment(RAY_USAGE_STATS_ENABLED="0", RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0", **quiet):
        yield


@contextmanager
def silent_stderr() -> Iterator[None]:
    """Discard what the process writes to its standard error.

    Ray's library writes there while it looks for a cluster, whatever its settings.
    """
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _check_reachable(address: str) -> None:
    if address not in (LOCAL, AUTO) and not _answers(address):
        raise BackendError(
            f"nothing answers at {address}",
            hint="ray start --head prints the address of the cluster it starts",
        )
    if address not in (LOCAL, AUTO) and not _speaks_http2(address):
        raise BackendError(
            f"the program at {address} is not a Ray cluster",
            hint="ray start --head prints the address of the cluster it starts; its port is 6379 by"
            " default, and 8265 is the dashboard's",
        )


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), _REACH_SECONDS):
            return True
    except (OSError, ValueError):
        return False


def _speaks_http2(address: str) -> bool:
    """Return whether a server greets as gRPC's do; Ray would wait minutes for any other."""
    if os.environ.get("RAY_USE_TLS") == "1":
        return True
    host, _, port = address.rpartition(":")
    no_settings = bytes((0, 0, 0, _SETTINGS, 0, 0, 0, 0, 0))
    try:
        with socket.create_connection((host.strip("[]"), int(port)), _REACH_SECONDS) as connection:
            connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + no_settings)
            head = connection.recv(len(no_settings), socket.MSG_WAITALL)
    except OSError:
        return False
    return len(head) == len(no_settings) and head[3] == _SETTINGS


def _code(folder: Path) -> Path:
    """Copy the package into one folder, wherever its parts lie."""
    whole = folder / "vsrdb_cli"
    unwanted = shutil.ignore_patterns("__pycache__")
    for package in ("", "export", "weights"):
        found = find_spec(f"vsrdb_cli.{package}".rstrip("."))
        assert found is not None
        assert found.submodule_search_locations is not None
        shutil.copytree(
            found.submodule_search_locations[0],
            whole / package,
            ignore=unwanted,
            dirs_exist_ok=True,
        )
    return whole


def _leave(ray: Any) -> None:
    # Without a head, Ray waits for it; what is left of the connection ends with the process.
    leaving = threading.Thread(target=ray.shutdown, daemon=True)
    leaving.start()
    leaving.join(_LEAVE_SECONDS)
