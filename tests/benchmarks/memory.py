"""Peak memory of restoring a video on the CPU, measured, beside what was estimated.

    python tests/benchmarks/memory.py [--size 160x90 ...] [--weights NAME|PATH|paper] [--scale 4]

Each size runs in a process of its own; counted is the peak of resident memory (Linux) above what
the process had after loading the network. `paper` is the paper's configuration, random weights.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
MIB = 2**20


def status(field: str) -> int:
    """Bytes of a field of /proc/self/status."""
    text = Path("/proc/self/status").read_text()
    return int(text.split(f"{field}:")[1].split()[0]) * 1024


def measure(arguments: argparse.Namespace, folder: Path) -> dict[str, float]:
    import clips
    import torch

    from vsrdb_cli.backends import load_runner
    from vsrdb_cli.checkpoints.checkpoint import save_checkpoint
    from vsrdb_cli.network.config import FMANetConfig
    from vsrdb_cli.network.fmanet import FMANet
    from vsrdb_cli.options import RestoreOptions
    from vsrdb_cli.pipeline.spec import RestoreSpec
    from vsrdb_cli.restore import restore_video

    (size,) = arguments.size
    width, height = map(int, size.split("x"))
    source = clips.make(folder / "in.mp4", frames=arguments.frames, height=height, width=width)
    weights = arguments.weights
    if weights == "paper":
        weights = str(folder / "paper.safetensors")
        config = FMANetConfig()
        save_checkpoint(
            Path(weights), FMANet(config).state_dict(), config, licence="none", origin="random"
        )
    torch.set_num_threads(arguments.threads)
    runner = load_runner(weights, precision=arguments.precision, device="cpu")
    warm = [runner.encode(torch.rand(1, 3, 16, 16)) for _ in range(runner.length)]
    runner.restore(warm)  # loads what torch loads at the first call
    Path("/proc/self/clear_refs").write_text("5")
    before = status("VmRSS")
    options = RestoreOptions(tile=None, scale=arguments.scale, scene_cuts=False)
    report = restore_video(source, folder / "out.mp4", options, runner=runner)
    memory = runner.memory(height, width)
    return {
        "measured": status("VmHWM") - before,
        "network": memory.total(runner.length) - memory.weights,
        "pipeline": RestoreSpec((height, width), 8, arguments.scale).pipeline_bytes,
        "seconds": report.seconds / report.frames,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", nargs="+", default=["160x90", "320x180", "640x360"])
    parser.add_argument("--weights", default="fmanet-xs")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(measure(arguments, Path(folder))))
        return
    print("size      measured  estimated  (network + pipeline)  error   s/frame")
    for size in arguments.size:
        output = subprocess.run(
            [sys.executable, __file__, "--one", *sys.argv[1:], "--size", size],
            check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip
        found = json.loads(output.splitlines()[-1])
        estimate = found["network"] + found["pipeline"]
        print(
            f"{size:9s} {found['measured'] / MIB:5.0f} MiB {estimate / MIB:6.0f} MiB "
            f" ({found['network'] / MIB:6.0f} + {found['pipeline'] / MIB:4.0f} MiB) "
            f"{estimate / found['measured'] - 1:+6.0%}  {found['seconds']:.2f}"
        )


if __name__ == "__main__":
    main()
