"""Operands of the fused steps, and the largest error of a kernel on them."""

import torch

from vsrdb_cli.network import ops

LAST = torch.channels_last


def errors(kernels, dtype, *, device="cpu", height=5, width=37):
    """By step, the largest error of `kernels` against `ops` in float32, over the largest number."""
    generator = torch.Generator().manual_seed(3)

    def drawn(*shape):
        numbers = torch.randn(*shape, height, width, generator=generator).to(device, dtype)
        return numbers.contiguous(memory_format=LAST)

    # Four groups of three channels and their flows, and what pads both.
    groups, feature, flow_mask = (4, 3), drawn(6, 16), 2 * drawn(6, 16).float()
    flow_mask[0, 0, 0, 0] = 1e30  # far outside: read as 0, never an address
    hidden, q, k_v = 3 * drawn(2, 14), drawn(2, 12), drawn(2, 24)
    k = k_v[:, :12]
    expected = {
        "warp": ops.multi_flow_warp(feature.float(), flow_mask, groups),
        "warp side by side": ops.side_by_side(
            ops.multi_flow_warp(feature.float(), flow_mask, groups), 3
        ),
        "gate": ops.gelu_gate(hidden.float()),
        "products": ops.channel_products(q.float(), k.float(), 2),
    }
    found = {name: torch.full_like(one, float("nan")) for name, one in expected.items()}
    for name in ("warp", "warp side by side", "gate"):
        found[name] = found[name].to(dtype).contiguous(memory_format=LAST)
    kernels.multi_flow_warp(feature, flow_mask, groups, 1, found["warp"])
    kernels.multi_flow_warp(feature, flow_mask, groups, 3, found["warp side by side"])
    kernels.gelu_gate(hidden, found["gate"])
    kernels.channel_products(q, k, 2, found["products"])
    return {
        name: ((found[name].float() - one).abs().max() / one.abs().max()).item()
        for name, one in expected.items()
    }
