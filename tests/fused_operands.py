"""Operands of the fused steps, and the largest error of a kernel on them."""

import torch

from vsrdb_cli.network import fused, ops

LAST = torch.channels_last

# Groups of a warp and their size, channels, those of a feed-forward before its gate, and heads.
SMALL = (4, 3), 16, 14, 2
# Those of the two networks there are weights for or golden numbers of, padded.
PAPER, BUNDLED = ((9, 10), 96, 480, 6), ((4, 6), 24, 128, 4)


def errors(kernels, dtype, *, device="cpu", height=5, width=37, widths=SMALL):
    """By step, the largest error of `kernels` against `ops` in float32, over the largest number."""
    generator = torch.Generator().manual_seed(3)
    groups, channels, of_gate, heads = widths

    def numbers(*shape):
        return torch.randn(*shape, generator=generator).to(device, dtype)

    def drawn(*shape):
        return numbers(*shape, height, width).contiguous(memory_format=LAST)

    def weights(outputs, inputs):
        return numbers(outputs, inputs, 1, 1) / inputs**0.5

    feature, flow_mask = drawn(6, channels), 2 * drawn(6, 3 * groups[0] + 4).float()
    flow_mask[0, 0, 0, 0] = 1e30  # far outside: read as 0, never an address
    flows = 2 * drawn(6, 3 * groups[0] + 4).float()
    growth = channels // 4
    parts = [drawn(4, channels)[:, growth : 2 * growth], drawn(4, growth), drawn(2, growth)]
    # Beside whole pictures some channels of wider ones, and every second picture.
    mixed = [drawn(2, channels), drawn(2, channels)[:, -growth:], drawn(4, growth)[::2]]
    plus, bias, own = drawn(2, channels), numbers(channels), numbers(2, channels, channels)
    following = [numbers(channels), numbers(channels), weights(2 * channels, channels), None]
    unbiased = [numbers(channels), None, weights(of_gate, channels), numbers(of_gate)]
    hidden, taps, taps_bias = drawn(2, of_gate), numbers(of_gate, 1, 3, 3), numbers(of_gate)
    attention = (
        drawn(2, 2 * channels)[:, channels:],
        drawn(2, 2 * channels),
        numbers(channels, 1, 3, 3),
        numbers(2 * channels, 1, 3, 3),
    )
    of_head = channels // heads
    absent = torch.zeros(of_head, device=device)
    absent[-1] = -torch.inf
    mixing = (
        ops.channel_products(attention[0].float(), attention[1][:, :channels].float(), heads),
        torch.randn(heads, 1, 1, generator=generator).to(device),
        absent,
        torch.randn(heads, of_head, channels, generator=generator).to(device),
    )
    joined = sum(part.shape[1] for part in mixed)
    # By name: the kernel, its operands but for the last, and its reference.
    steps = {
        "warp": ("multi_flow_warp", (feature, flow_mask, groups, 1), fused.warp_reference),
        "warp side by side": (
            "multi_flow_warp", (feature, flow_mask, groups, 3), fused.warp_reference,
        ),
        "flows": ("multi_flow_warp", (feature, flows, groups, 1), fused.flows_reference),
        "sum of one": ("sum_up", (parts[:1], bias[:growth], True), ops.sum_up),
        "sum of three": ("sum_up", (parts, None, False), ops.sum_up),
        "mixing": ("channel_mixing", mixing, ops.channel_mixing),
        **{
            f"pointwise, {name}": ("pointwise", operands, fused.pointwise_reference)
            for name, operands in {
                "alone": ([mixed[0]], weights(growth, channels), None, None, [], 0.0, None),
                "wide": ([mixed[0]], weights(growth + 192, channels), None, None, [], 0.0, None),
                "of parts": (
                    mixed, weights(channels, joined), bias, plus, following, 1e-5,
                    drawn(2, 2 * channels),
                ),
                "of each": (
                    [mixed[0]], own.transpose(1, 2), None, plus, unbiased, 1e-5, drawn(2, of_gate),
                ),
            }.items()
        },
        "gate": ("gate_alone", (hidden, taps, taps_bias), fused.gate_reference),
        **{
            f"gated, {name}": ("gated", (hidden, taps, *operands), fused.gated_reference)
            for name, operands in {
                "alone": (None, weights(channels, of_gate // 2), None, plus, [], 0.0, None),
                "followed": (
                    taps_bias, weights(channels, of_gate // 2), bias, plus, following, 1e-5,
                    drawn(2, 2 * channels),
                ),
            }.items()
        },
        **{
            f"products, {name}": (
                "attention_products",
                (*attention, *biases, heads, drawn(2, channels)),
                fused.products_reference,
            )
            for name, biases in {
                "alone": (None, None), "biased": (bias, numbers(2 * channels)),
            }.items()
        },
    }  # fmt: skip
    found = {}
    for name, (kernel, operands, reference) in steps.items():
        wide = _mapped(operands, lambda one: one.float().clone())
        expected = reference(*wide)
        if kernel == "attention_products":
            expected = expected.squeeze(1)
            out = fused.values_and_parts(attention[0], heads)[1]
        else:
            out = torch.empty_like(expected, dtype=dtype)
            out = out.contiguous(memory_format=LAST) if out.dim() == 4 else out
        results, wanted = [out], [expected]
        if kernel in {"pointwise", "gated", "attention_products"} and operands[-1] is not None:
            results.append(operands[-1])
            wanted.append(wide[-1])
        for one in results:
            one.fill_(torch.nan)
        getattr(kernels, kernel)(*operands, out)
        if kernel == "attention_products":
            results[0] = out.sum(dim=1)
        for place, (one, other) in enumerate(zip(results, wanted, strict=True)):
            off = (one.float() - other).abs().max() / other.abs().max()
            found[name + ", then" * place] = off.item()
    return found


def _mapped(operands, function):
    if isinstance(operands, torch.Tensor):
        return function(operands)
    if isinstance(operands, list | tuple):
        return type(operands)(_mapped(one, function) for one in operands)
    return operands
