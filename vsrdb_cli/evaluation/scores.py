"""Score restored videos against the ground truth: per frame, per clip and over all clips."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count, islice
from statistics import fmean
from typing import TYPE_CHECKING, Any, TypeVar

from vsrdb_cli.backends.builtin import enlarge
from vsrdb_cli.callbacks import ignore
from vsrdb_cli.errors import OptionError
from vsrdb_cli.evaluation.metrics import SMALLEST_SIDE, FlowEstimator, import_extra, psnr, ssim, tof
from vsrdb_cli.evaluation.pairs import (
    Clip,
    check_known_counts,
    check_sizes,
    picture,
    together,
)
from vsrdb_cli.text import count as counted
from vsrdb_cli.video.pixels.colour import to_float, to_planes
from vsrdb_cli.video.reading.open import open_source

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from vsrdb_cli.video.frame import FrameSource
    from vsrdb_cli.video.info import VideoInfo

T = TypeVar("T")

RESTORED = "restored"
# The paper restores the centre frame of T = 3, so a clip's first and last frames have no score.
END_FRAMES = 3 // 2


@dataclass(frozen=True, slots=True)
class Score:
    """Scores of one frame, or their means."""

    psnr: float
    """In dB; infinite for equal pictures."""
    ssim: float
    """-1 to 1."""
    tof: float | None
    """In pixels; None for a first frame, which has no motion."""

    @classmethod
    def mean(cls, scores: Sequence[Score]) -> Score:
        """Average each score over the frames that have it."""
        flows = [score.tof for score in scores if score.tof is not None]
        return cls(
            fmean(score.psnr for score in scores),
            fmean(score.ssim for score in scores),
            fmean(flows) if flows else None,
        )

    def as_json(self) -> dict[str, float | str | None]:
        """Return plain values; JSON has no infinity, so it becomes the string "Infinity"."""
        value = "Infinity" if math.isinf(self.psnr) else self.psnr
        return {"psnr": value, "ssim": self.ssim, "tof": self.tof}


@dataclass(frozen=True, slots=True)
class ClipScores:
    """Scores of one clip."""

    name: str
    first: int
    """Index of the first frame that has a score."""
    frames: tuple[Score, ...]

    @property
    def mean(self) -> Score:
        """Mean over the frames."""
        return Score.mean(self.frames)

    def frames_as_json(self) -> list[dict[str, Any]]:
        """Return the scores of each frame with its index."""
        return [
            {"frame": index, **score.as_json()}
            for index, score in enumerate(self.frames, self.first)
        ]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores of all clips."""

    methods: Mapping[str, tuple[ClipScores, ...]]
    """By method ("restored", and the baseline's name), with the clips in the same order."""
    end_frames: int
    """Number of frames left out at each end of a clip."""
    notices: tuple[str, ...] = ()
    """Problems with the sources, one line each."""

    def mean(self, method: str) -> Score:
        """Average over the clips, each with the same weight, as in the paper."""
        return Score.mean([clip.mean for clip in self.methods[method]])

    def as_json(self, *, summary: bool = False) -> dict[str, Any]:
        """Return means and, unless it is a summary, the scores of each frame."""
        return {
            "end_frames_left_out": self.end_frames,
            "methods": {
                method: {
                    "clips": {
                        clip.name: ({} if summary else {"frames": clip.frames_as_json()})
                        | {"mean": clip.mean.as_json()}
                        for clip in clips
                    },
                    "mean": self.mean(method).as_json(),
                }
                for method, clips in self.methods.items()
            },
        }


