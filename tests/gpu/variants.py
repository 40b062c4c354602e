"""What a choice about the network brings on a GPU: milliseconds a frame with and without it.

    python tests/gpu/variants.py [--json FILE] [--seconds 90]

fmanet-xs and the paper's network in float16, 320x180, encode and restore of one frame, recorded:
as they are; with cuDNN's choice of kernels by trial; with weights that lie channels last; and, of
the paper's, with all widths multiples of 8. All in one process, so that ratios hold. What would
begin after `--seconds` is left out. (`--device cpu --small` tries the program itself.)
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import torch
from speed import SMALL, Alone

from vsrdb_cli.backends import parity
from vsrdb_cli.backends.pytorch import TorchRunner
from vsrdb_cli.checkpoints.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from vsrdb_cli.network.config import FMANetConfig
from vsrdb_cli.network.fmanet import FMANet

WIDE = {"dim": 96, "growth_rate": 24, "num_flow": 8, "ffn_expansion_factor": 2.6667}


def of_seed(folder: Path, **changes: object) -> Checkpoint:
    """A network of random weights: speed does not depend on them."""
    torch.manual_seed(0)
    config = FMANetConfig(**changes)
    path = folder / f"{config.dim}.safetensors"
    save_checkpoint(path, FMANet(config).state_dict(), config, licence="none", origin="a seed")
    return load_checkpoint(path)


def milliseconds(
    checkpoint: Checkpoint, device: str, size: tuple[int, int], *, last: bool
) -> float:
    runner = TorchRunner(checkpoint, device, "float16" if device != "cpu" else "float32")
    if last:
        runner._network.to(memory_format=torch.channels_last)
        runner._network.prepare()
    alone = Alone(torch.device(device))
    held = [runner.encode(picture) for picture in parity.scene(3, *size)]
    picture = parity.scene(1, *size)[0].to(device)
    repeats = 12 if device != "cpu" else 1
    return alone.median(lambda: runner.encode(picture), repeats) + alone.median(
        lambda: runner.restore_on_device(held), repeats
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seconds", type=float, default=90, help="after which nothing is begun")
    parser.add_argument("--json", type=Path, help="write the numbers here too")
    parser.add_argument("--small", action="store_true", help="small networks and pictures")
    arguments = parser.parse_args()
    end = time.monotonic() + arguments.seconds
    size = (24, 32) if arguments.small else (180, 320)
    found: dict[str, float | str] = {}
    with tempfile.TemporaryDirectory() as name:
        small = SMALL if arguments.small else {}
        wide = SMALL | {"dim": 24} if arguments.small else WIDE
        networks = {
            "xs": load_checkpoint("fmanet-xs"),
            "paper": of_seed(Path(name), **small),
            "paper, multiples of 8": of_seed(Path(name), **wide),
        }
        ways = {"as it is": (False, False), "benchmark": (True, False)}
        ways |= {"weights channels last": (False, True), "both": (True, True)}
        for way, (benchmark, last) in ways.items():
            torch.backends.cudnn.benchmark = benchmark
            for network, checkpoint in networks.items():
                key = f"{network}, {way}"
                try:
                    if time.monotonic() > end:
                        raise TimeoutError("no time is left")
                    taken = milliseconds(checkpoint, arguments.device, size, last=last)
                    found[key] = round(taken, 3)
                except Exception as error:  # the others are still measured
                    found[key] = f"{type(error).__name__}: {str(error).splitlines()[0]}"
                print(f"{key:45} {found[key]}", flush=True)
                if arguments.json is not None:
                    arguments.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
