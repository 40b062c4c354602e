"""Turn measures into a verdict; docs/ADVISE.md has the table the thresholds were set by."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vsrdb_cli.advice.measures import Measures
    from vsrdb_cli.advice.restoration_trial import RestorationTrial
    from vsrdb_cli.video.info import VideoInfo

# Beyond these the input is outside the network's training range, or there is nothing to restore.
NOISE, NOISE_SHARE = 7.5, 0.20  # of 255, and of the fine detail: both
# Noise to denoise. Sharp clips have up to 4.6 and 5 %: fine texture passes for noise.
DENOISED, DENOISED_SHARE = 3.5, 0.10
BLOCKING = 1.3
ENLARGED = 2.0
COMBING = 0.05
UNEXPLAINED = 0.45
CHANGE = 1e-5
# Beyond these a finding is marked, but does not change the verdict.
MOTION = 6.5  # pixels per frame; 95 of 100 training scenes moved less
DIRECTION = 1.5
BANDING = 0.3
DARK, CLIPPED = 0.5, 0.25
DUPLICATES = 0.05

_SINGLE = "unknown: a single picture"


class Verdict(Enum):
    """An answer to whether a video is worth restoring."""

    WORTH = "worth it"
    LITTLE = "little to gain"
    OUTSIDE = "outside its training range"

    @property
    def rank(self) -> int:
        """0 to 2; higher is better."""
        return (Verdict.OUTSIDE, Verdict.LITTLE, Verdict.WORTH).index(self)

    @property
    def usual_gain(self) -> tuple[float, float]:
        """RGB PSNR over bicubic in dB, from and to, of the middle half of the calibration clips."""
        return _USUAL_GAIN[self]


_USUAL_GAIN = {
    Verdict.WORTH: (1.3, 2.4),
    Verdict.LITTLE: (0.1, 0.4),
    Verdict.OUTSIDE: (-1.1, -0.1),
}


@dataclass(frozen=True)
class Finding:
    """One property of a video and what it means for restoring."""

    name: str
    text: str
    """A description in a few words."""
    verdict: Verdict | None = None
    """The verdict it asks for on its own; None for "worth it"."""
    warns: bool = False
    """True if it deserves a mark without changing the verdict."""

    @property
    def is_reason(self) -> bool:
        """True if it is a reason not to restore, or a warning."""
        return self.verdict is not None or self.warns


def judge(
    info: VideoInfo, measures: Measures, trial: RestorationTrial, noisy: bool | None = None
) -> tuple[Verdict, list[Finding]]:
    """Return the verdict and all findings. An enlarged picture has to be shrunk before all else.

    Args:
        info: the source.
        measures: of the source.
        trial: of the source as the proposed filters leave it.
        noisy: whether it `is_noisy` after the proposed filters; None if none are proposed.
    """
    found = [
        _size(info, measures),
        _bars(measures),
        _blur(measures),
        _noise(measures, noisy),
        _blocks(measures),
        _interlacing(info, measures),
        _banding(measures),
        _light(measures),
        _duplicates(measures),
        _motion(measures),
        _consistency(trial, is_denoised(measures)),
        _change(trial),
    ]
    if is_enlarged(measures):
        return Verdict.LITTLE, found
    verdicts = [finding.verdict for finding in found if finding.verdict is not None]
    return min(verdicts, key=lambda verdict: verdict.rank, default=Verdict.WORTH), found


def is_enlarged(measures: Measures) -> bool:
    """Return whether to shrink it first; in strong noise the real resolution cannot be measured."""
    return measures.enlarged_by >= ENLARGED and not is_noisy(measures)


def is_noisy(measures: Measures) -> bool:
    """Return whether there is more noise than the network can tell from detail."""
    return measures.noise > NOISE and measures.noise_share > NOISE_SHARE


def is_denoised(measures: Measures) -> bool:
    """Return whether there is enough noise that restoring gains from less of it."""
    return measures.noise > DENOISED and measures.noise_share > DENOISED_SHARE


def has_combs(measures: Measures) -> bool:
    """Return whether interlacing is left; strong noise looks like it."""
    return measures.combing > COMBING and not is_noisy(measures)


def has_blocks(measures: Measures) -> bool:
    """Return whether compression has left blocks."""
    return measures.blocking > BLOCKING


def _size(info: VideoInfo, measures: Measures) -> Finding:
    size = f"{info.width}x{info.height}"
    factor = measures.enlarged_by
    if factor == 1:
        return Finding("size", f"{size}, with detail as fine as its pixels")
    real = f"{round(info.width / factor)}x{round(info.height / factor)}"
    if not is_enlarged(measures):
        return Finding("size", f"{size}, no finer than {real}")
    return Finding("size", f"{size}, enlarged: no finer than {real}", Verdict.LITTLE)


def _blur(measures: Measures) -> Finding:
    text = f"{measures.blur:.2f} of 1"
    if measures.blur_ratio < DIRECTION:
        return Finding("blur", f"{text}, the same in all directions")
    return Finding("blur", f"{text}, strongest at {round(measures.blur_angle)} degrees")


def _bars(measures: Measures) -> Finding:
    if measures.bars is None:
        return Finding("bars", "too dark to tell")
    sides = asdict(measures.bars)
    found = ", ".join(f"{lines} lines at the {side}" for side, lines in sides.items() if lines)
    return Finding("bars", f"black: {found}; to be cut off" if found else "none")


def _noise(measures: Measures, noisy: bool | None) -> Finding:
    text = f"{measures.noise:.1f} of 255, {measures.noise_share:.0%} of fine detail"
    if is_noisy(measures) if noisy is None else noisy:
        return Finding("noise", text, Verdict.OUTSIDE)
    denoised = is_denoised(measures)
    return Finding("noise", text + ("; to be denoised first" if denoised else ""), warns=denoised)


def _blocks(measures: Measures) -> Finding:
    if not has_blocks(measures):
        return Finding("blocks", "none")
    text = f"steps are {measures.blocking:.1f} times as high at every 8th pixel; to be deblocked"
    return Finding("blocks", text, Verdict.LITTLE)


def _interlacing(info: VideoInfo, measures: Measures) -> Finding:
    if has_combs(measures):
        text = f"combing in {measures.combing:.0%} of the picture"
        return Finding("interlacing", text, Verdict.OUTSIDE)
    if info.film is not None:
        return Finding("interlacing", "none: film in 3:2 pulldown, brought back to its frames")
    if info.interlaced:
        return Finding("interlacing", "yes; restore deinterlaces it", Verdict.LITTLE)
    return Finding("interlacing", "none")


def _banding(measures: Measures) -> Finding:
    if measures.banding <= BANDING:
        return Finding("banding", "none")
    text = f"in {measures.banding:.0%} of the smooth areas; it stays"
    return Finding("banding", text, warns=True)


def _light(measures: Measures) -> Finding:
    text = f"{measures.dark:.0%} nearly black, {measures.clipped:.0%} nearly white"
    warns = measures.dark > DARK or measures.clipped > CLIPPED
    return Finding("light", text + ("; detail there is lost" if warns else ""), warns=warns)


def _duplicates(measures: Measures) -> Finding:
    if measures.duplicates is None:
        return Finding("duplicates", _SINGLE)
    if measures.duplicates <= DUPLICATES:
        return Finding("duplicates", "none")
    text = f"{measures.duplicates:.0%} of frames look like the previous one"
    if measures.repeated:
        text += f"; {measures.repeated:.0%} are equal to it and cost no time"
    return Finding("duplicates", text, warns=measures.duplicates > (measures.repeated or 0))


def _motion(measures: Measures) -> Finding:
    if measures.motion is None or measures.fast_motion is None:
        return Finding("motion", _SINGLE)
    text = f"{measures.motion:.1f} pixels per frame, up to {measures.fast_motion:.1f}"
    if measures.fast_motion <= MOTION:
        return Finding("motion", text)
    return Finding("motion", f"{text}; trained up to {MOTION:g}", warns=True)


def _consistency(trial: RestorationTrial, denoised: bool) -> Finding:
    text = f"{trial.consistency:.1f} dB; {trial.unexplained:.0%} of fine detail unexplained"
    # Denoising leaves little fine detail to compare with: such clips gained 3 and 5 dB.
    outside = trial.unexplained > UNEXPLAINED and not denoised
    return Finding("consistency", text, Verdict.OUTSIDE if outside else None)


def _change(trial: RestorationTrial) -> Finding:
    text = f"{100 * trial.change**0.5:.1f} % from bicubic"
    if trial.change >= CHANGE:
        return Finding("change", text)
    return Finding("change", f"{text}: almost none", Verdict.LITTLE)
