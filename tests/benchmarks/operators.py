"""Operators and bytes of a network on a GPU, counted on the meta device.

python tests/benchmarks/operators.py [--weights fmanet-xs] [--size 320x180] [--precision float16]

The paper's model without `--weights`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from operators import counted, joined

from vsrdb_cli.checkpoints.checkpoint import load_checkpoint
from vsrdb_cli.network.config import FMANetConfig
from vsrdb_cli.network.fmanet import FMANet
from vsrdb_cli.network.padding import padded


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", help="a checkpoint's name or path")
    parser.add_argument("--size", default="320x180", help="WIDTHxHEIGHT of the input")
    parser.add_argument("--precision", default="float16")
    arguments = parser.parse_args()
    width, height = map(int, arguments.size.split("x"))
    weights = arguments.weights
    config = load_checkpoint(weights).config if weights else FMANetConfig()
    with torch.device("meta"):
        network = padded(FMANet(config)).to(getattr(torch, arguments.precision)).prepare()
        picture = torch.empty(1, 3, height, width)
    with torch.no_grad():
        window = joined([network.encode(picture)] * 3)
        network.restore_joined(window)  # what is made of weights alone is made once
    for name, step in (
        ("encode", lambda: network.encode(picture)),
        ("restore", lambda: network.restore_joined(window)),
    ):
        found = counted(step)
        print(f"{name}: {found.count} operators, {found.gigabytes:.1f} GB")
        for operator, moved in found.moved.most_common(12):
            print(f"  {found.launched[operator]:5} {operator:28} {moved / 1e9:6.2f} GB")


if __name__ == "__main__":
    main()
