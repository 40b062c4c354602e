"""Propose filters for what the network cannot restore: bars, blocks, noise, enlargement."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vsrdb_cli.advice.verdict import has_blocks, has_combs, is_denoised, is_enlarged
from vsrdb_cli.video.info import Kind

if TYPE_CHECKING:
    from vsrdb_cli.advice.measures import Measures
    from vsrdb_cli.video.info import VideoInfo


def propose_prefilter(info: VideoInfo, measures: Measures) -> str | None:
    """Return the graph for `--prefilter` that a source needs, or None if it needs none.

    Args:
        info: the source.
        measures: of the source.
    """
    filters = []
    if has_combs(measures):
        filters.append("bwdif=mode=send_frame:deint=all")
    bars = measures.bars
    if bars and bars.any and info.kind is Kind.VIDEO:
        width = info.width - bars.left - bars.right
        height = info.height - bars.top - bars.bottom
        filters.append(f"crop={width}:{height}:{bars.left}:{bars.top}")
    if has_blocks(measures):
        filters.append("deblock=filter=weak")
    if is_denoised(measures):
        # Of one picture at a time, in any depth; more overlap gains 0.15 dB.
        filters.append(f"fftdnoiz=sigma={measures.noise:.0f}:overlap=0.8")
    if is_enlarged(measures):
        factor = f"{measures.enlarged_by:g}"
        filters.append(f"scale=iw/{factor}:ih/{factor}:flags=area")
    return ",".join(filters) or None
