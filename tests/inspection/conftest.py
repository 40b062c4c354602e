"""A tiny network, a tiny video, and a source of frames for the tests of inspect."""

from __future__ import annotations

from pathlib import Path

import clips
import pytest
from golden_numbers import golden

from vsrdb_cli.checkpoints.checkpoint import save_checkpoint


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a network that fits no other test's sizes: T 3, n 3, k_d 6, k_r 3."""
    case = golden("tiny_32x48")
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_checkpoint(path, case.state(), case.config, licence="MIT", origin="drawn from names")
    return path


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """8 frames of 64x48, numbered."""
    return clips.make(tmp_path_factory.mktemp("video") / "in.mkv", height=48, width=64)
