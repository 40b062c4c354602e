"""vsrdb runs from a folder that it cannot write to, as one that belongs to the system."""

import os
import shutil
import subprocess
import sys

import clips
import pytest
import wheels

pytestmark = [pytest.mark.slow, pytest.mark.posix]


@pytest.fixture(scope="module")
def bound():
    """The words before a command that let permissions bind root as well."""
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("root can write everywhere, and there is no setpriv here")
    return ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """A folder with only vsrdb in it, as pip installs it, without a right to write."""
    folder = tmp_path_factory.mktemp("installed") / "site-packages"
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-compile"]
    wheel = wheels.build(tmp_path_factory.mktemp("wheel"))
    subprocess.run([*command, "--target", folder, wheel], check=True)
    paths = [folder, *folder.rglob("*")]
    for path in paths:
        path.chmod(path.stat().st_mode & ~0o222)
    yield folder
    for path in paths:
        path.chmod(path.stat().st_mode | 0o200)


def python(bound, packages, folder, *arguments):
    return subprocess.run(
        [*bound, sys.executable, *map(str, arguments)],
        cwd=folder, env=os.environ | {"PYTHONPATH": str(packages)},
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip


def test_a_clip_is_restored_and_nothing_is_written_beside_the_code(bound, packages, tmp_path):
    clips.make(tmp_path / "in.mp4", frames=3, height=24, width=32)
    before = sorted(packages.rglob("*"))
    where = python(bound, packages, tmp_path, "-c", "import vsrdb_cli; print(vsrdb_cli.__file__)")
    assert where.stdout.startswith(str(packages))
    ended = python(
        bound, packages, tmp_path, "-m", "vsrdb_cli", "restore", "in.mp4", "out.mp4", "-v"
    )
    assert ended.returncode == 0, ended.stderr
    assert len(clips.read(tmp_path / "out.mp4").numbers) == 3
    assert sorted(packages.rglob("*")) == before


def test_the_folder_cannot_be_written_to(bound, packages, tmp_path):
    """Or the test before would prove nothing."""
    code = f"open({str(packages / 'vsrdb_cli' / 'new')!r}, 'w')"
    assert "PermissionError" in python(bound, packages, tmp_path, "-c", code).stderr
