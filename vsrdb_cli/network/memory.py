"""What the network holds, counted in bytes per LR pixel."""

from __future__ import annotations

from vsrdb_cli.network.config import FMANetConfig


def feature_bytes(config: FMANetConfig, size: int, *, picture: int = 4) -> int:
    """Features of one frame, F^0..F^M of both nets and its picture, held between windows.

    Args:
        size: bytes of one number of the features.
        picture: bytes of one of the picture.
    """
    return 2 * (config.num_FRMA + 1) * config.dim * size + config.in_channels * picture


def kernel_count(config: FMANetConfig) -> int:
    """Numbers of K^R."""
    return config.num_seq * (config.scale * config.us_kernel_size) ** 2


def restoring_bytes(config: FMANetConfig, size: int) -> int:
    """The tensors alive at the widest step of restoring a window, beside its frames' features.

    Computed as `FMANet.restore` does, in numbers of `size` bytes.
    """
    channels, length = config.dim, config.num_seq
    taps, subpixels = config.us_kernel_size**2, config.scale**2
    # The features of a window are laid side by side; beside them is the wider of two steps: what
    # Net^R makes of the degradation, or K^R and its filtering, which is done in float32.
    degradation = (length * config.ds_kernel_size**2 + 17 * channels) * size
    patches = 4 * length * taps + 4 * 4 * subpixels
    filtering = kernel_count(config) * (size if size == 4 else size + 4) + patches * 4
    outputs = 4 * subpixels * 3 * 4
    features = length * feature_bytes(config, size, picture=size)
    return features + max(degradation, filtering) + outputs
