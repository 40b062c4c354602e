"""Time the network alone, and one convolution as this machine's reference rate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from vsrdb_cli.backends import parity
from vsrdb_cli.backends.runner import Runner
from vsrdb_cli.bench.clock import Seconds, least, timed
from vsrdb_cli.network.config import FMANetConfig
from vsrdb_cli.network.fmanet import FMANet

# Repetitions of the convolution; the first calls choose and prepare its kernel.
_REPEATS, _WARM = 8, 2
# Frames of the network alone: more add nothing.
_MOST_FRAMES = 40


@dataclass(frozen=True)
class Steps:
    """Time of one frame of a long video: one `encode` and one `restore`."""

    encode: Seconds
    restore: Seconds

    @property
    def together(self) -> Seconds:
        """Sum of both."""
        return self.encode + self.restore


def warm_up(runner: Runner, height: int, width: int) -> Steps:
    """Time the first window of a size, which also fills caches and chooses kernels."""
    return _Frames(runner, height, width).next()


def measure_steps(runner: Runner, height: int, width: int, *, seconds: float) -> list[Steps]:
    """Time frame after frame for about `seconds`, and at least one."""
    frames = _Frames(runner, height, width)
    steps = [frames.next()]
    while len(steps) < _MOST_FRAMES and sum(step.together.wall for step in steps) < seconds:
        steps.append(frames.next())
    return steps


def best(steps: list[Steps]) -> Steps:
    """Return for each step the time that other programs disturbed least."""
    return Steps(least([s.encode for s in steps]), least([s.restore for s in steps]))


class _Frames:
    """Times the steps of successive frames."""

    def __init__(self, runner: Runner, height: int, width: int) -> None:
        self._stream, self._device = parity.Stream(runner, height, width), runner.info.device

    def next(self) -> Steps:
        stream = self._stream
        return Steps(timed(stream.encode, self._device), timed(stream.restore, self._device))


def operations(config: FMANetConfig, height: int, width: int) -> int:
    """Count the floating-point operations of one frame of a long video, two per multiply-add.

    Convolutions and matrix products count; nothing is computed.
    """
    counted = {
        torch.ops.vsrdb.pointwise: _pointwise_operations,
        torch.ops.vsrdb.gated: _gated_operations,
        torch.ops.vsrdb.attention_products: _attention_operations,
    }
    counter = FlopCounterMode(display=False, custom_mapping=counted)
    with torch.device("meta"), torch.inference_mode(), counter:
        network = FMANet(config).prepare()
        picture = torch.empty(1, 3, height, width)
        features = network.encode(picture)
        network.restore([features] * config.num_seq)
    return int(counter.get_total_flops())


# Of each kernel from the shapes of what it takes, in the order of `network.fused`.
_Shape = Sequence[int]


def _pointwise_operations(
    parts: Sequence[_Shape], weight: _Shape, *others: Any, **_: object
) -> int:
    """Count those of a 1x1 convolution, and of the one that follows it, if any."""
    _bias, _plus, following, *_others = others
    batch, _channels, height, width = parts[0]
    own = weight[1:] if len(weight) == 3 else weight  # one for each picture
    weights = math.prod(own) + sum(math.prod(s) for s in following if s and len(s) > 1)
    return int(2 * batch * height * width * weights)


def _gated_operations(x: _Shape, taps: _Shape, *others: Any, **_: object) -> int:
    """Count those of a convolution of each channel, and of what ends as `_pointwise_operations`."""
    _taps_bias, *ending = others
    return _depthwise_operations(x, taps) + _pointwise_operations([x], *ending)


def _attention_operations(
    q: _Shape, k_v: _Shape, q_taps: _Shape, k_v_taps: _Shape, *others: Any, **_: object
) -> int:
    """Count those of two convolutions of each channel, and of products of channels by head."""
    _q_bias, _k_v_bias, heads = others
    products = 2 * math.prod(q) * (q[1] // int(heads))
    return products + _depthwise_operations(q, q_taps) + _depthwise_operations(k_v, k_v_taps)


def _depthwise_operations(x: _Shape, taps: _Shape) -> int:
    """Count those of a convolution of each channel by itself."""
    return 2 * math.prod(x) * math.prod(taps[1:])


@torch.inference_mode()
def convolution_rate(channels: int, height: int, width: int, device: str, precision: str) -> float:
    """Measure one 3x3 convolution, the network's commonest operation, in operations per second."""
    dtype = getattr(torch, precision)
    weight = torch.rand(channels, channels, 3, 3, device=device, dtype=dtype)
    picture = torch.rand(1, channels, height, width, device=device, dtype=dtype)
    picture = picture.to(memory_format=torch.channels_last)
    times = [
        timed(lambda: F.conv2d(picture, weight, padding=1), device) for _ in range(_WARM + _REPEATS)
    ]
    return 2 * 9 * channels**2 * height * width / least(times[_WARM:]).wall
