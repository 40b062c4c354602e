"""Compare versions of a video frame by frame and write them as a page."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from vsrdb_cli import __version__
from vsrdb_cli.comparison.alignment import SAME, apart, probes
from vsrdb_cli.comparison.curves import Curves, MostDifferent, check_measurable
from vsrdb_cli.comparison.frames_shown import ALL_EXACT, frames_shown
from vsrdb_cli.comparison.page import check_page, page_of, save_page
from vsrdb_cli.comparison.stacked_layout import Layout, Size
from vsrdb_cli.comparison.stacked_video import StackedVideo
from vsrdb_cli.comparison.versions import Version, check_versions, enlarged, open_versions
from vsrdb_cli.errors import OptionError
from vsrdb_cli.evaluation.pairs import picked
from vsrdb_cli.option_values import Position
from vsrdb_cli.options import Hdr
from vsrdb_cli.video.colour import to_float, to_planes
from vsrdb_cli.video.webp import LARGEST, lossless_webp

if TYPE_CHECKING:
    from torch import Tensor

    from vsrdb_cli.video.frame import Frame

# Of more frames than ALL_EXACT those that differ most are lossless, in so many bytes a pixel of the
# picture; the rest is compressed as video.
EXACT_BYTES = 4.5
LARGEST_ON_PHONES = 36_864 * 16**2  # pixels of H.264's level 5.1


@dataclass(frozen=True, slots=True)
class Page:
    """What was written.

    Attributes:
        exact: how many frames are lossless.
        fidelity: dB between the other frames, as the page's video shows them, and the exact ones;
            the least of the frames that differ most. None where all are exact.
        notices: what one should know of the comparison, one line each.
    """

    path: Path
    frames: int
    bytes: int
    exact: int
    fidelity: float | None
    notices: tuple[str, ...]


def write_page(
    before: Path,
    after: Path,
    page: Path,
    *,
    truth: Path | None = None,
    part: range | None = None,
    start: Position | None = None,
    end: Position | None = None,
    frames: int | None = None,
    hdr: Hdr = Hdr.REFUSE,
    overwrite: bool = False,
    on_progress: Callable[[int, int | None], None] = lambda _done, _total: None,
) -> Page:
    """Write a page on which `before` and `after` can be compared.

    Args:
        before, after, truth: videos, folders of pictures or single pictures; `before` may be
            smaller, and is then enlarged.
        part: the frames of `before` that `after` shows, where those are not all.
        start, end: of the part shown, in seconds after the first frame of `after`, or its frames.
        frames: how many are shown.
        hdr: `Hdr.SDR` lets HDR be compared with SDR, converted to BT.709.
        on_progress: called after every frame with those done and those to do.

    Raises:
        OptionError: the part does not exist, or is too long for a page.
        VideoError: a source cannot be read, or they do not belong together.
        OutputError: the page cannot be written; found out before the work.
        VsrdbError: a package that measuring needs is not installed.
    """
    paths = {"before": before, "after": after} | ({"truth": truth} if truth else {})
    check_page(page, list(paths.values()), overwrite=overwrite)
    with ExitStack() as stack:
        versions, notices = open_versions(paths, stack, part=part, hdr=hdr)
        lr = check_versions(versions)
        if truth:
            check_measurable(versions["after"].size)
        shown, said = frames_shown(versions, start, end, frames)
        comparison = _Comparison(versions, shown, lr)
        with TemporaryDirectory(prefix="vsrdb-") as folder:
            video = comparison.read(Path(folder), on_progress)
        notices += [*said, *comparison.notices()]
        data = comparison.data() | {"notices": notices}
    title = f"{data['names']['before']} → {data['names']['after']}"
    document = page_of(data, comparison.exact, video, title)
    size = save_page(document, page, overwrite=overwrite)
    return Page(
        page,
        len(shown["after"]),
        size,
        len(comparison.exact),
        comparison.fidelity,
        tuple(notices),
    )


class _Comparison:
    """Reads the frames, once, and gathers what the page shows.

    Attributes:
        exact: lossless files of stacked pictures, by their number.
        fidelity: see `Page`.
    """

    def __init__(
        self, versions: Mapping[str, Version], shown: dict[str, list[int]], lr: Size | None
    ) -> None:
        self._versions = versions
        self._shown = shown
        self._size = versions["after"].size
        self._lr = lr
        self._layout = Layout.of(self._size, truth="truth" in versions, lr=lr)
        if max(self._layout.width, self._layout.height) > LARGEST:
            raise OptionError(
                f"pictures of {self._size[1]}x{self._size[0]} are too large for a page",
                hint="compare smaller ones: cut out a part of both",
            )
        self._curves = Curves()
        self._apart = dict.fromkeys(probes(len(shown["after"])), 0.0)
        self._times: list[float] = []
        self.exact: dict[int, bytes] = {}
        self.fidelity: float | None = None

    def read(self, folder: Path, on_progress: Callable[[int, int | None], None]) -> bytes | None:
        """Read all frames; the stacked video as an mp4 file, or None where all are in `exact`."""
        count = len(self._shown["after"])
        main = self._versions["after"].source.info
        few = count <= ALL_EXACT
        most = MostDifferent(count)
        with ExitStack() as stack:
            video = None
            if not few:
                seconds = float(count / main.rate)
                video = StackedVideo(folder / "page.mp4", self._layout, main, seconds)
                stack.enter_context(video)
            for number, frames in enumerate(self._together()):
                after = frames["after"]
                stacked = self._stack(number, frames)
                self._times.append(float(after.pts * main.time_base))
                most.add(number, self._curves.difference[-1], stacked)
                if few:
                    self.exact[number] = lossless_webp(stacked)
                if video is not None:
                    video.write(stacked, after)
                on_progress(number + 1, count)
            self._times.append(float((after.pts + after.duration) * main.time_base))
            self._most = most.ranked()
            if video is None:
                return None
            written = video.finish()
            self.fidelity = written.fidelity(self._most)
        left = EXACT_BYTES * math.prod(self._size)
        for number, stacked in self._most.items():
            webp = lossless_webp(stacked)
            if self.exact and len(webp) > left:
                break
            self.exact[number] = webp
            left -= len(webp)
        return written.data

    def _together(self) -> Iterator[dict[str, Frame]]:
        """The frames side by side, upright, by the names of the versions."""
        streams = {
            name: picked(version.source, self._shown[name])
            for name, version in self._versions.items()
        }
        for frames in zip(*streams.values(), strict=True):
            yield dict(zip(streams, frames, strict=True))

    def _stack(self, number: int, frames: Mapping[str, Frame]) -> Tensor:
        """Measure what stands side by side, and put it into one picture."""
        pictures = {name: self._versions[name].upright(f.rgb) for name, f in frames.items()}
        if self._lr is not None:
            pictures["lr"] = pictures["before"]
            pictures["before"] = enlarged(pictures["before"], self._size)
        if number in self._apart:
            self._apart[number] = apart(pictures["before"], pictures["after"])
        self._curves.add(pictures["before"], pictures["after"], pictures.get("truth"))
        return self._layout.stack(
            {n: to_planes(to_float(p), 8) for n, p in pictures.items()}, number
        )

    def notices(self) -> list[str]:
        """What was odd about the sources, and may be about the page, one line each."""
        lines = [line for version in self._versions.values() for line in version.notices()]
        distance = fmean(self._apart.values())
        if distance > SAME:
            names = " and ".join(self._versions[name].name for name in ("before", "after"))
            lines.append(
                f"{names} differ by {distance:.0f} of 255 even as thumbnails: do they show the same"
                " moments?"
            )
        width, height = self._layout.width, self._layout.height
        if self.fidelity is not None and width * height > LARGEST_ON_PHONES:
            lines.append(f"the page's video is {width}x{height}, which phones may not play")
        return lines

    def data(self) -> dict[str, Any]:
        """What the page's script reads."""
        main = self._versions["after"]
        begin = self._times[0]
        return {
            "version": __version__,
            "names": {name: version.name for name, version in self._versions.items()},
            "sizes": {name: version.size[::-1] for name, version in self._versions.items()},
            "size": self._size[::-1],
            "aspect": main.aspect,
            "rate": float(main.source.info.rate),
            "timed": main.timed,
            "layout": self._layout.as_json(),
            "begin": begin,
            "times": [round(time - begin, 6) for time in self._times],
            "frames": self._shown["after"],
            "curves": self._curves.as_json(),
            "most": list(self._most),
            "detail": self._layout.most_different_place(next(iter(self._most.values()))),
            "fidelity": self.fidelity,
        }
