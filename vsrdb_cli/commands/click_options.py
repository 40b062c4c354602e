"""Options of the commands: those of `vsrdb_cli.options`, types of values, and --config."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, replace
from datetime import date, time
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

import click

from vsrdb_cli.errors import OptionError
from vsrdb_cli.option_fields import Option, flag_of, is_switch, is_whole
from vsrdb_cli.options import RestoreOptions, declared_options
from vsrdb_cli.pipes import read_text

_LONGEST_CONFIG = 1 << 20
GRAPHS = ("prefilter", "postfilter")
_Command = TypeVar("_Command", bound=Callable[..., Any])

WEIGHTS_HELP = "The network: a name from `vsrdb weights list` or a .safetensors file."


class Read(click.ParamType[Any]):
    """A value that a function reads; it raises ValueError with how to write the value.

    Raises:
        OptionError: the value is not valid.
    """

    def __init__(self, read: Callable[[Any], Any], metavar: str | None = None) -> None:
        self.name = metavar or "TEXT"
        self._read = read

    def convert(self, value: Any, param: click.Parameter | None, _: click.Context | None) -> Any:
        try:
            return self._read(value)
        except ValueError as error:
            name = self.name if param is None else param.opts[0]
            raise OptionError(f"{name} {value} is not valid", hint=str(error)) from None


def read_size(smallest: int) -> Callable[[str | tuple[int, int]], tuple[int, int]]:
    """Return a function that reads WxH as (height, width), each of `smallest` pixels or more."""

    def read(value: str | tuple[int, int]) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        width, _, height = value.lower().partition("x")
        digits = width.isdecimal() and height.isdecimal()
        if not digits or min(int(width), int(height)) < smallest:
            raise ValueError(f"write a size such as 320x180, from {smallest}x{smallest} up")
        return int(height), int(width)

    return read


def restore_options(command: _Command) -> _Command:
    """Give a command all options of a restoration."""
    for entry in reversed(list(declared_options())):
        command = _click_option(entry, entry.metadata["option"])(command)
    return command


def restore_option(
    name: str, *, also: tuple[str, ...] = (), **changes: Any
) -> Callable[[_Command], _Command]:
    """Give a command one option of a restoration.

    Args:
        name: of the field.
        also: choices that only this command has.
        changes: fields of the option's declaration that differ here, such as `help`.
    """
    (entry,) = (entry for entry in declared_options() if entry.name == name)
    declared = replace(entry.metadata["option"], **changes)
    return _click_option(entry, replace(declared, choices=(*declared.choices, *also)))


def _click_option(entry: Field[Any], declared: Option) -> Callable[[_Command], _Command]:
    names = (f"--{flag_of(entry)}", entry.name)
    text = declared.help
    if declared.shown_default:
        text += f"  [default: {declared.shown_default}]"
    kind: Any = None
    if isinstance(entry.default, bool):
        return click.option(*names, is_flag=True, default=False, help=text)
    if is_switch(entry):  # one that also has a default of its own
        both = f"--{flag_of(entry)}/--no-{flag_of(entry)}"
        return click.option(both, entry.name, default=None, help=text)
    if declared.choices:
        kind = click.Choice(declared.choices)
    elif entry.name == "extra":
        return click.option(*names, multiple=True, metavar=declared.metavar, help=text)
    elif declared.read is not None:
        kind = Read(declared.read, declared.metavar)
    elif declared.between is not None:
        low, high = declared.between
        whole = click.IntRange(int(low), int(high))
        kind = whole if is_whole(entry) else click.FloatRange(low, high)
    default = entry.default if entry.default_factory is MISSING else entry.default_factory()
    default = default.value if isinstance(default, Enum) else default
    return click.option(
        *names,
        type=kind,
        default=default,
        show_default=default not in (None, ()),
        metavar=declared.metavar,
        hidden=declared.hidden,
        help=text,
    )


def options_of(values: Mapping[str, Any]) -> RestoreOptions:
    """Make options from the values of the command line; a flag "no-..." turns a field off.

    Raises:
        OptionError: they are not valid, or not together.
    """
    turned = {entry.name for entry in declared_options() if entry.default is True}
    return RestoreOptions.of(
        **{name: not value if name in turned else value for name, value in values.items()}
    )


def read_config(
    context: click.Context, parameter: click.Parameter, path: Path | None
) -> Path | None:
    """Make the options in a TOML file the command's defaults; the command line still wins.

    Raises:
        OptionError: the file cannot be read, or has an unknown option.
    """
    if path is None:
        return None
    try:
        # Notepad writes a mark at the beginning.
        values = tomllib.loads(read_text(path, "utf-8-sig", _LONGEST_CONFIG))
    except OSError as error:
        raise OptionError(f"{path} cannot be read: {error.strerror}") from error
    # The parser also raises RecursionError, and plain ValueErrors for endless numbers and dates.
    except (ValueError, RecursionError) as error:
        raise OptionError(
            f"{path} is not valid TOML: {error}",
            hint='write one option per line, such as: codec = "hevc"',
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
        _check_type(f"{path}: {key}", key, value, options[key])
        if key in GRAPHS:
            _check_no_files(f"{path}: {key}", str(value))
    context.default_map = {
        **(context.default_map or {}),
        **{str(options[key].name): _as_given(options[key], v) for key, v in values.items()},
    }
    return path


def _check_no_files(name: str, graph: str) -> None:
    """Refuse filters that open files unless the user names them on the command line.

    Raises:
        OptionError: a filter does, or the graph cannot be read.
    """
    from vsrdb_cli.video.filtering.graph import FilterGraph

    try:
        opening = FilterGraph.parse(graph).opens_files
    except ValueError as error:
        raise OptionError(f"{name} '{graph}': {error}") from None
    if opening:
        raise OptionError(
            f"{name}: {' and '.join(opening)} can open files, which a configuration file must not",
            hint="give this graph on the command line",
        )


def _as_given(option: click.Option, value: object) -> object:
    """Return a value as the command line gives it: text, or a list of an option that repeats."""
    if option.multiple:
        return value if isinstance(value, list) else [value]
    return value if option.is_flag else str(value)


def _check_type(name: str, key: str, value: object, option: click.Option) -> None:
    if isinstance(value, int) and value.bit_length() > 64:
        raise OptionError(f"{name} has too many digits")
    if option.is_flag:
        if not isinstance(value, bool):
            raise OptionError(
                f"{name} is {value!r}, expected true or false", hint=f"write: {key} = true"
            )
    elif isinstance(value, time | date):
        raise OptionError(f"{name} is {value} without quotes", hint=f'write: {key} = "{value}"')
    elif isinstance(value, bool):
        raise OptionError(f"{name} is {value!r}, expected a value instead of true or false")
    elif option.multiple and isinstance(value, list) and all(isinstance(v, str) for v in value):
        return
    elif not isinstance(value, str | int | float):
        raise OptionError(f"{name} is {value!r}, expected one value")
