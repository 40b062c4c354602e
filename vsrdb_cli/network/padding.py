"""A network of the same outputs whose widths are multiples of 8, for hardware that asks for them.

Tensor cores read 8 channels at once, and fall to slower kernels where that does not come out even;
one runtime of WebGPU computes nonsense. So weights get zeros for channels that are not there, after
the real ones: what they make of zeros is zero again. Two things know how many channels are real:

- LayerNorm. The tensor it normalises has in its added channels, instead of zeros, the mean of the
  real ones (each is a sum of outputs of 1x1 convolutions, so the mean of their weights makes it).
  The mean over all channels is then that over the real ones, and the variance, taken over more,
  smaller by a factor that goes into epsilon and weight.
- Attention. Each head is widened by itself, and a channel that is not there is attended to with a
  weight of zero.
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
    """C of the padded network: F_w is read as T features, each of a width that is a multiple."""
    return _up(config.dim, MULTIPLE * config.num_seq)


def padded_growth(config: FMANetConfig) -> int:
    """g of the padded network."""
    return _up(config.growth_rate)


def padded_head(config: FMANetConfig) -> int:
    """Channels of one head of the padded network."""
    return _up(config.dim // config.num_heads, MULTIPLE // math.gcd(MULTIPLE, config.num_heads))


@torch.no_grad()
def padded(network: FMANet) -> FMANet:
    """A network for inference that gives what `network` gives, without its training heads.

    Its parameters have shapes of their own: it is neither saved nor trained.
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
    """One parameter of the padded network."""
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
    """`weight` with its numbers along an axis at their places, and zeros elsewhere."""
    shape = list(weight.shape)
    if shape[axis] != len(channels.places):
        raise ValueError(f"{shape[axis]} channels, expected {len(channels.places)}")
    shape[axis] = channels.size
    places = torch.tensor(channels.places, device=weight.device)
    return weight.new_zeros(shape).index_copy(axis, places, weight)


@dataclass(frozen=True)
class Channels:
    """How many channels a padded tensor has, and where among them the real ones are."""

    size: int
    places: tuple[int, ...]

    @classmethod
    def of(cls, count: int, size: int | None = None) -> Channels:
        """`count` channels, then zeros up to `size`, or to a multiple."""
        return cls(_up(count) if size is None else size, tuple(range(count)))

    @classmethod
    def exactly(cls, count: int) -> Channels:
        return cls.of(count, count)

    def evened(self) -> Channels:
        """These, then zeros up to a multiple."""
        return Channels(_up(self.size), self.places)

    def __add__(self, other: Channels) -> Channels:
        """One after the other, as `torch.cat` puts them."""
        places = self.places + tuple(self.size + place for place in other.places)
        return Channels(self.size + other.size, places)

    def __mul__(self, times: int) -> Channels:
        return sum([self] * times, start=Channels(0, ()))


def _layer(name: str, config: FMANetConfig) -> tuple[Channels, Channels]:
    """Outputs and inputs of the convolution of this name."""
    for pattern, channels in _layers(config).items():
        if re.search(rf"{pattern}$", name):
            return channels
    raise ValueError(f"{name} is no convolution of FMA-Net")


@cache
def _layers(config: FMANetConfig) -> dict[str, tuple[Channels, Channels]]:
    """What the names of convolutions end in -> their outputs and inputs; the first that fits."""
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
