"""Count the memory of the network, in bytes per LR pixel."""

from __future__ import annotations

from vsrdb_cli.network.config import FMANetConfig
from vsrdb_cli.network.padding import padded_dim, padded_growth
from vsrdb_cli.network.strips import PIXELS


def feature_bytes(config: FMANetConfig, size: int, *, picture: int = 4) -> int:
    """Return the bytes of a frame's features held between windows: F^0..F^M of both nets, picture.

    They are those of the padded network; the plain one takes a few per cent less.

    Args:
        size: bytes of one number of the features.
        picture: bytes of one of the picture.
    """
    return 2 * (config.num_FRMA + 1) * padded_dim(config) * size + config.in_channels * picture


def kernel_count(config: FMANetConfig) -> int:
    """Return the number of K^R's weights."""
    return config.num_seq * (config.scale * config.us_kernel_size) ** 2


def restoring_bytes(config: FMANetConfig, size: int, pixels: int, *, by_strips: bool) -> int:
    """Return the bytes alive at the widest step of restoring a window, beside its features.

    Computed as `FMANet.restore` does once prepared.

    Args:
        size: bytes of one number.
        pixels: LR pixels of the picture.
        by_strips: as on a CPU, where K^R is computed and used strip by strip.
    """
    channels, length = padded_dim(config), config.num_seq
    taps, subpixels = config.us_kernel_size**2, config.scale**2
    # The features of a window are laid side by side; beside them is the wider of two steps: what
    # Net^R makes of the degradation, or K^R and its filtering, which is done in float32.
    growth = config.num_dense_layer * padded_growth(config)
    degradation = (length * 3 * (channels + growth) + channels) * size
    patches = 4 * length * taps + 4 * length * 4 * subpixels
    filtering = kernel_count(config) * (size if size == 4 else size + 4) + patches * 4
    outputs = 4 * subpixels * 3 * 4
    held = length * feature_bytes(config, size, picture=size) + outputs
    if by_strips:
        return pixels * (held + degradation) + min(pixels, PIXELS) * filtering
    return pixels * (held + max(degradation, filtering))
