"""Operators and bytes of the paper's model on a GPU, counted on the meta device.

python tests/benchmarks/operators.py [--size 320x180] [--precision float16]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from operators import counted

from vsrdb_cli.network.config import FMANetConfig
from vsrdb_cli.network.fmanet import FMANet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="320x180", help="WIDTHxHEIGHT of the input")
    parser.add_argument("--precision", default="float16")
    arguments = parser.parse_args()
    width, height = map(int, arguments.size.split("x"))
    with torch.device("meta"):
        network = FMANet(FMANetConfig()).to(getattr(torch, arguments.precision)).prepare()
        picture = torch.empty(1, 3, height, width)
    window = [network.encode(picture) for _ in range(3)]
    network.restore(window)  # what is made of weights alone is made once
    for name, step in (
        ("encode", lambda: network.encode(picture)),
        ("restore", lambda: network.restore(window)),
    ):
        found = counted(step)
        print(f"{name}: {found.count} operators, {found.gigabytes:.1f} GB")
        for operator, moved in found.moved.most_common(12):
            print(f"  {found.launched[operator]:5} {operator:28} {moved / 1e9:6.2f} GB")


if __name__ == "__main__":
    main()
