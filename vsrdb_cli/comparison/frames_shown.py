"""Which frames a page shows: those of the part asked for that all versions have."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from vsrdb_cli.comparison.alignment import Timestamps, align, timestamps
from vsrdb_cli.comparison.stacked_layout import BITS
from vsrdb_cli.comparison.stacked_video import most_bytes
from vsrdb_cli.comparison.versions import Version
from vsrdb_cli.errors import OptionError
from vsrdb_cli.option_values import Position
from vsrdb_cli.video.part import busiest, position_words

# Of a video longer than this, where no part is named, the busiest part is shown.
LONG_SECONDS, SHOWN_SECONDS = Fraction(20), Fraction(10)
LARGEST_PAGE = 300_000_000  # bytes; browsers hold a page in memory several times
# So few frames are kept as lossless pictures, all of them.
ALL_EXACT = 8


def frames_shown(
    versions: Mapping[str, Version], start: Position | None, end: Position | None, count: int | None
) -> tuple[dict[str, list[int]], list[str]]:
    """For every version, which of its frames stand side by side; and what is to be said of it.

    Args:
        start, end, count: see `vsrdb_cli.comparison.compare.write_page`.

    Raises:
        OptionError: the part does not exist, or is too long for a page.
        VideoError: nothing tells which frames belong together.
    """
    main = versions["after"]
    times = timestamps(main.source)
    notices: list[str] = []
    if start is None and end is None and count is None and times.seconds > LONG_SECONDS:
        start = busiest(main.source, SHOWN_SECONDS)
        end = start + SHOWN_SECONDS
        notices.append(
            f"{times.name} lasts {float(times.seconds):.1f} s: the page shows its busiest"
            f" {SHOWN_SECONDS} s, from {position_words(start)} on; --start and --end choose others"
        )
    picks = {"after": tuple[int | None, ...](range(len(times.starts)))}
    for name in versions.keys() - {"after"}:
        other = versions[name].source
        picks[name], said = align(other, timestamps(other), main.source, times)
        notices += said
    places = _part(times, start, end)
    places = [place for place in places if all(pick[place] is not None for pick in picks.values())]
    if not places:
        raise OptionError(
            f"the videos have no frame in common from {position_words(start)} on",
            hint="choose another part with --start and --end",
        )
    places = _first(places, count, times, start)
    _check_length(main, times, len(places))
    return {name: [pick[p] or 0 for p in places] for name, pick in picks.items()}, notices


def _part(times: Timestamps, start: Position | None, end: Position | None) -> list[int]:
    """The frames from `start` on, before `end`."""

    def reached(position: Position | None, index: int) -> bool:
        if isinstance(position, int):
            return index >= position
        return position is not None and times.starts[index] >= position

    indices = range(len(times.starts))
    wanted = [i for i in indices if (start is None or reached(start, i)) and not reached(end, i)]
    if not wanted:
        until = "on" if end is None else f"to {position_words(end)}"
        raise OptionError(
            f"{times.name} has no frames there: from {position_words(start)} {until}",
            hint=_last(times),
        )
    return wanted


def _first(
    places: list[int], count: int | None, times: Timestamps, start: Position | None
) -> list[int]:
    """So many of the frames that all versions have."""
    if count is not None and count > len(places):
        raise OptionError(
            f"{times.name} has {len(places)} frames from {position_words(start)} on,"
            f" fewer than {count}",
            hint=f"--frames {len(places)}; {_last(times)}",
        )
    return places[:count]


def _last(times: Timestamps) -> str:
    return f"the last frame is at {float(times.starts[-1]):.3f} s (frame {len(times.starts) - 1})"


def _check_length(main: Version, times: Timestamps, count: int) -> None:
    size = most_bytes(main.size, float(count * times.frame_seconds))
    if count < 1 << BITS and (count <= ALL_EXACT or size <= LARGEST_PAGE):
        return
    raise OptionError(
        f"a page of {count} frames of {main.size[1]}x{main.size[0]} would take up to"
        f" {size / 1e6:.0f} MB, more than browsers open well",
        hint="choose a part: --start 0:10 --end 0:20, or --frames 300",
    )
