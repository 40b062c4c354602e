"""Look at some shots of a source, restore a part of each, and say whether the rest is worth it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vsrdb_cli.advice.command import command_for
from vsrdb_cli.advice.extra import MODULES, extra
from vsrdb_cli.advice.measures import Luma, Measures, measure
from vsrdb_cli.advice.restoration_trial import Trial, attempt, frames_needed
from vsrdb_cli.advice.verdict import Finding, Verdict, judge
from vsrdb_cli.checkpoints.checkpoint import build_network, load_checkpoint
from vsrdb_cli.checkpoints.registry import default_weights
from vsrdb_cli.errors import OptionError, VideoError
from vsrdb_cli.options import Hdr
from vsrdb_cli.pipeline.scenes import SceneCutDetector
from vsrdb_cli.video.colour import to_float
from vsrdb_cli.video.glimpse import glimpses
from vsrdb_cli.video.pipe import is_stream
from vsrdb_cli.video.reader import open_source

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

# How many places of a source are looked at, so many frames in a row at each.
PLACES, FRAMES = 3, 8
SMALLEST = 32  # side of a picture that tells anything, pixels


@dataclass(frozen=True)
class Advice:
    """What is said of a source.

    Attributes:
        frames: how many were looked at.
        findings: all that was looked at; the reasons among them.
        command: what to run next, for a shell.
        notices: what the reader assumed or changed, one line each.
    """

    source: Path
    frames: int
    verdict: Verdict
    findings: tuple[Finding, ...]
    command: str
    measures: Measures
    trial: Trial
    notices: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain values, rounded."""
        return {
            "source": str(self.source),
            "frames": self.frames,
            "verdict": self.verdict.name.lower(),
            "rank": self.verdict.rank,
            "usual_gain_db": list(self.verdict.usual_gain),
            "reasons": [f"{one.name}: {one.text}" for one in self.findings if one.is_reason],
            "command": self.command,
            "measures": self.measures.as_json(),
            "trial": {name: float(f"{value:.4g}") for name, value in asdict(self.trial).items()},
            "notices": list(self.notices),
        }


def advise(source: Path, weights: str | None = None, *, hdr: Hdr = Hdr.REFUSE) -> Advice:
    """Say whether restoring a video, a folder of pictures or a picture is worth it.

    Args:
        weights: a bundled name or a .safetensors path; None is the default.
        hdr: what to do with HDR video.

    Raises:
        VideoError: the source cannot be read, or is too small to tell anything.
        CheckpointError: no network has that name.
        OptionError: the source is a stream.
        VsrdbError: a package that measuring needs is not installed.
    """
    for module in MODULES:
        extra(module)
    if is_stream(source):
        raise OptionError(
            "only files can be advised on, no stream on stdin or through a pipe",
            hint="write it to a file first",
        )
    network = build_network(load_checkpoint(weights or default_weights()))
    with open_source(source, hdr=hdr) as opened:
        info = opened.info
        if min(info.height, info.width) < SMALLEST:
            raise VideoError(
                f"{source} is {info.width}x{info.height}, too small to tell anything",
                hint=f"give pictures of {SMALLEST}x{SMALLEST} or more",
            )
        measured, tried, count = [], [], 0
        for seen in glimpses(opened, PLACES, FRAMES):
            shot = _longest_shot([to_float(picture) for picture in seen])
            if not shot:
                continue
            count += len(seen)
            measured.append(measure(np.stack([_luma(picture) for picture in shot])))
            needed = frames_needed(network.config.num_seq)
            first = max(0, len(shot) - needed) // 2
            tried.append(attempt(network, shot[first : first + needed]))
        notices = (*info.notices, *info.assumed, *opened.report.damage)
    if not measured:
        raise VideoError(f"{source} holds no frames that can be read", hint="give another video")
    measures, trial = Measures.mean(measured), Trial.mean(tried)
    verdict, findings = judge(info, measures, trial)
    named = weights if weights and weights != default_weights() else None
    command = command_for(info, measures, weights=named, hdr=hdr)
    return Advice(source, count, verdict, tuple(findings), command, measures, trial, notices)


def _longest_shot(pictures: Sequence[Tensor]) -> list[Tensor]:
    """The most frames in a row without a cut."""
    shots: list[list[Tensor]] = []
    is_cut = SceneCutDetector()
    for picture in pictures:
        if is_cut(picture):
            shots.append([])
        shots[-1].append(picture)
    return max(shots, key=len, default=[])


def _luma(picture: Tensor) -> Luma:
    """(3, H, W), RGB, 0 to 1, to (H, W), BT.601 luma in codes."""
    red, green, blue = 255 * picture
    luma: Luma = (0.299 * red + 0.587 * green + 0.114 * blue).float().numpy()
    return luma
