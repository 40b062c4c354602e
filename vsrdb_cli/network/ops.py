"""Warp and filter along the flow: the reference that every kernel must match.

Flow-masks carry dx, dy (pixels) and a mask logit. Coordinates and masks are computed in float32
whatever the features' precision: half a float16 step at 640 pixels' width is 0.08 pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor

from vsrdb_cli.errors import ShapeError
from vsrdb_cli.network.layout import widened


def leaky_relu(x: Tensor) -> Tensor:
    """Apply a LeakyReLU with the slope 0.2, as everywhere in FMA-Net."""
    return F.leaky_relu(x, 0.2, inplace=not torch.is_grad_enabled())


def float32_island(operand: Tensor) -> AbstractContextManager[object]:
    """Keep products of float32 tensors in float32, also inside `torch.autocast`.

    Autocast lowers every matrix product and convolution in its reach, even of tensors made float32
    on purpose. Entered only where it is on: an exported graph would carry the switch along.
    """
    kind = operand.device.type
    if kind in ("cpu", "cuda") and torch.is_autocast_enabled(kind):
        return torch.autocast(kind, enabled=False)
    return nullcontext()


def backward_warp(
    source: Tensor, flow: Tensor, top: int | None = None, dtype: torch.dtype | None = None
) -> Tensor:
    """Read `source` where `flow` points: out[y, x] = source[y + dy, x + dx].

    Args:
        source: (B, C, H, W), float.
        flow: (B, 2, H, W), in pixels of `source`; channel 0 is dx (right), 1 is dy (down).
        top: of a strip (B, 2, h, W) of the flow, the row of its first in the picture.
        dtype: of the result. Sampling is in float32: a source that many strips read is best
            given so, or each of them converts all of it.

    Returns:
        (B, C, H, W), or (B, C, h, W) of a strip, `dtype` or that of `source`. Bilinear; places
        outside the image read as 0.

    Raises:
        ShapeError: `flow` has not the batch, height and width of `source`, or not two channels.

    Source: FMA-Net (CVPR 2024), "Flow-Guided Dynamic Filtering"; corners aligned, as there.
    """
    batch, _, height, width = source.shape
    rows = height if top is None else flow.shape[2]
    if flow.shape != (batch, 2, rows, width):
        raise ShapeError(f"flow is {tuple(flow.shape)}, expected {(batch, 2, height, width)}")
    flow = flow.float()
    x = torch.arange(width, device=flow.device, dtype=torch.float32)
    y = torch.arange(rows, device=flow.device, dtype=torch.float32) + (top or 0)
    grid_x = (x + flow[:, 0]) * (2 / max(width - 1, 1)) - 1
    grid_y = (y[:, None] + flow[:, 1]) * (2 / max(height - 1, 1)) - 1
    if width == 1:  # aligned corners of one pixel: grid_sample reads pixel (g + 1) / 2 * 0 always
        source, grid_x = F.pad(source, (0, 1)), flow[:, 0] * 2 - 1
    if height == 1:
        source, grid_y = F.pad(source, (0, 0, 0, 1)), flow[:, 1] * 2 - 1
    warped = F.grid_sample(
        source.float(),
        torch.stack((grid_x, grid_y), dim=-1),
        mode="bilinear",
        padding_mode="zeros",
        align_corners=True,
    )
    return warped.to(dtype or source.dtype)


def masked_warp(
    source: Tensor, flow_mask: Tensor, top: int | None = None, dtype: torch.dtype | None = None
) -> Tensor:
    """Warp backwards and multiply by the sigmoid of the mask logit.

    Args:
        source: (B, C, H, W).
        flow_mask: (B, 3, H, W): dx, dy, mask logit.
        top, dtype: as in `backward_warp`.

    Returns:
        (B, C, H, W), or (B, C, h, W) of a strip; `dtype` or that of `source`.
    """
    mask = torch.sigmoid(flow_mask[:, 2:3].float()).to(dtype or source.dtype)
    return backward_warp(source, flow_mask[:, 0:2], top, dtype) * mask


def multi_flow_warp(
    feature: Tensor,
    flow_mask: Tensor,
    groups: tuple[int, int],
    top: int | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Compute W(F, f): each of n groups of channels follows its own flow and mask.

    Args:
        feature: (B, C, H, W); its channels are n consecutive groups, then padding.
        flow_mask: (B, at least 3n, H, W); n consecutive triples (dx, dy, mask logit).
        groups: n, and the channels of each.
        top, dtype: as in `backward_warp`.

    Returns:
        (B, C, H, W), or (B, C, h, W) of a strip; `dtype` or that of `feature`, channels last. The
        padding is 0.

    Raises:
        ShapeError: there are fewer channels or flows.
    """
    batch, channels, height, width = feature.shape
    count, size = groups
    if flow_mask.shape[1] < 3 * count or channels < count * size:
        raise ShapeError(f"{channels} channels do not follow {flow_mask.shape[1]}/3 flows")
    rows = flow_mask.shape[2]
    source = feature[:, : count * size].reshape(batch * count, size, height, width)
    triples = flow_mask[:, : 3 * count].reshape(batch * count, 3, rows, width)
    warped = masked_warp(source, triples, top, dtype).reshape(batch, count * size, rows, width)
    # The sampling gives planes; the convolutions it goes to want all channels side by side.
    return widened(warped, channels).contiguous(memory_format=torch.channels_last)


