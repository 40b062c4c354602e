"""Operands of the fused steps, and the largest error of a kernel on them."""

import torch

from vsrdb_cli.network import ops

LAST = torch.channels_last

# Of the networks there are: channels, flows, hidden channels of the feed-forward, heads.
PAPER = {"channels": 90, "flows": 9, "hidden_channels": 239, "heads": 6}
XS = {"channels": 24, "flows": 4, "hidden_channels": 63, "heads": 4}


def errors(
    kernels, dtype, *, device="cpu", height=5, width=37,
    channels=12, flows=4, hidden_channels=7, heads=2,
):  # fmt: skip
    """By step, the largest error of `kernels` against `ops` in float32, over the largest number."""
    generator = torch.Generator().manual_seed(3)

    def drawn(*shape):
        numbers = torch.randn(*shape, height, width, generator=generator).to(device, dtype)
        return numbers.contiguous(memory_format=LAST)

    feature, flow_mask = drawn(6, channels), 2 * drawn(6, 3 * flows).float()
    flow_mask[0, 0, 0, 0] = 1e30  # far outside: read as 0, never an address
    hidden, q, k_v = 3 * drawn(2, 2 * hidden_channels), drawn(2, channels), drawn(2, 2 * channels)
    k = k_v[:, :channels]
    expected = {
        "warp": ops.multi_flow_warp(feature.float(), flow_mask),
        "warp side by side": ops.side_by_side(ops.multi_flow_warp(feature.float(), flow_mask), 3),
        "gate": ops.gelu_gate(hidden.float()),
        "products": ops.channel_products(q.float(), k.float(), heads),
    }
    found = {name: torch.full_like(one, float("nan")) for name, one in expected.items()}
    for name in ("warp", "warp side by side", "gate"):
        found[name] = found[name].to(dtype).contiguous(memory_format=LAST)
    kernels.multi_flow_warp(feature, flow_mask, 1, found["warp"])
    kernels.multi_flow_warp(feature, flow_mask, 3, found["warp side by side"])
    kernels.gelu_gate(hidden, found["gate"])
    kernels.channel_products(q, k, heads, found["products"])
    return {
        name: ((found[name].float() - one).abs().max() / one.abs().max()).item()
        for name, one in expected.items()
    }
