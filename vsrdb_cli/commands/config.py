"""`--config FILE`: options from a TOML file, under the names they have on the command line."""

from __future__ import annotations

import difflib
import tomllib
from datetime import date, time
from pathlib import Path

import click

from vsrdb_cli.errors import OptionError
from vsrdb_cli.pipes import read_text

_LIMIT = 1 << 20


def read_config(
    context: click.Context, parameter: click.Parameter, path: Path | None
) -> Path | None:
    """Take what the file says for the command's defaults; the command line still wins.

    Raises:
        OptionError: the file cannot be read, or names an option there is not.
    """
    if path is None:
        return None
    try:
        # As Notepad writes it, too.
        values = tomllib.loads(read_text(path, "utf-8-sig", _LIMIT))
    except OSError as error:
        raise OptionError(f"{path} cannot be read: {error.strerror}") from error
    # Of the parser also RecursionError, and plain ValueErrors for numbers and dates without end.
    except (ValueError, RecursionError) as error:
        raise OptionError(
            f"{path} is no TOML: {error}", hint='write one option a line, as: codec = "hevc"'
        ) from error
    options = {
        name.removeprefix("--"): option
        for option in context.command.params
        if isinstance(option, click.Option) and option is not parameter
        for name in option.opts
        if name.startswith("--")
    }
    for key, value in values.items():
        if key not in options:
            near = difflib.get_close_matches(key, options, n=1)
            raise OptionError(
                f"{path}: there is no option '{key}'",
                hint=f"did you mean '{near[0]}'?" if near else "see: vsrdb restore --help",
            )
        _check_kind(path, key, value, options[key])
    context.default_map = {
        **(context.default_map or {}),
        **{str(options[key].name): _as_given(options[key], v) for key, v in values.items()},
    }
    return path


def _as_given(option: click.Option, value: object) -> object:
    """A value as click has it from the command line: text, or a list where it can be given
    repeatedly."""
    if option.multiple:
        return value if isinstance(value, list) else [value]
    return value if option.is_flag else str(value)


def _check_kind(path: Path, key: str, value: object, option: click.Option) -> None:
    if isinstance(value, int) and value.bit_length() > 64:
        raise OptionError(f"{path}: {key} is a number of too many digits, expected fewer")
    if option.is_flag and not isinstance(value, bool):
        raise OptionError(
            f"{path}: {key} is {value!r}, expected true or false", hint=f"write: {key} = true"
        )
    if option.multiple and isinstance(value, list) and all(isinstance(v, str) for v in value):
        return
    if isinstance(value, time | date):
        raise OptionError(
            f"{path}: {key} is {value}, without quotes", hint=f'write: {key} = "{value}"'
        )
    if not option.is_flag and not isinstance(value, str | int | float):
        raise OptionError(f"{path}: {key} is {value!r}, expected one value")
    if not option.is_flag and isinstance(value, bool):
        raise OptionError(f"{path}: {key} is {value!r}, expected a value, no true or false")
