"""Agreement and speed of the network on a GPU, as a table.

    python tests/gpu/check.py [--size 320x180]

The paper's model with weights drawn from a seed (speed does not depend on them): the plain float32
transcription, which computes the whole forward of every window, then the runner's two steps in
float32, bfloat16 and float16, in one run; and the Triton kernel against the reference. Engines:
`tests/benchmarks/backends.py`. (`--device cpu --small` tries the program itself.)
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from plain_fmanet import PlainFMANet

from vsrdb_cli.backends import parity
from vsrdb_cli.network.fgdf import fgdf
from vsrdb_cli.network.fmanet import FMANet, FMANetConfig
from vsrdb_cli.network.ops import flow_guided_dynamic_filter

SMALL = {"dim": 18, "num_RDB": 1, "num_FRMA": 1, "num_heads": 3, "num_flow": 3}


def milliseconds(work: Callable[[], object], device: torch.device, repeats: int = 10) -> float:
    """Median wall time of `work`, the device's work included, after two runs to warm up."""

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    times = []
    for _ in range(repeats + 2):
        wait()
        start = time.perf_counter()
        work()
        wait()
        times.append((time.perf_counter() - start) * 1000)
    return statistics.median(times[2:])


def check_network(device: torch.device, config: FMANetConfig, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    network = FMANet(config).eval()
    frames = [frame.to(device) for frame in parity.scene(config.num_seq, *size)]
    clip = torch.stack(frames, dim=2)
    state = {name: tensor.to(device) for name, tensor in network.state_dict().items()}
    plain = PlainFMANet(state, config)
    expected = plain(clip)
    baseline = milliseconds(lambda: plain(clip), device)
    print(f"plain float32        {baseline:9.1f} ms a frame  {1000 / baseline:7.2f} fps")
    network = network.to(device)
    for precision in ("float32", "bfloat16", "float16"):
        network = network.to(getattr(torch, precision))
        held = [network.encode(frame) for frame in frames]
        error = (network.restore(held) - expected).float()
        psnr = -10 * error.square().mean().log10().item()
        encode = milliseconds(lambda network=network: network.encode(frames[0]), device)
        restore = milliseconds(lambda network=network, held=held: network.restore(held), device)
        total = encode + restore
        print(
            f"torch {precision:10}     {total:9.1f} ms a frame  {1000 / total:7.2f} fps"
            f"  {baseline / total:5.1f} x plain; encode {encode:.1f} ms, restore {restore:.1f} ms;"
            f" off by {error.abs().max():.1e}, {psnr:.0f} dB"
        )
        network = network.float()
        network.load_state_dict(state)  # exact again, for the next precision


def check_filter(device: torch.device, size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    frames = torch.stack([f[0] for f in parity.scene(3, *size)])
    flow_mask = torch.nn.functional.interpolate(
        torch.randn(3, 3, 6, 8, generator=generator), size, mode="bicubic"
    )
    kernel = torch.randn(3, 400, *size, generator=generator) * 0.05
    operands = [tensor[None].to(device) for tensor in (frames, flow_mask, kernel)]
    expected = flow_guided_dynamic_filter(*(t.transpose(1, 2) for t in operands), 4, 5)
    for precision in (torch.float32, torch.float16):
        for layout in (torch.contiguous_format, torch.channels_last):
            x, f, k = operands
            k = k[0].to(precision).contiguous(memory_format=layout)[None]
            x = x.to(precision)
            error = (fgdf(x, f, k, 4, 5).float() - expected).abs().max().item()
            ours = milliseconds(lambda x=x, f=f, k=k: fgdf(x, f, k, 4, 5), device)
            clips = [t.transpose(1, 2) for t in (x, f, k)]
            theirs = milliseconds(
                lambda clips=clips: flow_guided_dynamic_filter(*clips, 4, 5), device
            )
            print(
                f"fgdf {precision} {layout}: {ours:.3f} ms, reference {theirs:.3f} ms,"
                f" off by {error:.1e}"
            )


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="320x180", help="WIDTHxHEIGHT of the input")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="a small network")
    arguments = parser.parse_args()
    width, height = map(int, arguments.size.split("x"))
    device = torch.device(arguments.device)
    # Float32 is to mean float32: TF32 has 10 bits.
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    print(f"{name}, torch {torch.__version__}, {width}x{height} -> {4 * width}x{4 * height}")
    check_network(device, FMANetConfig(**(SMALL if arguments.small else {})), (height, width))
    check_filter(device, (height, width))


if __name__ == "__main__":
    main()
