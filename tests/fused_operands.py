"""Operands of the fused steps, and the largest error of a kernel on them."""

import torch

from vsrdb_cli.network import ops

LAST = torch.channels_last

# Groups of a warp and their size, channels, those of a feed-forward before its gate, and heads.
SMALL = (4, 3), 16, 14, 2
# Those of the two networks there are weights for or golden numbers of, padded.
PAPER, BUNDLED = ((9, 10), 96, 480, 6), ((4, 6), 24, 128, 4)


def errors(kernels, dtype, *, device="cpu", height=5, width=37, widths=SMALL):
    """By step, the largest error of `kernels` against `ops` in float32, over the largest number."""
    generator = torch.Generator().manual_seed(3)
    groups, channels, of_gate, heads = widths

    def drawn(*shape):
        numbers = torch.randn(*shape, height, width, generator=generator).to(device, dtype)
        return numbers.contiguous(memory_format=LAST)

    feature, flow_mask = drawn(6, channels), 2 * drawn(6, 3 * groups[0] + 4).float()
    flow_mask[0, 0, 0, 0] = 1e30  # far outside: read as 0, never an address
    hidden, q, k_v = 3 * drawn(2, of_gate), drawn(2, channels), drawn(2, 2 * channels)
    taps = torch.randn(of_gate, 1, 3, 3, generator=generator).to(device, dtype)
    bias = torch.randn(of_gate, generator=generator).to(device, dtype)
    growth = channels // 4
    parts = [drawn(2, channels)[:, growth : 2 * growth], drawn(2, growth), drawn(2, growth)]
    k = k_v[:, :channels]
    of_head = channels // heads
    absent = torch.zeros(of_head, device=device)
    absent[-1] = -torch.inf
    mixing = (
        ops.channel_products(q.float(), k.float(), heads),
        torch.randn(heads, 1, 1, generator=generator).to(device),
        absent,
        torch.randn(heads, of_head, channels, generator=generator).to(device),
    )
    expected = {
        "warp": ops.multi_flow_warp(feature.float(), flow_mask, groups),
        "warp side by side": ops.side_by_side(
            ops.multi_flow_warp(feature.float(), flow_mask, groups), 3
        ),
        "depthwise": ops.depthwise(hidden.float(), taps.float(), None, False),
        "gated": ops.depthwise(hidden.float(), taps.float(), bias.float(), True),
        "sum of one": ops.sum_up([parts[0].float()], bias[:growth].float(), True, None),
        "sum of three": ops.sum_up([part.float() for part in parts], None, False, None),
        "copy": ops.sum_up([part.float() for part in parts], None, False, None),
        "mixing": ops.channel_mixing(*mixing),
        "products": ops.channel_products(q.float(), k.float(), heads),
    }
    found = {name: torch.full_like(one, float("nan")) for name, one in expected.items()}
    for name in expected.keys() - {"mixing", "products"}:
        found[name] = found[name].to(dtype).contiguous(memory_format=LAST)
    kernels.multi_flow_warp(feature, flow_mask, groups, 1, found["warp"])
    kernels.multi_flow_warp(feature, flow_mask, groups, 3, found["warp side by side"])
    kernels.depthwise(hidden, taps, None, False, found["depthwise"])
    kernels.depthwise(hidden, taps, bias, True, found["gated"])
    kernels.sum_up(parts[:1], bias[:growth], True, None, found["sum of one"])
    found["copy"] = drawn(2, channels)[:, growth : 2 * growth]
    kernels.sum_up(parts, None, False, found["copy"], found["sum of three"])
    found["mixing"] = found["mixing"].to(dtype)
    kernels.channel_mixing(*mixing, found["mixing"])
    kernels.channel_products(q, k, heads, found["products"])
    return {
        name: ((found[name].float() - one).abs().max() / one.abs().max()).item()
        for name, one in expected.items()
    }
