"""Put tests/ on the import path, so that tests in folders share its modules."""

import pytest


@pytest.fixture(autouse=True)
def user_folders(tmp_path_factory, monkeypatch):
    """Imported weights and remembered answers of whoever runs the tests are left alone."""
    folder = tmp_path_factory.getbasetemp() / "own"
    monkeypatch.setenv("VSRDB_WEIGHTS", str(folder / "weights"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
