"""Put tests/ on the import path, so that tests in folders share its modules."""

import os
import sys

import pytest

# Tests run beside each other, a process a core: more threads would wait, spinning, for cores that
# others use. OpenMP reads this when it is loaded.
os.environ.setdefault("OMP_NUM_THREADS", "1")

SYSTEMS = {"linux": sys.platform == "linux", "posix": os.name == "posix"}


LONGEST_NAME = 71


def pytest_xdist_auto_num_workers():
    """Return how many tests run at once: one more than cores, since they wait for disks, too."""
    return min(4, (os.cpu_count() or 1) + 1)


@pytest.hookimpl(tryfirst=True)  # before tests are chosen by their markers
def pytest_collection_modifyitems(items):
    """Apply the markers of pyproject.toml: `cases`, and what a system lacks."""
    seen = set()
    for item in items:
        if item.get_closest_marker("cases"):
            test = item.parent, item.originalname
            if test in seen:
                item.add_marker(pytest.mark.slow)
            seen.add(test)
        for name, is_this in SYSTEMS.items():
            if item.get_closest_marker(name) and not is_this:
                item.add_marker(pytest.mark.skip(reason=f"needs what only {name} systems have"))


def pytest_runtest_setup(item):
    """Fail a test whose name is not short."""
    name = getattr(item, "originalname", item.name)
    if len(name) > LONGEST_NAME:
        pytest.fail(f"{name} has more than {LONGEST_NAME} characters", pytrace=False)


@pytest.fixture(autouse=True)
def user_folders(tmp_path_factory, monkeypatch):
    """Imported weights and remembered answers of whoever runs the tests are left alone."""
    folder = tmp_path_factory.getbasetemp() / "own"
    monkeypatch.setenv("VSRDB_WEIGHTS", str(folder / "weights"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
