"""Speed and memory of the network against a plain transcription, in one run.

    python tests/benchmarks/network.py [--size 160x90] [--precision float32] [--threads 2]

Time per frame of a long video: one `encode` and one `restore`; the plain transcription computes
the whole forward of every window, in float32, once with the C library's allocator as it is and
once told to keep freed memory, as ours is. Ours is timed with the fusion that is made when
weights are loaded, and without. Also prints the arithmetic and the rate of one large convolution on
this machine, the floor to compare with.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).parents[1]))

from plain_fmanet import PlainFMANet

from vsrdb_cli.bench.network import operations
from vsrdb_cli.network.config import FMANetConfig
from vsrdb_cli.network.fmanet import FMANet
from vsrdb_cli.runtime import keep_freed_memory


def fastest(function, repeats: int) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="160x90", help="WIDTHxHEIGHT of the input")
    parser.add_argument("--precision", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--skip-plain", action="store_true", help="measure memory: ours alone")
    arguments = parser.parse_args()
    width, height = map(int, arguments.size.split("x"))
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)

    config = FMANetConfig()
    network = FMANet(config).eval()
    clip = F.interpolate(torch.rand(1, 3, 3, height // 4, width // 4), (3, height, width))
    plain = PlainFMANet(network.state_dict(), config)
    low = network.to(getattr(torch, arguments.precision))

    channels = config.dim
    x = torch.rand(1, channels, height, width, dtype=low.dtype).to(
        memory_format=torch.channels_last
    )
    weight = torch.rand(channels, channels, 3, 3, dtype=low.dtype)
    seconds = fastest(lambda: F.conv2d(x, weight, padding=1), 10)
    rate = 2 * channels * channels * 9 * height * width / seconds
    print(f"one 90-to-90 convolution: {rate / 1e9:.0f} GFLOP/s")

    outputs: list[torch.Tensor] = []
    plain_seconds = []
    if not arguments.skip_plain:
        plain_seconds.append(fastest(lambda: outputs.append(plain(clip)), arguments.repeats))
    keep_freed_memory()
    if not arguments.skip_plain:
        plain_seconds.append(fastest(lambda: plain(clip), arguments.repeats))
    peak_before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20

    window = [low.encode(clip[:, :, t]) for t in range(3)]
    low.restore(window)  # the first call fills the heap
    unfused = fastest(lambda: low.restore(window), arguments.repeats)
    low.prepare()
    low.restore(window)
    encode = fastest(lambda: low.encode(clip[:, :, 0]), arguments.repeats)
    restore = fastest(lambda: low.restore(window), arguments.repeats)
    ours = encode + restore
    floor = operations(config, height, width) / rate
    print(
        f"ours: {ours:.2f} s a frame (encode {encode:.2f}, restore {restore:.2f}, "
        f"without the fusion {unfused:.2f}); "
        f"arithmetic at that rate {floor:.2f} s"
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    if arguments.skip_plain:
        print(f"peak memory: {peak:.2f} GiB, of it before restoring {peak_before:.2f} GiB")
        return
    error = (low.restore(window) - outputs[0]).square().mean()
    for seconds, allocator in zip(plain_seconds, ("the C library's", "ours"), strict=True):
        print(
            f"plain, memory kept as {allocator}: {seconds:.2f} s a frame; "
            f"ours is {seconds / ours:.2f} times as fast"
        )
    print(f"PSNR of ours against plain: {-10 * error.log10().item():.1f} dB")


if __name__ == "__main__":
    main()
