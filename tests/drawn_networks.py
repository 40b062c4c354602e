"""Networks of every kind with weights drawn from their names, and tolerances of results."""

from collections.abc import Iterable

import torch
from golden_numbers import draw
from torch import Tensor

from vsrdb_cli.network.config import FMANetConfig
from vsrdb_cli.network.fmanet import FMANet

# Flow rounding is multiplied by picture gradients in the warped frames, not in the output.
OUTPUT_TOLERANCE, WARPED_TOLERANCE = 1e-5, 1e-4

CONFIGURATIONS = {
    "five frames": FMANetConfig(
        num_seq=5, dim=20, num_flow=4, num_heads=2, num_RDB=1, growth_rate=5, num_FRMA=2,
        num_dense_layer=2, ds_kernel_size=8, num_transformer_block=1,
    ),
    "one frame": FMANetConfig(
        num_seq=1, dim=8, num_flow=2, num_heads=2, num_RDB=2, growth_rate=4, num_FRMA=1,
        num_dense_layer=1, ds_kernel_size=4, us_kernel_size=3, num_transformer_block=2,
    ),
    "biased, bias-free norm": FMANetConfig(
        dim=12, num_flow=3, num_heads=4, num_RDB=3, growth_rate=6, num_FRMA=3, num_dense_layer=3,
        ds_kernel_size=10, us_kernel_size=7, num_transformer_block=2, bias=True,
        LayerNorm_type="BiasFree", ffn_expansion_factor=1.5,
    ),
}  # fmt: skip


def network_of(config: FMANetConfig, *, training_heads: bool = False) -> FMANet:
    """Build a network with the golden numbers' drawn weights."""
    network = FMANet(config, training_heads=training_heads).eval()
    state = {name: draw(name, tuple(p.shape)) for name, p in network.state_dict().items()}
    network.load_state_dict(state)
    return network


def restored(network: FMANet, frames: Iterable[Tensor]) -> Tensor:
    """Restore the centre of a window of (B, 3, H, W): each frame encoded, then all together."""
    return network.restore([network.encode(frame) for frame in frames])


def assert_restored_alike(found: Tensor, expected: Tensor) -> None:
    """Check two outputs of drawn weights, which grow to tens; the tolerance is meant for 0 to 1."""
    tolerance = OUTPUT_TOLERANCE * max(1.0, expected.abs().max().item())
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance)
