"""The wheel of this tree, as a release builds it."""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCES = ("vsrdb_cli", "export", "weights")
FILES = ("pyproject.toml", "README.md", "LICENSE")


def build(folder: Path) -> Path:
    """Build the wheel into a folder that is empty; from a copy, as setuptools leaves files."""
    copy = folder / "source"
    for name in SOURCES:
        ignored = shutil.ignore_patterns("__pycache__", "recipe")
        shutil.copytree(ROOT / name, copy / name, ignore=ignored)
    for name in FILES:
        shutil.copy(ROOT / name, copy)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, copy]
    subprocess.run(command, check=True, capture_output=True)
    shutil.rmtree(copy)
    (wheel,) = folder.glob("*.whl")
    return wheel