def side_by_side(frames: Tensor, length: int) -> Tensor:
    """Put the frames of windows of `length` side by side.

    (B*T, C, H, W) becomes (B, T*C, H, W), with channel index t*C + c.
    """
    if frames.shape[0] == length:  # B = 1: keep channels last
        return torch.cat([frames[t : t + 1] for t in range(length)], dim=1)
    return frames.reshape(-1, length * frames.shape[1], *frames.shape[2:])


def gelu_gate(hidden: Tensor) -> Tensor:
    """Multiply gelu(first half of the channels) by the second; (N, 2h, H, W) -> (N, h, H, W)."""
    gate, value = hidden.chunk(2, dim=1)
    if gate.device.type == "cpu":
        # PyTorch's kernel takes fifteen times as long where it reads channels with gaps.
        gate = gate.contiguous(memory_format=torch.channels_last)
    return F.gelu(gate) * value


def depthwise(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Convolve each channel of (N, C, H, W) by itself, 3x3, by (C, 1, 3, 3), zero padding."""
    return F.conv2d(x, weight, bias, padding=1, groups=weight.shape[0])


def sum_up(parts: Sequence[Tensor], bias: Tensor | None, leaky: bool) -> Tensor:
    """Add up tensors (N, C, H, W) and a bias (C,), or None.

    Args:
        parts: channels last, whole tensors or some channels of wider ones. After the first they may
            have N / T pictures, each added to T pictures of the first.
        leaky: apply LeakyReLU to the result.
    """
    frames = parts[0].shape[0]
    whole = [one.repeat_interleave(frames // one.shape[0], dim=0) for one in parts[1:]]
    total = sum(whole, start=parts[0])
    if bias is not None:
        total = total + bias[:, None, None]
    return F.leaky_relu(total, 0.2) if leaky else total


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor | None, eps: float) -> Tensor:
    """Normalise the channels of each pixel, statistics in float32; (N, C, H, W).

    Without a bias the mean stays in (Restormer's "BiasFree").
    """
    pixels = x.permute(0, 2, 3, 1)
    if bias is not None:
        # PyTorch's kernel sums in float32 whatever it reads, and rounds once. Casts would move
        # three times the bytes; a graph needs them, since other runtimes promise nothing.
        if torch.is_grad_enabled() or torch.compiler.is_compiling():
            pixels, weight, bias = pixels.float(), weight.float(), bias.float()
        y = F.layer_norm(pixels, weight.shape, weight, bias, eps=eps)
    else:
        pixels, weight = pixels.float(), weight.float()
        variance = pixels.var(dim=-1, keepdim=True, correction=0)
        y = pixels * torch.rsqrt(variance + eps) * weight
    return y.to(x.dtype).permute(0, 3, 1, 2)


def pointwise(
    parts: Sequence[Tensor], weight: Tensor, bias: Tensor | None, plus: Tensor | None
) -> Tensor:
    """Convolve 1x1 tensors as if they were concatenated.

    Args:
        parts: (N, C_i, H, W) each.
        weight: (O, sum of C_i, 1, 1), or (N, O, sum of C_i), of each picture its own.
        bias: (O,), or None.
        plus: (N, O, H, W), added to the result, or None.
    """
    x = parts[0] if len(parts) == 1 else torch.cat(list(parts), dim=1)
    if weight.dim() == 3:
        pixels = x.permute(0, 2, 3, 1).flatten(1, 2) @ weight.transpose(1, 2)
        y = torch.unflatten(pixels, 1, x.shape[2:]).permute(0, 3, 1, 2)
        y = y if bias is None else y + bias[:, None, None]
    else:
        y = F.conv2d(x, weight, bias)
    return y if plus is None else y + plus


def channel_products(q: Tensor, k: Tensor, heads: int) -> Tensor:
    """Compute the products of q and k by head, and their lengths, for attention between channels.

    Args:
        q, k: (B, C, H, W).
        heads: C is a multiple.

    Returns:
        (B, heads, C / heads + 2, C / heads), float32: q^T k summed over the pixels, which would
        overflow float16, then a row of q's sums of squares and one of k's.
    """
    by_head = (heads, -1)
    with float32_island(q):
        q, k = (one.permute(0, 2, 3, 1).flatten(1, 2).float() for one in (q, k))
        q_heads, k_heads = torch.unflatten(q, 2, by_head), torch.unflatten(k, 2, by_head)
        products = q_heads.permute(0, 2, 3, 1) @ k_heads.transpose(1, 2)
        lengths = [torch.linalg.vector_norm(one, dim=1) for one in (q, k)]
        squares = [torch.unflatten(one.square(), 1, by_head).unsqueeze(2) for one in lengths]
    return torch.cat((products, *squares), dim=2)


def channel_mixing(
    products: Tensor, temperature: Tensor, absent: Tensor, projection: Tensor
) -> Tensor:
    """Compute attention between channels and the projection after it as one matrix.

    Dividing the products by the lengths spares normalised copies of q and k.

    Args:
        products: (B, heads, c + 2, c), see `channel_products`.
        temperature: (heads, 1, 1).
        absent: (c,), 0, or minus infinity for a channel that only pads a head.
        projection: (heads, c, C).

    Returns:
        (B, heads c, C), inputs by outputs. All float32.
    """
    of_head = products.shape[3]
    lengths = products[:, :, of_head:].sqrt().clamp_min(1e-12)
    similarity = products[:, :, :of_head] / (lengths[:, :, 0, :, None] * lengths[:, :, 1, None, :])
    weights = torch.addcmul(absent, similarity, temperature).softmax(dim=-1)
    return (weights.transpose(2, 3) @ projection).flatten(1, 2)


def flow_guided_dynamic_filter(
    frames: Tensor, flow_mask: Tensor, kernel: Tensor, scale: int, kernel_size: int
) -> Tensor:
    """Upsample by FGDF: warp and mask the frames, then filter each pixel with its own kernels.

    At each pixel and sub-pixel the T * k^2 weights have their mean removed and 1 / (T * k^2)
    added; with N = T * k^2, sum((K - mean(K) + 1/N) X) = sum(K X) + (1 - sum(K)) / N * sum(X),
    which needs no normalised copy of the kernels.

    Args:
        frames: (B, C, T, H, W), LR frames.
        flow_mask: (B, 3, T, H, W): dx, dy, mask logit towards each frame.
        kernel: (B, s^2 k^2, T, H, W); channels in the order vertical sub-pixel, horizontal
            sub-pixel, vertical tap, horizontal tap; not normalised.
        scale: s.
        kernel_size: k, odd.

    Returns:
        (B, C, s H, s W), dtype of `kernel`; sums are in float32.

    Raises:
        ShapeError: shapes do not belong together.

    Source: FMA-Net (CVPR 2024), Eq. 6 and Sec. 3.4; NETWORK details proven by golden numbers.
    """
    batch, channels, length, height, width = frames.shape
    taps = kernel_size * kernel_size
    if flow_mask.shape != (batch, 3, length, height, width):
        raise ShapeError(f"flow_mask is {tuple(flow_mask.shape)} for frames {tuple(frames.shape)}")
    if kernel.shape != (batch, scale * scale * taps, length, height, width):
        raise ShapeError(f"kernel is {tuple(kernel.shape)} for frames {tuple(frames.shape)}")
    warped = masked_warp(_fold(frames).float(), _fold(flow_mask))
    return filter_upsampling(
        warped.reshape(batch, length, channels, height, width).transpose(1, 2),
        kernel,
        scale,
        kernel_size,
    )


def filter_upsampling(warped: Tensor, kernel: Tensor, scale: int, kernel_size: int) -> Tensor:
    """Filter frames already warped and masked, as `flow_guided_dynamic_filter` does.

    Args:
        warped: (B, C, T, H, W), X'.
        kernel, scale, kernel_size: as in `flow_guided_dynamic_filter`.

    Returns:
        (B, C, s H, s W), dtype of `kernel`.
    """
    return filter_padded(pad_for_filter(warped, kernel_size), kernel, scale, kernel_size)


def pad_for_filter(warped: Tensor, kernel_size: int) -> Tensor:
    """Pad X' for `filter_padded`: (B, C, T, H, W) -> (B, T, H + k - 1, W + k - 1, C + 1).

    Replicate-padded, float32; the last channel is 1.
    """
    half = kernel_size // 2
    padded = F.pad(_fold(warped).float(), (half, half, half, half), mode="replicate")
    # A channel of ones, filtered alike, gives the sum of each kernel.
    padded = torch.cat((padded, torch.ones_like(padded[:, :1])), dim=1)
    padded = padded.permute(0, 2, 3, 1).contiguous()
    return torch.unflatten(padded, 0, (warped.shape[0], -1))


def filter_padded(padded: Tensor, kernel: Tensor, scale: int, kernel_size: int) -> Tensor:
    """Filter rows of a picture, given `pad_for_filter`'s result for them and k // 2 rows around.

    Args:
        padded: (B, T, H + k - 1, W + k - 1, C + 1).
        kernel: (B, s^2 k^2, T, H, W).
        scale, kernel_size: s and k.

    Returns:
        (B, C, s H, s W), dtype of `kernel`.
    """
    batch, _, length, height, width = kernel.shape
    taps, subpixels = kernel_size * kernel_size, scale * scale
    channels = padded.shape[-1] - 1
    patches = torch.stack(
        [
            padded[:, :, dy : dy + height, dx : dx + width]
            for dy in range(kernel_size)
            for dx in range(kernel_size)
        ],
        dim=-2,
    )  # (B, T, H, W, k^2, C + 1)
    # One small matrix product a pixel and frame; kernels stored channels last stay where they are.
    # The other way round, weights times patches, takes more than twice as long on a CPU.
    weights = kernel.float().permute(0, 2, 3, 4, 1)
    weights = torch.unflatten(weights, 4, (subpixels, taps))
    with float32_island(kernel):
        filtered = (patches.transpose(-1, -2) @ weights.transpose(-1, -2)).sum(dim=1)
    kernel_sum, filtered = filtered[..., channels:, :], filtered[..., :channels, :]
    mean = patches[..., :channels].sum(dim=(1, 4)) / (length * taps)
    filtered = filtered + (1 - kernel_sum) * mean.unsqueeze(-1)
    # (B, H, W, C, s1 s2) -> (B, C, H s1, W s2)
    filtered = filtered.reshape(batch, height, width, channels, scale, scale)
    picture = filtered.permute(0, 3, 1, 4, 2, 5)
    return picture.reshape(batch, channels, height * scale, width * scale).to(kernel.dtype)


def flow_guided_downsampling(
    frames_hr: Tensor, flow_mask: Tensor, kernel: Tensor, scale: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Downsample by Net^D's FGDF, for training and for pictures of the degradation kernels.

    Args:
        frames_hr: (B, C, T, s H, s W), sharp frames.
        flow_mask: (B, 3, T, H, W): LR flow and mask logit towards each frame.
        kernel: (B, k^2, T, H, W), before softmax; taps vertical then horizontal, k - s even.
        scale: s.

    Returns:
        The LR picture (B, C, H, W), and the warped, masked frames and ones
        ((B, C, T, s H, s W) and (B, 1, T, s H, s W)) it was filtered from.

    Source: FMA-Net (CVPR 2024), Eq. 7; softmax over all taps of all frames, as released.
    """
    batch, channels, length, height_hr, width_hr = frames_hr.shape
    height, width = height_hr // scale, width_hr // scale
    taps = kernel.shape[1]
    kernel_size = round(taps**0.5)
    lr_flow = _fold(flow_mask).float()
    flow = F.interpolate(lr_flow[:, 0:2], scale_factor=scale, mode="bilinear", align_corners=False)
    mask = F.interpolate(
        torch.sigmoid(lr_flow[:, 2:3]), scale_factor=scale, mode="bilinear", align_corners=False
    )
    frames = _fold(frames_hr)
    ones = torch.ones_like(frames[:, :1])
    warped = backward_warp(torch.cat((frames, ones), dim=1), flow * scale) * mask
    half = (kernel_size - scale) // 2
    padded = F.pad(warped, (half, half, half, half), mode="replicate")
    columns = F.unfold(padded, kernel_size, stride=scale)
    columns = columns.reshape(batch, length, channels + 1, taps, height, width)
    weights = kernel.transpose(1, 2).reshape(batch, length * taps, height, width)
    weights = weights.softmax(dim=1).reshape(batch, length, 1, taps, height, width)
    filtered = (columns * weights).sum(dim=(1, 3))
    picture = filtered[:, :channels] / (filtered[:, channels:] + 1e-8)
    unfolded = warped.reshape(batch, length, channels + 1, height_hr, width_hr).transpose(1, 2)
    return picture, unfolded[:, :channels], unfolded[:, channels:]


def _fold(clip: Tensor) -> Tensor:
    """Fold (B, C, T, H, W) to (B T, C, H, W)."""
    return clip.transpose(1, 2).flatten(0, 1)
