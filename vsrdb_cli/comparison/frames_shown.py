"""Choose the frames a page shows: those of the part asked for that all versions have."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from vsrdb_cli.comparison.alignment import Timestamps, align, timestamps
from vsrdb_cli.comparison.stacked_layout import BITS
from vsrdb_cli.comparison.stacked_video import most_bytes
from vsrdb_cli.comparison.versions import Version
from vsrdb_cli.errors import OptionError
from vsrdb_cli.option_values import Position
from vsrdb_cli.text import count as counted
from vsrdb_cli.video.reading.trim import busiest, position_text

# Of a video longer than this only the busiest part is shown, unless a part is named.
LONG_SECONDS, SHOWN_SECONDS = Fraction(20), Fraction(10)
LARGEST_PAGE = 300_000_000  # bytes; browsers hold a page in memory several times
# Up to this many frames are all lossless.
ALL_LOSSLESS = 8


def choose_frames(
    versions: Mapping[str, Version],
    start: Position | None,
    end: Position | None,
    count: int | None,
    *,
    largest_page: int = LARGEST_PAGE,
) -> tuple[dict[str, list[int]], list[str]]:
    """Choose for every version the frames to show side by side.

    Args:
        versions: the videos compared.
        start: see `vsrdb_cli.comparison.compare.PageOptions`, as for `end`.
        end: exclusive.
        count: the number of frames.
        largest_page: bytes above which a page is refused.

    Returns:
        Indices by version, and notices, one line each.

    Raises:
        OptionError: the part does not exist, or is too long for a page.
        VideoError: the contents do not match.
    """
    main = versions["after"]
    times = timestamps(main.source)
    notices: list[str] = []
    if start is None and end is None and count is None and times.seconds > LONG_SECONDS:
        start = busiest(main.source, SHOWN_SECONDS)
        end = start + SHOWN_SECONDS
        notices.append(
            f"{times.name} lasts {float(times.seconds):.1f} s: the page shows its busiest"
            f" {SHOWN_SECONDS} s, from {position_text(start)} on; choose others with --start and"
            " --end"
        )
    picks = {"after": tuple[int | None, ...](range(len(times.starts)))}
    for name in versions.keys() - {"after"}:
        other = versions[name].source
        picks[name], remarks = align(other, timestamps(other), main.source, times)
        notices += remarks
    places = _part(times, start, end)
    places = [place for place in places if all(pick[place] is not None for pick in picks.values())]
    if not places:
        raise OptionError(
            f"the videos have no frame in common from {position_text(start)} on",
            hint="choose another part with --start and --end",
        )
    places = _first(places, count, times, start)
    _check_length(main, times, len(places), largest_page)
    return {name: [pick[p] or 0 for p in places] for name, pick in picks.items()}, notices


def _part(times: Timestamps, start: Position | None, end: Position | None) -> list[int]:
    """Return the frames from `start` to before `end`."""

    def reached(position: Position | None, index: int) -> bool:
        if isinstance(position, int):
            return index >= position
        return position is not None and times.starts[index] >= position

    indices = range(len(times.starts))
    wanted = [i for i in indices if (start is None or reached(start, i)) and not reached(end, i)]
    if not wanted:
        until = "on" if end is None else f"to {position_text(end)}"
        raise OptionError(
            f"{times.name} has no frames from {position_text(start)} {until}",
            hint=_last(times),
        )
    return wanted


def _first(
    places: list[int], count: int | None, times: Timestamps, start: Position | None
) -> list[int]:
    """Return the first `count` places."""
    if count is not None and count > len(places):
        raise OptionError(
            f"{times.name} has only {counted(len(places), 'frame')} from {position_text(start)} on",
            hint=f"--frames {len(places)}; {_last(times)}",
        )
    return places[:count]


def _last(times: Timestamps) -> str:
    return f"the last frame is at {float(times.starts[-1]):.3f} s (frame {len(times.starts) - 1})"


def _check_length(main: Version, times: Timestamps, count: int, largest_page: int) -> None:
    size = most_bytes(main.size, float(count * times.frame_seconds))
    if count < 1 << BITS and (count <= ALL_LOSSLESS or size <= largest_page):
        return
    raise OptionError(
        f"a page of {count} frames of {main.size[1]}x{main.size[0]} would take up to"
        f" {size / 1e6:.0f} MB, too much for browsers",
        hint="choose a part: --start 0:10 --end 0:20, or --frames 300",
    )
