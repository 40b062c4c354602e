"""Initialise a network to converge fast: step 0 is bicubic interpolation of the centre frame."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vsrdb_cli.network.fmanet import FMANet
from vsrdb_cli.network.restoration_network import RestorationNetwork

FEATURE_MASK_LOGIT = 4.0
# The picture's masks start nearer to 1: what they take away is missing from the output.
PICTURE_MASK_LOGIT = 6.0
# Flow-masks pass through conv, LeakyReLU, conv unchanged while above -FLOW_SHIFT.
FLOW_SHIFT = 3.0
QUIET = 0.1
LEAKY_SLOPE = 0.2


def initialise(network: FMANet) -> None:
    """Set the last layers of `network`, which must have biases and training heads, in place.

    Kernels start as bicubic x4 on the centre frame, masks open, residual and flows small, and the
    steps that only hand flows on (f^D -> f^R -> f^X, f^Y) as the mean over the groups, so that what
    is learned about motion in one place serves all.
    """
    config = network.config
    if not (config.bias and network.training_heads):
        raise ValueError("the start needs convolutions with bias and the training heads")
    net_d, net_r = network.degradation_learning_network, network.restoration_network
    with torch.no_grad():
        _start_with_bicubic(net_r, bicubic_kernel(config.scale, config.us_kernel_size))
        for conv in (net_r.res_conv2, net_d.a_conv[2], net_r.a_conv[2]):
            _quiet(conv)
        for block in (*net_d.FRMA_blocks, *net_r.FRMA_blocks):
            _quiet(block.conv_f[2])
        net_d.FRMA_blocks[0].conv_f[2].bias[2::3] = FEATURE_MASK_LOGIT
    hand_flows_on(network, PICTURE_MASK_LOGIT - FEATURE_MASK_LOGIT)


def hand_flows_on(network: FMANet, mask_shift: float) -> None:
    """Make the steps f^D -> f^R -> f^X and f^Y pass flows and masks as they are, in place.

    `mask_shift` is added to the logits of the pictures' masks. Also for weights that were trained
    before there was a flow worth handing on.
    """
    net_d, net_r = network.degradation_learning_network, network.restoration_network
    groups = network.config.num_flow
    hand_on = torch.eye(3 * groups)
    mean = torch.eye(3).repeat(1, groups) / groups
    with torch.no_grad():
        _pass_flow(net_r.f_conv1, hand_on, 0.0)
        _pass_flow(net_r.f_conv2, mean, 0.0)
        _pass_flow(net_r.f_conv3, mean, mask_shift)
        _pass_flow(net_d.f_conv, mean, mask_shift)


def bicubic_kernel(scale: int, size: int) -> Tensor:
    """Return weights of bicubic enlargement (Keys, a = -0.5), (s^2 k^2,), in the order of K^R."""
    one = torch.zeros(1, 1, 1, size)
    one[..., size // 2] = 1
    # The response to a single bright pixel holds every tap of every sub-pixel phase.
    response = F.interpolate(
        F.pad(one, (2, 2)), scale_factor=(1, scale), mode="bicubic", antialias=True
    ).flatten()
    taps = torch.zeros(scale, size, dtype=torch.float32)
    centre = size // 2
    for phase in range(scale):
        for tap in range(size):
            # Tap `tap` of the pixel `centre - tap` away sees the bright pixel.
            position = (centre + 2 - (tap - centre)) * scale + phase
            taps[phase, tap] = response[position]
    return torch.einsum("ak,bl->abkl", taps, taps).flatten()


def _start_with_bicubic(net_r: RestorationNetwork, kernel: Tensor) -> None:
    """Set the kernels to `kernel` on the centre frame and to zero on the others.

    K^R's convolutions are the same for all frames; what tells frames apart is F_w, whose channels
    0..T-1 go one to each frame. They are made to say +1 for the centre and -1 for the others.
    """
    length, last = net_r.length, net_r.FRMA_blocks[-1]
    writers = [last.conv_Fw]
    for block in last.multi_attn_block:
        writers += [
            layer.project_out for layer in (block.co_attn, block.ffn1, block.da_attn, block.ffn2)
        ]
    for writer in writers:
        writer.weight[:length] *= QUIET
        writer.bias[:length] = 0
    says = torch.full((length,), -1.0)
    says[length // 2] = 1
    writers[-1].bias[:length] = says

    first, final = net_r.r_conv[0], net_r.r_conv[2]
    centre = first.weight.shape[-1] // 2
    first.weight[0] *= QUIET
    first.weight[0, 0, 0, centre, centre] = 1
    first.bias[0] = 0
    _quiet(final)
    # After LeakyReLU the first hidden channel is 1 or -slope: solve for (kernel, 0).
    final.weight[:, 0, 0, centre, centre] = kernel / (1 + LEAKY_SLOPE)
    final.bias.copy_(kernel * LEAKY_SLOPE / (1 + LEAKY_SLOPE))


def _quiet(conv: nn.Module) -> None:
    conv.weight *= QUIET
    conv.bias.zero_()


def _pass_flow(pair: nn.Sequential, mapping: Tensor, mask_shift: float) -> None:
    """Make `pair` (conv, LeakyReLU, conv) apply `mapping` to its first inputs, plus a little noise.

    `mask_shift` is added to the mask logits (every third output).
    """
    first, last = pair[0], pair[2]
    centre = first.weight.shape[-1] // 2
    flows = mapping.shape[1]
    first.weight *= QUIET
    first.weight[:, :flows, 0, centre, centre] += torch.eye(flows)
    first.bias.fill_(FLOW_SHIFT)
    last.weight *= QUIET
    last.weight[:, :, 0, centre, centre] += mapping
    # Takes the shift back, noise included: a constant flow passes as it is.
    last.bias.copy_(-FLOW_SHIFT * last.weight.sum(dim=(1, 2, 3, 4)))
    last.bias[2::3] += mask_shift