def evaluate(
    clips: Sequence[Clip],
    *,
    baseline: str | None = None,
    end_frames: int = END_FRAMES,
    open_video: Callable[[Path], FrameSource] = open_source,
    on_progress: Callable[[int, int | None], None] = ignore,
) -> Evaluation:
    """Score clips frame by frame; memory does not grow with their length.

    Args:
        clips: the videos to compare.
        baseline: a method of `vsrdb_cli.backends.builtin` to apply to every clip's `lr` and score
            as well.
        end_frames: frames to leave out at each end of a clip.
        open_video: opens a source.
        on_progress: called after every frame with the frames done, over all clips, and the total,
            or None if a container does not say.

    Raises:
        OptionError: frames are too small or too few.
        VideoError: a source cannot be read, or sizes or numbers of frames differ.
        VsrdbError: a package needed for evaluating is not installed.
    """
    for module in ("cv2", "skimage.metrics"):
        import_extra(module)  # before any frame is read
    methods = [RESTORED] if baseline is None else [RESTORED, baseline]
    found: dict[str, list[ClipScores]] = {method: [] for method in methods}
    notices: list[str] = []
    with ExitStack() as stack:
        opened = [
            (clip, [stack.enter_context(open_video(path)) for path in _paths(clip, baseline)])
            for clip in clips
        ]
        for _, sources in opened:
            check_sizes(sources)
            _check_large_enough(sources[0].info)
            check_known_counts(sources)
        promised = [sources[0].info.frame_count for _, sources in opened]
        total = None if None in promised else sum(filter(None, promised))
        done = count(1)
        for clip, sources in opened:
            scores = _score(sources, methods, end_frames, lambda: on_progress(next(done), total))
            if len(scores[RESTORED]) < 2:
                raise _too_few(clip, sources[0].report.frames, end_frames)
            for method in methods:
                found[method].append(ClipScores(clip.name, end_frames, tuple(scores[method])))
            notices += [notice for source in sources for notice in _notices(source)]
    return Evaluation(
        {method: tuple(scored) for method, scored in found.items()}, end_frames, tuple(notices)
    )


def _paths(clip: Clip, baseline: str | None) -> list[Path]:
    if baseline is None:
        return [clip.truth, clip.restored]
    if clip.lr is None:
        raise ValueError(f"clip {clip.name} has no LR input for {baseline}")
    return [clip.truth, clip.restored, clip.lr]


def _score(
    sources: Sequence[FrameSource],
    methods: Sequence[str],
    end_frames: int,
    on_frame: Callable[[], None],
) -> dict[str, list[Score]]:
    """Score one clip; `sources` are truth, restored and, with a baseline, LR."""
    scores: dict[str, list[Score]] = {method: [] for method in methods}
    truth_motion = FlowEstimator()
    motions = {method: FlowEstimator() for method in methods}
    for truth_frame, *frames in _without_ends(together(sources, on_frame), end_frames):
        truth = picture(truth_frame.rgb)
        truth_flow = truth_motion(truth)
        for method, frame in zip(methods, frames, strict=True):
            rgb = frame.rgb
            if method != RESTORED:
                rgb = _enlarged(rgb, method, truth.shape[0] // rgb.shape[1])
            shown = picture(rgb)
            flow = motions[method](shown)
            error = None if flow is None or truth_flow is None else tof(flow, truth_flow)
            scores[method].append(Score(psnr(shown, truth), ssim(shown, truth), error))
    return scores


def _enlarged(rgb: Tensor, method: str, scale: int) -> Tensor:
    return to_planes(enlarge(to_float(rgb)[None], scale, method)[0], 8)


def _without_ends(items: Iterator[T], left_out: int) -> Iterator[T]:
    waiting: deque[T] = deque()
    for item in islice(items, left_out, None):
        waiting.append(item)
        if len(waiting) > left_out:
            yield waiting.popleft()


def _check_large_enough(truth: VideoInfo) -> None:
    if min(truth.width, truth.height) < SMALLEST_SIDE:
        raise OptionError(
            f"{truth.path} is {truth.width}x{truth.height}; tOF needs at least"
            f" {SMALLEST_SIDE}x{SMALLEST_SIDE}, because it leaves out the borders",
            hint="evaluate larger frames",
        )


def _too_few(clip: Clip, frames: int, end_frames: int) -> OptionError:
    left_out = f", and {end_frames} is left out at each end" if end_frames else ""
    return OptionError(
        f"{clip.restored} has {counted(frames, 'frame')}{left_out}; tOF needs at least 2 frames",
        hint="add --all-frames" if end_frames and frames >= 2 else "evaluate a longer video",
    )


def _notices(source: FrameSource) -> list[str]:
    notices = [*source.info.notices, *source.report.notices]
    if source.report.damaged:
        notices.append(f"{source.info.path} is damaged: frames may be missing or broken")
    return notices
