"""Measure some shots of a source, restore part of each, and judge whether to restore the rest."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from vsrdb_cli.advice.command import command_for
from vsrdb_cli.advice.filters import propose_prefilter
from vsrdb_cli.advice.measures import Luma, Measures, measure_frames, measure_noise
from vsrdb_cli.advice.restoration_trial import RestorationTrial, cut_for_trial, try_restoring
from vsrdb_cli.advice.verdict import Finding, Verdict, is_noisy, judge
from vsrdb_cli.checkpoints.checkpoint import build_network, load_checkpoint
from vsrdb_cli.checkpoints.registry import default_weights
from vsrdb_cli.errors import OptionError, VideoError
from vsrdb_cli.evaluation.metrics import import_extra
from vsrdb_cli.options import Hdr
from vsrdb_cli.pipeline.scenes import SceneCutDetector
from vsrdb_cli.video.pixels.colour import to_float
from vsrdb_cli.video.reading.film_search import FilmSearch
from vsrdb_cli.video.reading.open import open_source
from vsrdb_cli.video.reading.prefilter import prefiltered
from vsrdb_cli.video.reading.sampling import sample_runs
from vsrdb_cli.video.reading.y4m_reader import is_stream_input

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from vsrdb_cli.video.frame import FrameSource

_T = TypeVar("_T")

# Places of a source to look at, and consecutive frames at each.
PLACES, FRAMES = 3, 8
SMALLEST_SIDE = 32  # LR pixels; smaller pictures cannot be judged


@dataclass(frozen=True)
class Advice:
    """A verdict on a source, with its reasons."""

    source: Path
    frames: int
    """Number of frames looked at."""
    verdict: Verdict
    findings: tuple[Finding, ...]
    """Everything that was looked at, the reasons for the verdict among it."""
    command: str
    """The shell command to run next."""
    prefilter: str | None
    """The filters that it contains; None if there are none."""
    measures: Measures
    trial: RestorationTrial
    notices: tuple[str, ...]
    """Assumptions and changes made while reading, one line each."""

    def as_json(self) -> dict[str, Any]:
        """Return plain, rounded values."""
        return {
            "source": str(self.source),
            "frames": self.frames,
            "verdict": self.verdict.name.lower(),
            "rank": self.verdict.rank,
            "usual_gain_db": list(self.verdict.usual_gain),
            "reasons": [f"{one.name}: {one.text}" for one in self.findings if one.is_reason],
            "command": self.command,
            "prefilter": self.prefilter,
            "measures": self.measures.as_json(),
            "trial": {name: float(f"{value:.4g}") for name, value in asdict(self.trial).items()},
            "notices": list(self.notices),
        }


def advise(source: Path, weights: str | None = None, *, hdr: Hdr = Hdr.REFUSE) -> Advice:
    """Judge whether a video, a folder of pictures or a picture is worth restoring.

    Args:
        source: a file or a folder.
        weights: a bundled name or a .safetensors path; None is the default.
        hdr: what to do with HDR video.

    Raises:
        VideoError: the source cannot be read, or is too small to judge.
        CheckpointError: no network has that name.
        OptionError: the source is a stream.
        VsrdbError: a package needed for measuring is not installed.
    """
    for module in ("cv2", "skimage.restoration"):
        import_extra(module)  # before anything is read
    if is_stream_input(source):
        raise OptionError(
            "advise needs a file, not stdin or a named pipe", hint="save the stream to a file first"
        )
    network = build_network(load_checkpoint(weights or default_weights()))
    with open_source(source, hdr=hdr, film_search=FilmSearch(wanted=None)) as opened:
        info = opened.info
        if min(info.height, info.width) < SMALLEST_SIDE:
            raise VideoError(
                f"{source} is {info.width}x{info.height}, too small to judge",
                hint=f"give pictures of at least {SMALLEST_SIDE}x{SMALLEST_SIDE}",
            )
        length = network.config.num_seq
        count, found, clips = _look_at(opened, measure_frames, length)
        notices = (*info.notices, *info.assumed, *opened.report.damage)
        if not found:
            raise VideoError(f"{source} has no readable frames", hint="give another video")
        measures = Measures.mean(found)
        prefilter, noisy = propose_prefilter(info, measures), None
        if prefilter is not None:
            _, noises, clips = _look_at(prefiltered(opened, prefilter), measure_noise, length)
            noise, share = map(fmean, zip(*noises, strict=True))
            noisy = is_noisy(replace(measures, noise=noise, noise_share=share))
    trial = RestorationTrial.mean([try_restoring(network, clip) for clip in clips])
    verdict, findings = judge(info, measures, trial, noisy)
    named = weights if weights and weights != default_weights() else None
    command = command_for(info, measures, prefilter=prefilter, weights=named, hdr=hdr)
    return Advice(
        source, count, verdict, tuple(findings), command, prefilter, measures, trial, notices
    )


def _look_at(
    source: FrameSource, measure: Callable[[Luma], _T], length: int
) -> tuple[int, list[_T], list[list[Tensor]]]:
    """Look at one run of frames after the other; of each, only what is returned stays in memory.

    Args:
        source: the frames.
        measure: called with the longest shot of each run.
        length: the T of the network.

    Returns:
        The number of frames seen, and for each place what was measured and the clip to restore on
        trial.
    """
    count = 0
    measured, clips = [], []
    for run in sample_runs(source, PLACES, FRAMES):
        count += len(run)
        if shot := _longest_shot(run):
            measured.append(measure(_luma(shot)))
            clips.append(cut_for_trial(shot, length))
    return count, measured, clips


def _longest_shot(run: Sequence[Tensor]) -> list[Tensor]:
    """Return the most frames in a row, (3, H, W) codes, without a scene cut."""
    shots: list[list[Tensor]] = []
    is_cut = SceneCutDetector()
    for codes in run:
        if is_cut(to_float(codes)):
            shots.append([])
        shots[-1].append(codes)
    return max(shots, key=len, default=[])


def _luma(shot: Sequence[Tensor]) -> Luma:
    """Convert N frames, (3, H, W) codes, to (N, H, W) BT.601 luma in 8-bit codes."""
    luma = np.empty((len(shot), *shot[0].shape[1:]), np.float32)
    for place, codes in enumerate(shot):
        red, green, blue = 255 * to_float(codes)
        luma[place] = 0.299 * red + 0.587 * green + 0.114 * blue
    return luma
