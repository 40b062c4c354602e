"""Write a run's EMA weights as a checkpoint: `python -m recipe.finish RUN SETTINGS -o FILE`.

float16 safetensors with the network's configuration, licence and origin, without the heads that
only training reads, and balanced for float16.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from recipe.balance import balance
from recipe.settings import Settings

from vsrdb_cli.backends import parity
from vsrdb_cli.checkpoints.checkpoint import save_checkpoint
from vsrdb_cli.network.fmanet import FMANet


def finish(run: Path, settings: Settings, target: Path, *, overwrite: bool) -> int:
    """Write the checkpoint and return the number of steps of its run."""
    state = torch.load(run / "state.pt", map_location="cpu", weights_only=True)
    network = FMANet(settings.network, training_heads=True).eval()
    network.load_state_dict(state["ema"])
    balance(network, parity.scene(settings.network.num_seq, 90, 160))
    save_checkpoint(
        target,
        network.state_dict(),
        settings.network,
        licence=settings.licence,
        origin=settings.origin,
        recipe=f"{settings.revision}, {state['step']} steps",
        dtype=torch.float16,
        overwrite=overwrite,
    )
    return int(state["step"])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("run", type=Path, help="folder with state.pt")
    parser.add_argument("settings", type=Path, help="the TOML file it was trained with")
    parser.add_argument("-o", "--out", type=Path, required=True, help="FILE.safetensors")
    parser.add_argument("--overwrite", action="store_true")
    args = parser.parse_args()
    steps = finish(args.run, Settings.read(args.settings), args.out, overwrite=args.overwrite)
    print(f"{args.out}: EMA after {steps} steps")


if __name__ == "__main__":
    main()
