"""Places in a video as options name them."""

from __future__ import annotations

from vsrdb_cli.errors import OptionError
from vsrdb_cli.option_values import Position, read_position


def position(option: str, text: str | None) -> Position | None:
    """The value of an option such as --start.

    Raises:
        OptionError: it is neither a time nor a frame.
    """
    try:
        return None if text is None else read_position(text)
    except ValueError as error:
        raise OptionError(
            f"{option}: {error}", hint=f"write {option} 0:01:30 or {option} 2250f"
        ) from None
