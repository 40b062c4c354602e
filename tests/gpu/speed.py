"""Frames per second on a GPU, from file to file and of the network alone, and its memory.

    python tests/gpu/speed.py [--json FILE] [--frames 120] [--seconds 50]

The paper's model with weights drawn from a seed (speed does not depend on them) and fmanet-xs,
320x180 -> 1280x720: `restore_video` as `vsrdb restore` runs it, decoding and x264 included; encode
and restore alone in each precision; and the plain transcription, in float32 without TF32 and in
float16 by autocast, in the same run; last, the kernels in which a frame spends its time. What would
begin after `--seconds` is left out, and said to be. (`--device cpu --small --size 48x32 --frames 8`
tries the program itself.)
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from plain_fmanet import PlainFMANet

from vsrdb_cli.backends import load_runner, parity
from vsrdb_cli.backends.pytorch import TorchRunner
from vsrdb_cli.bench.video import make_clip
from vsrdb_cli.bench.whole_run import restore_whole
from vsrdb_cli.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from vsrdb_cli.network.config import FMANetConfig
from vsrdb_cli.network.fmanet import FMANet

SMALL = {"dim": 18, "num_RDB": 1, "num_FRMA": 1, "num_heads": 3, "num_flow": 3}
PRECISIONS = ("float16", "bfloat16", "float32")
KERNELS = 25


class Report:
    """Prints rows as they come, and keeps them with what was measured on what."""

    def __init__(self, device: torch.device, size: tuple[int, int], file: Path | None, end: float):
        self.device, self.file, self.end = device, file, end
        gpu = device.type == "cuda"
        self.facts: dict[str, Any] = {
            "device": torch.cuda.get_device_name(device) if gpu else "CPU",
            "torch": torch.__version__,
            "size": f"{size[1]}x{size[0]}",
            "rows": [],
        }
        print(f"{self.facts['device']}, torch {torch.__version__}, {self.facts['size']} -> x4")

    def row(self, network: str, what: str, milliseconds: float, memory: int, **more: Any) -> None:
        values = {"network": network, "what": what, "ms": round(milliseconds, 3)}
        values |= {"fps": round(1000 / milliseconds, 2), "peak_mib": memory >> 20} | more
        self.facts["rows"].append(values)
        rest = " ".join(f"{name} {value}" for name, value in more.items())
        print(
            f"{network:10} {what:26} {values['ms']:9.2f} ms {values['fps']:8.2f} fps"
            f" {values['peak_mib']:6d} MiB  {rest}",
            flush=True,
        )
        self.save()

    def left_out(self, network: str, what: str, why: str) -> None:
        self.facts["rows"].append({"network": network, "what": what, "left out": why})
        print(f"{network:10} {what:26} left out: {why}", flush=True)
        self.save()

    def save(self) -> None:
        """After every row: what is measured is kept if the time is cut off."""
        if self.file is not None:
            self.file.write_text(json.dumps(self.facts, indent=1))

    def measure(self, network: str, what: str, work: Callable[[], None]) -> None:
        """A row, or why there is none: of one that fails the others are still measured."""
        if time.monotonic() > self.end:
            self.left_out(network, what, "no time is left")
            return
        try:
            work()
        except Exception as error:
            self.left_out(network, what, f"{type(error).__name__}: {str(error).splitlines()[0]}")


class Alone:
    """Times work on a device."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def median(self, work: Callable[[], object], repeats: int = 12, warm: int = 3) -> float:
        """Milliseconds of wall time, the device's work included."""
        times = []
        for _ in range(repeats + warm):
            self.wait()
            start = time.perf_counter()
            work()
            self.wait()
            times.append((time.perf_counter() - start) * 1000)
        return statistics.median(times[warm:])

    def forget(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)

    @property
    def peak(self) -> int:
        """Bytes, since `forget`."""
        return torch.cuda.max_memory_allocated(self.device) if self.device.type == "cuda" else 0


def measure_plain(report: Report, name: str, weights: str, size: tuple[int, int]) -> None:
    """The transcription: everything anew for every window."""
    alone = Alone(report.device)
    checkpoint = load_checkpoint(weights)
    state = {key: tensor.to(report.device) for key, tensor in checkpoint.state.items()}
    plain = PlainFMANet(state, checkpoint.config)
    clip = torch.stack(parity.scene(checkpoint.config.num_seq, *size), dim=2).to(report.device)

    def row(what: str, lowered: bool) -> None:
        alone.forget()

        def once() -> None:
            with torch.autocast(report.device.type, torch.float16, enabled=lowered):
                plain(clip)

        report.row(name, what, alone.median(once, repeats=5, warm=2), alone.peak)

    # It makes its grids on the default device.
    with torch.device(report.device):
        report.measure(name, "plain float32", lambda: row("plain float32", False))
        if report.device.type == "cuda":
            report.measure(
                name, "plain autocast float16", lambda: row("plain autocast float16", True)
            )


