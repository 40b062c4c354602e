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
from vsrdb_cli.callbacks import ignore
from vsrdb_cli.comparison.alignment import SAME, content_difference, probes
from vsrdb_cli.comparison.curves import Curves, MostDifferent, check_measurable
from vsrdb_cli.comparison.frames_shown import ALL_LOSSLESS, LARGEST_PAGE, choose_frames
from vsrdb_cli.comparison.page import check_page, page_of
from vsrdb_cli.comparison.stacked_layout import Layout, Size
from vsrdb_cli.comparison.stacked_video import StackedVideo
from vsrdb_cli.comparison.versions import Version, check_versions, enlarged, open_versions
from vsrdb_cli.errors import OptionError
from vsrdb_cli.evaluation.pairs import picked
from vsrdb_cli.option_values import Position
from vsrdb_cli.options import Hdr
from vsrdb_cli.pages import save_page
from vsrdb_cli.video.pictures.formats import LARGEST, lossless_webp
from vsrdb_cli.video.pixels.colour import to_float, to_planes

if TYPE_CHECKING:
    from torch import Tensor

    from vsrdb_cli.video.frame import Frame
    from vsrdb_cli.video.pixels.telecine import Film

# Of more frames than ALL_LOSSLESS only those that differ most are lossless, up to this many bytes
# per pixel of the picture; the rest are compressed as video.
LOSSLESS_BYTES = 4.5
LARGEST_ON_PHONES = 36_864 * 16**2  # pixels of H.264's level 5.1


@dataclass(frozen=True, slots=True)
class PageOptions:
    """Which frames a page shows, and how it is written."""

    part: range | None = None
    """The frames of `before` that `after` shows, if not all."""
    film: Film | None = None
    """Where the frames of film lie in `before`, if known; they are looked for where `after` has the
    rate of film."""
    start: Position | None = None
    """Where to start, in seconds after the first frame of `after`, or in its frames."""
    end: Position | None = None
    """Where to end, likewise; exclusive."""
    frames: int | None = None
    """The number of frames to show."""
    hdr: Hdr = Hdr.REFUSE
    """`Hdr.SDR` converts HDR to BT.709, so that it can be compared with SDR."""
    overwrite: bool = False
    """Replace an existing page."""
    largest_page: int = LARGEST_PAGE
    """Refuse pages larger than this many bytes."""
    largest_on_phones: int = LARGEST_ON_PHONES
    """Warn about videos with more pixels than this."""


@dataclass(frozen=True, slots=True)
class Page:
    """A written page."""

    path: Path
    frames: int
    bytes: int
    lossless: int
    """Number of lossless frames."""
    fidelity: float | None
    """PSNR in dB of the page's video against the lossless frames, the lowest of them; None if all
    frames are lossless."""
    notices: tuple[str, ...]
    """Remarks on the comparison, one line each."""


def write_page(
    before: Path,
    after: Path,
    page: Path,
    options: PageOptions = PageOptions(),
    *,
    truth: Path | None = None,
    on_progress: Callable[[int, int | None], None] = ignore,
) -> Page:
    """Write a page that compares `before` and `after`.

    Args:
        before: a video, a folder of pictures or a picture; enlarged if smaller than `after`.
        after: likewise.
        page: the file to write.
        options: which frames to show, and how.
        truth: the ground truth, of the size of `after`.
        on_progress: called after every frame with the frames done and the total.

    Raises:
        OptionError: the part does not exist, or is too long for a page.
        VideoError: a source cannot be read, or the sources do not match.
        OutputError: the page cannot be written; checked before the work.
        VsrdbError: a package needed for measuring is not installed.
    """
    paths = {"before": before, "after": after} | ({"truth": truth} if truth else {})
    check_page(page, list(paths.values()), overwrite=options.overwrite)
    with ExitStack() as stack:
        versions, notices = open_versions(
            paths, stack, part=options.part, film=options.film, hdr=options.hdr
        )
        lr = check_versions(versions)
        if truth:
            check_measurable(versions["after"].size)
        shown, remarks = choose_frames(
            versions,
            options.start,
            options.end,
            options.frames,
            largest_page=options.largest_page,
        )
        comparison = _Comparison(versions, shown, lr)
        with TemporaryDirectory(prefix="vsrdb-") as folder:
            video = comparison.read(Path(folder), on_progress)
        notices += [*remarks, *comparison.notices(options.largest_on_phones)]
        data = comparison.data() | {"notices": notices}
    document = page_of(data, comparison.lossless, video)
    size = save_page(document, page, overwrite=options.overwrite)
    return Page(
        page,
        len(shown["after"]),
        size,
        len(comparison.lossless),
        comparison.fidelity,
        tuple(notices),
    )


