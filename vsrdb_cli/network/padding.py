"""Pad the widths of a network to multiples of 8, which hardware asks for, with the same outputs.

Tensor cores read 8 channels at once, and other widths fall to slower kernels; a runtime of WebGPU
computes wrong results with them. So weights get zeros for added channels, after the real ones: from
zeros they compute zeros again. Two layers know how many channels are real:

- LayerNorm. In the tensor that it normalises the added channels hold the mean of the real ones
  instead of zeros (each is a sum of outputs of 1x1 convolutions, so the mean of their weights gives
  it). So the mean over all channels is that over the real ones, and the variance is smaller by a
  factor that epsilon and weight make up for.
- Attention. Each head is padded by itself, and an added channel gets an attention weight of zero.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from vsrdb_cli.network.attention import LayerNorm
from vsrdb_cli.network.config import FMANetConfig
from vsrdb_cli.network.fmanet import FMANet

MULTIPLE = 8


def padded_dim(config: FMANetConfig) -> int:
    """Return C of the padded network; F_w is read as T features, each a multiple of 8 wide."""
    return _up(config.dim, MULTIPLE * config.num_seq)


def padded_growth(config: FMANetConfig) -> int:
    """Return g of the padded network."""
    return _up(config.growth_rate)


def padded_head(config: FMANetConfig) -> int:
    """Return the channels of one head of the padded network."""
    return _up(config.dim // config.num_heads, MULTIPLE // math.gcd(MULTIPLE, config.num_heads))


@torch.no_grad()
def padded(network: FMANet) -> FMANet:
    """Make a padded network for inference with the outputs of `network`, without training heads.

    Its parameters have other shapes: do not save or train it.
    """
    config = network.config
    wide = FMANet(config).eval().requires_grad_(False)
    state = network.state_dict()
    for module in wide.modules():
        if isinstance(module, LayerNorm):
            module.eps *= config.dim / padded_dim(config)
    for name, parameter in wide.named_parameters():
        parameter.data = _padded(name, state[name], config)
    return wide


def _padded(name: str, weight: Tensor, config: FMANetConfig) -> Tensor:
    """Pad a parameter."""
    if name.endswith("temperature"):
        return weight.clone()
    if ".body." in name:
        scale = (config.dim / padded_dim(config)) ** 0.5 if name.endswith("weight") else 1
        return _laid(weight * scale, 0, Channels.of(config.dim, padded_dim(config)))
    layer, _, own = name.rpartition(".")
    outputs, inputs = _layer(layer, config)
    wide = _laid(weight, 0, outputs)
    if re.search(r"conv_Fw|project_out", layer):  # what is normalised is a sum of theirs
        wide[len(weight) :] = weight.mean(dim=0)
    return wide if own == "bias" else _laid(wide, 1, inputs)


def _laid(weight: Tensor, axis: int, channels: Channels) -> Tensor:
    """Put the numbers of `weight` along an axis at their places, and zeros elsewhere."""
    shape = list(weight.shape)
    if shape[axis] != len(channels.places):
        raise ValueError(f"{shape[axis]} channels, expected {len(channels.places)}")
    shape[axis] = channels.size
    places = torch.tensor(channels.places, device=weight.device)
    return weight.new_zeros(shape).index_copy(axis, places, weight)


@dataclass(frozen=True)
class Channels:
    """The channels of a padded tensor."""

    size: int
    """How many there are."""
    places: tuple[int, ...]
    """The indices of the real ones."""

    @classmethod
    def of(cls, count: int, size: int | None = None) -> Channels:
        """Create `count` real channels, then added ones up to `size`, or to a multiple of 8."""
        return cls(_up(count) if size is None else size, tuple(range(count)))

    @classmethod
    def exactly(cls, count: int) -> Channels:
        """Create `count` real channels only."""
        return cls.of(count, count)

    def evened(self) -> Channels:
        """Add channels up to a multiple of 8."""
        return Channels(_up(self.size), self.places)

    def __add__(self, other: Channels) -> Channels:
        """Concatenate, as `torch.cat` does."""
        places = self.places + tuple(self.size + place for place in other.places)
        return Channels(self.size + other.size, places)

    def __mul__(self, times: int) -> Channels:
        """Repeat."""
        return sum([self] * times, start=Channels(0, ()))


def _layer(name: str, config: FMANetConfig) -> tuple[Channels, Channels]:
    """Return the outputs and inputs of the convolution with this name."""
    for pattern, channels in _layers(config).items():
        if re.search(rf"{pattern}$", name):
            return channels
    raise ValueError(f"FMA-Net has no convolution called {name}")


@cache
def _layers(config: FMANetConfig) -> dict[str, tuple[Channels, Channels]]:
    """Map the ends of convolutions' names to outputs and inputs; the first that matches counts."""
    length, dim = config.num_seq, padded_dim(config)
    exactly = Channels.exactly
    feature, flow = Channels.of(config.dim, dim), Channels.of(3 * config.num_flow)
    growth, hidden = Channels.of(config.growth_rate), Channels.of(config.ffn_hidden)
    heads = Channels.of(config.dim // config.num_heads, padded_head(config)) * config.num_heads
    # F_w's channel index is c*T + t.
    frames = Channels.of(config.dim * length, dim * length)
    frame = Channels.of(config.dim // length, dim // length)
    picture, rgb, each = Channels.of(config.in_channels), Channels.of(3), exactly(1)
    blurring = exactly(config.ds_kernel_size**2)
    sharpening = exactly((config.scale * config.us_kernel_size) ** 2)
    shuffled = Channels.of(4 * config.dim, 4 * dim)
    net_d, net_r = "degradation_learning_network", "restoration_network"
    return {
        rf"{net_d}\.feature_extractor\.0": (feature, picture),
        rf"{net_r}\.feature_extractor\.0": (
            feature, (exactly(config.in_channels) + feature).evened(),
        ),
        **{
            rf"layer\.{i}\.conv": (growth, feature + growth * i)
            for i in range(config.num_dense_layer)
        },
        r"extractor\.2\.conv\.0": (feature, feature * config.num_RDB),
        r"extractor\.2\.conv\.1": (feature, feature),
        r"(rdb|rdb_KD|RDBs\.\d+)\.conv": (feature, feature + growth * config.num_dense_layer),
        rf"{net_d}\.FRMA_blocks\.0\.conv_f\.0": (flow, feature + feature),
        r"conv_f\.0": (flow, feature + flow + feature),
        r"FRMA_blocks\.0\.conv_Fw": (feature, frames),
        r"conv_Fw": (feature, feature + frames),
        r"conv_KD": (feature, frames),
        r"attn\.q": (heads, feature),
        r"attn\.q_dwconv": (heads, each),
        r"attn\.kv_conv": (heads * 2, feature),
        r"attn\.kv_dwconv": (heads * 2, each),
        r"attn\.project_out": (feature, heads),
        r"ffn\d\.project_in": (hidden * 2, feature),
        r"ffn\d\.dwconv": (hidden * 2, each),
        r"ffn\d\.project_out": (feature, hidden),
        rf"{net_d}\.d_conv\.0": (feature, frame),
        rf"{net_d}\.d_conv\.2": (blurring, feature),
        rf"{net_r}\.d_conv\.0": (feature, blurring),
        rf"{net_r}\.d_conv\.2": (feature, feature),
        r"r_conv\.0": (feature, frame),
        r"r_conv\.2": (sharpening, feature),
        r"f_conv3\.0": (flow, (flow + exactly(3) * 2).evened()),
        r"f_conv[23]\.2": (rgb, flow),
        r"(conv_f|f_conv\d)\.\d": (flow, flow),
        r"upsample\.conv[12]": (shuffled, feature),
        r"upsample\.conv3|res_conv1": (feature, feature),
        r"res_conv2": (rgb, feature),
    }  # fmt: skip


def _up(channels: int, multiple: int = MULTIPLE) -> int:
    return -(-channels // multiple) * multiple
