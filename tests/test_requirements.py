"""Installed versions are those that were tested, and none is known to be vulnerable."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PIN = re.compile(r"^([\w.-]+)==([^\s\\]+)(.*(?:\n +--hash=sha256:[0-9a-f]{64}.*)*)", re.MULTILINE)


def pins(file):
    found = PIN.findall((ROOT / file).read_text())
    return {name.lower().replace("_", "-"): (version, more) for name, version, more in found}


def test_locked_versions_are_those_of_constraints_and_have_hashes():
    plain, named = pins("requirements-locked.txt"), pins("constraints.txt")
    development = pins("requirements-dev-locked.txt")
    assert "-r requirements-locked.txt\n" in (ROOT / "requirements-dev-locked.txt").read_text()
    assert not plain.keys() & development.keys()
    locked = plain | development
    # torch asks for setuptools, which pip has already where it takes no locks.
    assert {name: version for name, (version, _) in locked.items() if name != "setuptools"} == {
        name: version for name, (version, _) in named.items() if name != "torch"
    }
    assert all("--hash=sha256:" in hashes for _, hashes in locked.values())


@pytest.mark.parametrize(
    "name, mended",
    [
        ("torch", (2, 10)),  # CVE-2025-32434, CVE-2026-24747
        ("filelock", (3, 20, 1)),  # CVE-2025-68146
        ("pillow", (12, 2)),  # CVE-2026-25990, CVE-2026-42308
    ],
)
def test_no_version_with_a_known_vulnerability_is_allowed(name, mended):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (floor,) = [d for d in project["dependencies"] if re.match(rf"{name}\W", d)]
    assert tuple(map(int, re.search(r">=([\d.]+)", floor)[1].split("."))) >= mended