class _Comparison:
    """A pass over the frames that collects what the page shows."""

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
                hint="crop both to the same part of the picture",
            )
        self._curves = Curves()
        self._differences = dict.fromkeys(probes(len(shown["after"])), 0.0)
        self._times: list[float] = []
        self.lossless: dict[int, bytes] = {}
        """WebP files of stacked pictures by frame number."""
        self.fidelity: float | None = None
        """See `Page`."""

    def read(self, folder: Path, on_progress: Callable[[int, int | None], None]) -> bytes | None:
        """Read all frames; return the stacked video as mp4, or None if all are in `lossless`."""
        count = len(self._shown["after"])
        main = self._versions["after"].source.info
        few = count <= ALL_LOSSLESS
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
                    self.lossless[number] = lossless_webp(stacked)
                if video is not None:
                    video.write(stacked, after)
                on_progress(number + 1, count)
            self._times.append(float((after.pts + after.duration) * main.time_base))
            self._most = most.ranked()
            if video is None:
                return None
            written = video.finish()
            self.fidelity = written.fidelity(self._most)
        left = LOSSLESS_BYTES * math.prod(self._size)
        for number, stacked in self._most.items():
            webp = lossless_webp(stacked)
            if self.lossless and len(webp) > left:
                break
            self.lossless[number] = webp
            left -= len(webp)
        return written.data

    def _together(self) -> Iterator[dict[str, Frame]]:
        """Yield the frames that belong together by the names of their versions."""
        streams = {
            name: picked(version.source, self._shown[name])
            for name, version in self._versions.items()
        }
        for frames in zip(*streams.values(), strict=True):
            yield dict(zip(streams, frames, strict=True))

    def _stack(self, number: int, frames: Mapping[str, Frame]) -> Tensor:
        """Measure the frames that belong together, and stack them into one picture."""
        pictures = {name: self._versions[name].upright(f.rgb) for name, f in frames.items()}
        if self._lr is not None:
            pictures["lr"] = pictures["before"]
            pictures["before"] = enlarged(pictures["before"], self._size)
        if number in self._differences:
            difference = content_difference(pictures["before"], pictures["after"])
            self._differences[number] = difference
        self._curves.add(pictures["before"], pictures["after"], pictures.get("truth"))
        return self._layout.stack(
            {n: to_planes(to_float(p), 8) for n, p in pictures.items()}, number
        )

    def notices(self, largest_on_phones: int) -> list[str]:
        """Return problems with the sources and the page, one line each."""
        lines = [line for version in self._versions.values() for line in version.notices()]
        distance = fmean(self._differences.values())
        if distance > SAME:
            names = " and ".join(self._versions[name].name for name in ("before", "after"))
            lines.append(
                f"{names} differ by {distance:.0f} of 255 even as thumbnails: do they show the same"
                " frames?"
            )
        width, height = self._layout.width, self._layout.height
        if self.fidelity is not None and width * height > largest_on_phones:
            lines.append(
                f"the page's video is {width}x{height}, which phones may not be able to play"
            )
        return lines

    def data(self) -> dict[str, Any]:
        """Return what the page's script reads."""
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
