"""Define the hyper-parameters of FMA-Net, named as in the released checkpoints' options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass(frozen=True)
class FMANetConfig:
    """One FMA-Net; the defaults are the paper's model.

    Raises:
        ValueError: the numbers do not fit each other.
    """

    scale: int = 4
    num_seq: int = 3  # T, frames of one clip
    in_channels: int = 3
    dim: int = 90  # C
    ds_kernel_size: int = 20  # k_d, taps of the degradation kernel per side, in HR pixels
    us_kernel_size: int = 5  # k_r, taps of the restoration kernel per side, in LR pixels
    num_RDB: int = 12  # noqa: N815 - R
    growth_rate: int = 18  # g
    num_dense_layer: int = 4  # L
    num_flow: int = 9  # n
    num_FRMA: int = 4  # noqa: N815 - M
    num_transformer_block: int = 2  # A
    num_heads: int = 6
    LayerNorm_type: str = "WithBias"
    ffn_expansion_factor: float = 2.66
    bias: bool = False

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type == "int" and (not isinstance(value, int) or value < 1):
                raise ValueError(f"{field.name} is {value!r}, expected a whole number above 0")
        if self.scale != 4:
            raise ValueError(f"scale is {self.scale}, but FMA-Net's residual is fixed at 4")
        if self.num_seq % 2 == 0:
            raise ValueError(f"num_seq is {self.num_seq}, expected an odd number of frames")
        for name in ("num_seq", "num_flow", "num_heads"):
            if self.dim % getattr(self, name):
                raise ValueError(f"dim {self.dim} is not divisible by {name} {getattr(self, name)}")
        if self.us_kernel_size % 2 == 0:
            raise ValueError(f"us_kernel_size is {self.us_kernel_size}, expected an odd number")
        if self.ds_kernel_size < self.scale or (self.ds_kernel_size - self.scale) % 2:
            raise ValueError(f"ds_kernel_size {self.ds_kernel_size} - scale {self.scale} is odd")
        if self.LayerNorm_type not in ("WithBias", "BiasFree"):
            raise ValueError(f"LayerNorm_type is {self.LayerNorm_type!r}")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> FMANetConfig:
        """Build from a mapping; unknown names raise TypeError."""
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def ffn_hidden(self) -> int:
        """Number of hidden channels, h, of the gated feed-forward network."""
        return int(self.dim * self.ffn_expansion_factor)
