"""Wrap the network's two steps as modules to trace; `vsrdb_cli.backends.graphs` names inputs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vsrdb_cli.network.features import FrameFeatures
from vsrdb_cli.network.fmanet import FMANet


class EncodeStep(nn.Module):
    """The step from a frame to its features."""

    def __init__(self, network: FMANet) -> None:
        super().__init__()
        self.network = network

    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        features = self.network.encode(picture)
        centre = (features.degradation[0], features.restoration[0])
        levels = (*features.degradation[1:], *features.restoration[1:])
        return torch.cat(centre, dim=1), torch.cat(levels, dim=1)


class RestoreStep(nn.Module):
    """The step from the features of T frames to the sharp centre frame."""

    def __init__(self, network: FMANet) -> None:
        super().__init__()
        self.network = network

    def forward(self, centre: Tensor, *frames: Tensor) -> Tensor:
        """Restore the centre; `frames` are the picture and features of each frame."""
        blocks = self.network.config.num_FRMA
        initial_d, initial_r = centre.chunk(2, dim=1)
        window = []
        for picture, features in zip(frames[::2], frames[1::2], strict=True):
            levels = features.chunk(2 * blocks, dim=1)
            window.append(
                FrameFeatures(
                    picture.to(features.dtype),
                    # Of the first level only the centre frame's features are read.
                    (initial_d, *levels[:blocks]),
                    (initial_r, *levels[blocks:]),
                )
            )
        return self.network.restore(window)
