"""What is said of losses, and when they are an error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from vsrdb_cli.errors import OptionError, VideoError
from vsrdb_cli.video.info import ReadReport


def announce(
    notices: Sequence[str],
    on_notice: Callable[[str], None],
    *,
    assumed: Sequence[str] = (),
    strict: bool = False,
) -> None:
    """Say before the work what will be changed or dropped.

    Args:
        notices: one line for each thing.
        assumed: what the source leaves open, and what it is taken for; no error under `strict`.

    Raises:
        OptionError: there is something, and it is to be strict.
    """
    if strict and notices:
        raise OptionError(
            f"not everything can be kept: {'; '.join(notices)}",
            hint="choose an output that keeps it, or leave --strict away",
        )
    for notice in (*notices, *assumed):
        on_notice(notice)


def judge(
    report: ReadReport, output: Path, lost: Sequence[str] = (), *, strict: bool = False
) -> None:
    """See after the work whether the source was whole; the output is there in either case.

    Args:
        lost: what of the source's other streams could not be copied, one line each.

    Raises:
        VideoError: it was not, and it is to be strict.
    """
    found = (*report.damage, *lost, *report.changes)
    if strict and found:
        raise VideoError(
            f"{output} is written, but not all of the source is in it: {'; '.join(found)}",
            hint="look at the output, or leave --strict away to accept it",
        )
