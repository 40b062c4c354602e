"""Film grain as a graph of filters."""

from __future__ import annotations

# Blur that makes grains of about two pixels.
_BLUR = 0.8
# What is left after that for each unit of the filter's own strength, in codes of 8 bits.
_DEVIATION = 0.27


def grain_graph(strength: float, pix_fmt: str) -> str:
    """Return a graph that adds grain to luma, other grain to every frame.

    Noise on a grey picture is blurred and added to the picture, whose own samples are not rounded.

    Args:
        strength: the grain's standard deviation, in codes of 8 bits.
        pix_fmt: of the pictures; planar YUV.
    """
    noise = max(1, round(strength / _DEVIATION))
    # 128 of 255, to which grainmerge adds nothing, whatever the range and depth.
    grey = "if(minval,8*minval,(maxval+1)/2)"
    return (
        "split[picture][grey];"
        f"[grey]lutyuv=y='{grey}',noise=c0s={noise}:c0f=t,gblur=sigma={_BLUR}:planes=1,"
        f"format={pix_fmt}[grain];"
        "[picture][grain]blend=c0_mode=grainmerge:c1_mode=normal:c2_mode=normal"
    )
