"""How close restored video is to the truth: scores per frame, per clip and over all clips."""

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
from vsrdb_cli.errors import OptionError
from vsrdb_cli.evaluation.metrics import SMALLEST, Motion, extra, psnr, ssim, tof
from vsrdb_cli.evaluation.pairs import (
    Clip,
    check_known_counts,
    check_sizes,
    picture,
    together,
)
from vsrdb_cli.video.pixels.colour import to_float, to_planes
from vsrdb_cli.video.reading.open import open_source

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from vsrdb_cli.video.frame import FrameSource
    from vsrdb_cli.video.info import VideoInfo

T = TypeVar("T")

RESTORED = "restored"
# The paper restores the centre frame of T = 3, so that a clip's first and last have no score.
END_FRAMES = 3 // 2


@dataclass(frozen=True, slots=True)
class Score:
    """PSNR in dB (infinite for equal pictures), SSIM, and tOF in pixels.

    `tof` is None where there is no frame before to have moved from.
    """

    psnr: float
    ssim: float
    tof: float | None

    @classmethod
    def mean(cls, scores: Sequence[Score]) -> Score:
        """The mean of each, over those that have it."""
        flows = [score.tof for score in scores if score.tof is not None]
        return cls(
            fmean(score.psnr for score in scores),
            fmean(score.ssim for score in scores),
            fmean(flows) if flows else None,
        )

    def as_json(self) -> dict[str, float | str | None]:
        """JSON knows no infinity: it becomes the string "Infinity"."""
        value = "Infinity" if math.isinf(self.psnr) else self.psnr
        return {"psnr": value, "ssim": self.ssim, "tof": self.tof}


@dataclass(frozen=True, slots=True)
class ClipScores:
    """The scores of one clip; `frames[i]` is that of the frame with index `first + i`."""

    name: str
    first: int
    frames: tuple[Score, ...]

    @property
    def mean(self) -> Score:
        """Over the frames."""
        return Score.mean(self.frames)

    def frames_as_json(self) -> list[dict[str, Any]]:
        return [
            {"frame": index, **score.as_json()}
            for index, score in enumerate(self.frames, self.first)
        ]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores by method ("restored", and the baseline's name), the clips in the same order.

    Attributes:
        end_frames: how many frames at either end of each clip have no score.
        notices: what was odd about the sources, one line each.
    """

    methods: Mapping[str, tuple[ClipScores, ...]]
    end_frames: int
    notices: tuple[str, ...] = ()

    def mean(self, method: str) -> Score:
        """Over the clips, each counting the same, as in the paper."""
        return Score.mean([clip.mean for clip in self.methods[method]])

    def as_json(self, *, summary: bool = False) -> dict[str, Any]:
        """Per frame, unless it is a summary, and mean; ready for `json.dumps`."""
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
    on_progress: Callable[[int, int | None], None] = lambda _done, _total: None,
) -> Evaluation:
    """Score clips frame by frame; memory does not grow with their length.

    Args:
        baseline: a method of `vsrdb_cli.backends.builtin`, applied to every clip's `lr` and
            scored beside what was restored.
        end_frames: frames left out at either end.
        on_progress: called after every frame with the number of frames done, of all clips, and
            of those to do, or None where a container makes no promise.

    Raises:
        OptionError: frames too small or too few to be scored.
        VideoError: a source cannot be read, or sizes or counts of frames differ.
        VsrdbError: a package that evaluating needs is not installed.
    """
    for module in ("cv2", "skimage.metrics"):
        extra(module)  # before any frame is read
    methods = [RESTORED] if baseline is None else [RESTORED, baseline]
    found: dict[str, list[ClipScores]] = {method: [] for method in methods}
    notices: list[str] = []
    with ExitStack() as stack:
        opened = [
            (clip, [stack.enter_context(open_source(path)) for path in _paths(clip, baseline)])
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
    """Scores of one clip; `sources` are truth, restored and, with a baseline, LR."""
    scores: dict[str, list[Score]] = {method: [] for method in methods}
    truth_motion = Motion()
    motions = {method: Motion() for method in methods}
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
    if min(truth.width, truth.height) < SMALLEST:
        raise OptionError(
            f"{truth.path} is {truth.width}x{truth.height}; tOF asks for at least"
            f" {SMALLEST}x{SMALLEST}, since it cuts the borders",
            hint="evaluate larger frames",
        )


def _too_few(clip: Clip, frames: int, end_frames: int) -> OptionError:
    return OptionError(
        f"{clip.restored} has {frames} frames, {end_frames} of them left out at either end;"
        " tOF compares motion between 2 frames at least",
        hint="add --all-frames" if end_frames and frames >= 2 else "evaluate a longer video",
    )


def _notices(source: FrameSource) -> list[str]:
    notices = [*source.info.notices, *source.report.notices]
    if source.report.damaged:
        notices.append(f"{source.info.path} is damaged: frames may be missing or broken")
    return notices
