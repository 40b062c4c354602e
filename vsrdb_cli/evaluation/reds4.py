"""Find REDS4, the paper's test clips, and quote the scores it reports for them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vsrdb_cli.errors import VideoError
from vsrdb_cli.evaluation.pairs import Clip
from vsrdb_cli.evaluation.scores import END_FRAMES, RESTORED, Evaluation, Score

CLIPS = ("000", "011", "015", "020")
FRAMES = 100  # of each clip


@dataclass(frozen=True, slots=True)
class PaperRow:
    """One method of Table 9."""

    method: str
    clips: tuple[Score, Score, Score, Score]
    """In the order of CLIPS."""
    average: Score


# Youk, Oh and Kim, "FMA-Net", CVPR 2024, supplement, Table 9: both its models and the best of the
# others, RVRT retrained for the task. As printed: FMA-Net's average PSNR, 28.83 throughout the
# paper, is not the mean of its four clips, 28.86; all other averages here are the means.
TABLE_9 = (
    PaperRow(
        "RVRT*",
        (
            Score(26.84, 0.7764, 0.38),
            Score(27.76, 0.7903, 2.95),
            Score(30.66, 0.8694, 2.60),
            Score(25.93, 0.7740, 3.65),
        ),
        Score(27.80, 0.8025, 2.40),
    ),
    PaperRow(
        "FMA-Net_s",
        (
            Score(27.08, 0.7852, 0.33),
            Score(28.73, 0.8164, 2.46),
            Score(30.98, 0.8745, 2.42),
            Score(27.03, 0.8089, 3.10),
        ),
        Score(28.46, 0.8212, 2.08),
    ),
    PaperRow(
        "FMA-Net",
        (
            Score(27.19, 0.7904, 0.32),
            Score(29.38, 0.8308, 2.19),
            Score(31.36, 0.8814, 2.37),
            Score(27.51, 0.8232, 2.79),
        ),
        Score(28.83, 0.8315, 1.92),
    ),
)


def reds4_clips(restored: Path, root: Path, lr: Path | None = None) -> list[Clip]:
    """Return the four clips, each a folder of pictures in every root.

    Raises:
        VideoError: a folder is missing.
    """
    roots = [restored, root] if lr is None else [restored, root, lr]
    for folder in (base / name for base in roots for name in CLIPS):
        if not folder.is_dir():
            raise VideoError(
                f"the REDS4 clip {folder} is missing",
                hint=f"put the folders {', '.join(CLIPS)}, each with 00000000.png and so on, into"
                f" {folder.parent}",
            )
    return [Clip(name, *(base / name for base in roots)) for name in CLIPS]


def not_comparable(evaluation: Evaluation) -> list[str]:
    """Return the reasons why scores of REDS4 cannot be compared with the paper's, one line each."""
    if evaluation.end_frames != END_FRAMES:
        return ["not comparable with the paper, which leaves out each clip's first and last frame"]
    wanted = FRAMES - 2 * END_FRAMES
    counts = {clip.name: len(clip.frames) for clip in evaluation.methods[RESTORED]}
    if set(counts.values()) == {wanted}:
        return []
    each = ", ".join(f"{name} has {count}" for name, count in counts.items())
    return [f"not comparable with the paper, which scores {wanted} frames of each clip: {each}"]


def paper_as_json() -> dict[str, Any]:
    """Return Table 9 in the form of an evaluation's JSON: by method, clips and mean."""
    return {
        row.method: {
            "clips": {name: score.as_json() for name, score in zip(CLIPS, row.clips, strict=True)},
            "mean": row.average.as_json(),
        }
        for row in TABLE_9
    }
