"""`uvx` and `pipx run` restore a clip from an index, without CUDA where the line asks for that.

The index is this machine's: the wheel of this tree, and the packages that the tests run with,
packed again. Its torch is one that needs CUDA libraries; the real one is in a second index.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import threading
import zipfile
from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import clips
import pytest
import torch
import wheels
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

pytestmark = [pytest.mark.slow, pytest.mark.linux]

ROOT = Path(__file__).parents[1]
LINES = re.search(
    r"<!-- ci: index -->\n```sh\n(.*?)```", (ROOT / "docs/INSTALL.md").read_text("utf-8"), re.DOTALL
)[1].splitlines()


def runtime(name, found):
    """Add the distributions that one needs, as installed here, to `found`."""
    for text in importlib.metadata.requires(name) or ():
        need = Requirement(text)
        key = canonicalize_name(need.name)
        if key not in found and (need.marker is None or need.marker.evaluate({"extra": ""})):
            found[key] = importlib.metadata.distribution(key)
            runtime(key, found)
    return found


def pack(folder, name, version, files, tag="py3-none-any"):
    """Write a wheel of (name in it, bytes or path) pairs; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name.replace('-', '_')}-{version}-{tag}.whl"
    about = f"{name.replace('-', '_')}-{version}.dist-info"
    record = [f"{about}/RECORD,,"]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for file, content in files:
            data = content if isinstance(content, bytes) else Path(content).read_bytes()
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            record.append(f"{file},sha256={digest},{len(data)}")
            archive.writestr(file, data)
        archive.writestr(f"{about}/RECORD", "\n".join(record) + "\n")
    return path


def installed(distribution):
    """The files of an installed wheel, but for its scripts and what installing wrote."""
    for file in distribution.files or ():
        made = file.name in {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"}
        if ".." not in file.parts and "__pycache__" not in file.parts and not made:
            yield str(file), distribution.locate_file(file)


def made_up(name, version, *needs):
    """The files of a package that is empty, but needs others."""
    about = f"{name.replace('-', '_')}-{version}.dist-info"
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    lines += [f"Requires-Dist: {need}" for need in needs]
    wheel = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    yield f"{about}/METADATA", ("\n".join(lines) + "\n").encode()
    yield f"{about}/WHEEL", wheel.encode()


class Quiet(SimpleHTTPRequestHandler):
    """Serve a folder, and remember which wheels were asked for."""

    taken: list[str]

    def do_GET(self):
        if self.path.endswith(".whl"):
            self.taken.append(unquote(self.path.rsplit("/", 1)[1]))
        with suppress(ConnectionError):  # uv reads the description in a wheel, and no more
            super().do_GET()

    def log_message(self, *_):
        pass


class Index:
    """Two indexes, as in PEP 503: `address` has vsrdb and CUDA's torch, `cpu` the CPU's."""

    def __init__(self, folder):
        self.folder, self.taken = folder, []
        handler = type("Handler", (Quiet,), {"taken": self.taken})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=folder))
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.address, self.cpu = (
            f"http://127.0.0.1:{self.server.server_port}/{name}/" for name in ("main", "cpu")
        )

    def fill(self):
        needed = runtime("vsrdb", {})
        version = torch.__version__.partition("+")[0]
        for name, distribution in needed.items():
            tag = re.search(r"^Tag: (.*)$", distribution.read_text("WHEEL"), re.MULTILINE)[1]
            place = self.folder / ("cpu" if name == "torch" else "main") / name
            local = f"{version}+cpu" if name == "torch" else distribution.version
            pack(place, name, local, installed(distribution), tag)
        pack(self.folder / "main/torch", "torch", version, made_up("torch", version, "cuda-trap"))
        pack(self.folder / "main/cuda-trap", "cuda-trap", "1", made_up("cuda-trap", "1"))
        wheels.build(self.folder / "main/vsrdb")


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    if torch.version.cuda or "+cpu" not in torch.__version__:
        pytest.skip(f"torch {torch.__version__} is no CPU build for Linux")
    for tool in ("uv", "pipx"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    index = Index(tmp_path_factory.mktemp("index"))
    index.fill()
    yield index
    index.server.shutdown()


def run(line, index, folder, **more):
    """Run a line of the page as in a new account, with the index in place of all others."""
    index.taken.clear()
    kept = {key: os.environ[key] for key in ("PATH", "LANG", "SSL_CERT_FILE") if key in os.environ}
    environment = kept | {
        **{"HOME": str(folder), "UV_DEFAULT_INDEX": index.address, "UV_NO_CONFIG": "1"},
        **{"PIP_INDEX_URL": index.address, "PIP_CONFIG_FILE": os.devnull, "PIP_NO_COMPILE": "1"},
        **{"UV_PYTHON": sys.executable, "PIPX_DEFAULT_PYTHON": sys.executable},
        **{"PIPX_DISABLE_SHARED_LIBS_AUTO_UPGRADE": "1", "TORCH_CPU_INDEX": index.cpu},
    }
    return subprocess.run(
        ["bash", "-c", line], cwd=folder, env=environment | more,
        capture_output=True, text=True, check=False, timeout=500,
    )  # fmt: skip


def taken(index, name):
    return {file for file in index.taken if file.startswith(f"{name}-")}


@pytest.mark.parametrize("line", LINES[1:], ids=["uvx", "pipx"])
def test_a_clip_is_restored_by_one_line_without_cuda(index, tmp_path, line):
    clips.make(tmp_path / "in.mp4", frames=3, height=24, width=32)
    ended = run(line, index, tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert clips.read(tmp_path / "out.mp4").images[0].shape[:2] == (96, 128)
    assert {"+cpu" in file for file in taken(index, "torch")} == {True}
    assert not taken(index, "cuda_trap")


@pytest.mark.parametrize("line", ["uvx vsrdb --version", "pipx run vsrdb --version"])
def test_without_the_words_before_it_cuda_is_installed(index, tmp_path, line):
    """Or the test before would prove nothing."""
    ended = run(line, index, tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert {"+cpu" in file for file in taken(index, "torch")} == {False}
    assert taken(index, "cuda_trap")


def test_uv_knows_the_backend_that_the_first_line_names(tmp_path):
    if shutil.which("uvx") is None:
        pytest.skip("uv is not installed")
    assert LINES[0].startswith("UV_TORCH_BACKEND=cpu uvx vsrdb ")
    said = subprocess.run(["uvx", "--help"], capture_output=True, text=True, check=True).stdout
    assert "UV_TORCH_BACKEND=" in said