def measure_network(report: Report, name: str, weights: str, size: tuple[int, int]) -> None:
    """Encode and restore alone, as a long video takes them: one of each a frame."""
    alone = Alone(report.device)
    checkpoint = load_checkpoint(weights)
    pictures = [picture.to(report.device) for picture in parity.scene(3, *size)]

    def row(what: str, precision: str, graphs: str) -> None:
        os.environ["VSRDB_CUDA_GRAPHS"] = graphs
        runner = TorchRunner(checkpoint, str(report.device), precision)
        alone.forget()
        held = [runner.encode(picture) for picture in pictures]
        encode = alone.median(lambda: runner.encode(pictures[0]))
        restore = alone.median(lambda: runner.restore_on_device(held))
        report.row(
            name, what, encode + restore, alone.peak,
            encode_ms=round(encode, 2), restore_ms=round(restore, 2),
        )  # fmt: skip

    gpu = report.device.type == "cuda"
    for precision in PRECISIONS if gpu else ("float32",):
        what = f"network {precision}"
        report.measure(name, what, lambda p=precision, w=what: row(w, p, "1"))
        if gpu:
            what = f"{what} no graph"
            report.measure(name, what, lambda p=precision, w=what: row(w, p, "0"))
    os.environ.pop("VSRDB_CUDA_GRAPHS", None)


def measure_kernels(report: Report, name: str, weights: str, size: tuple[int, int]) -> None:
    """Milliseconds a frame of the kernels that take longest, in float16 (of operators on a CPU)."""
    gpu = report.device.type == "cuda"
    activity = torch.profiler.ProfilerActivity.CUDA if gpu else torch.profiler.ProfilerActivity.CPU
    frames = 5

    def row() -> None:
        os.environ["VSRDB_CUDA_GRAPHS"] = "0"  # in a graph kernels have no names of their own
        precision = "float16" if gpu else "float32"
        runner = TorchRunner(load_checkpoint(weights), str(report.device), precision)
        pictures = [picture.to(report.device) for picture in parity.scene(3, *size)]
        held = [runner.encode(picture) for picture in pictures]
        runner.restore_on_device(held)
        with torch.profiler.profile(activities=[activity]) as profile:
            for _ in range(frames):
                runner.encode(pictures[0])
                runner.restore_on_device(held)
            Alone(report.device).wait()
        spent = {
            event.key: (event.self_device_time_total if gpu else event.self_cpu_time_total)
            for event in profile.key_averages()
        }
        total = sum(spent.values()) / 1000 / frames
        longest = sorted(spent, key=lambda kernel: -spent[kernel])[:KERNELS]
        kernels = {kernel[:90]: round(spent[kernel] / 1000 / frames, 3) for kernel in longest}
        report.row(name, f"kernels {precision}", total, 0, **kernels)

    report.measure(name, "kernels", row)
    os.environ.pop("VSRDB_CUDA_GRAPHS", None)


def measure_whole(
    report: Report, name: str, weights: str, clip: Path, folder: Path, frames: int
) -> None:
    """From file to file; a first run warms up. fps is of the steady part, run_fps of all of it."""
    chosen: list[str] = []

    def row(precision: str) -> None:
        start = time.perf_counter()
        runner = load_runner(weights, device=str(report.device), precision=precision)
        loaded = time.perf_counter() - start
        chosen.append(runner.info.precision)
        estimate = runner.memory(*map(int, reversed(report.facts["size"].split("x"))))
        restore_whole(clip, folder / f"{name}-warm.mp4", runner, frames)
        whole = restore_whole(clip, folder / f"{name}.mp4", runner, frames)
        report.row(
            name, f"file to file {runner.info.precision}", whole.frame.wall * 1000, whole.memory,
            run_fps=round(frames / whole.seconds, 2),
            cpu_ms=round(whole.frame.cpu * 1000, 2),
            load_s=round(loaded, 2),
            estimated_mib=estimate.total(runner.length) >> 20,
        )  # fmt: skip

    report.measure(name, "file to file auto", lambda: row("auto"))
    if report.device.type == "cuda" and chosen == ["float32"]:  # weights of a seed may ask for it
        report.measure(name, "file to file float16", lambda: row("float16"))


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", default="320x180", help="WIDTHxHEIGHT of the input")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--frames", type=int, default=120, help="of the clip")
    parser.add_argument("--seconds", type=float, default=50, help="after which nothing is begun")
    parser.add_argument("--json", type=Path, help="write the numbers here too")
    parser.add_argument("--small", action="store_true", help="a small network for the paper's")
    arguments = parser.parse_args()
    end = time.monotonic() + arguments.seconds
    width, height = map(int, arguments.size.split("x"))
    device = torch.device(arguments.device)
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    report = Report(device, (height, width), arguments.json, end)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        torch.manual_seed(0)
        config = FMANetConfig(**(SMALL if arguments.small else {}))
        paper = folder / "paper.safetensors"
        state = FMANet(config).state_dict()
        save_checkpoint(paper, state, config, licence="none", origin="a seed")
        clip = make_clip(folder / "clip.mp4", height, width, arguments.frames)
        networks = {"fmanet-xs": "fmanet-xs", "paper": str(paper)}
        for name, weights in networks.items():
            measure_whole(report, name, weights, clip, folder, arguments.frames)
            measure_plain(report, name, weights, (height, width))
        for name, weights in networks.items():
            measure_network(report, name, weights, (height, width))
        for name, weights in networks.items():
            measure_kernels(report, name, weights, (height, width))


if __name__ == "__main__":
    main()
