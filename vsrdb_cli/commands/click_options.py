"""What options are to click: those of `vsrdb_cli.options`, and kinds of values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, Field
from enum import Enum
from typing import Any

import click

from vsrdb_cli.option_fields import Option, flag_of, is_whole
from vsrdb_cli.options import RestoreOptions, declared_options


class Read(click.ParamType[Any]):
    """A value read by an option's own rule, which raises ValueError with how to write it."""

    def __init__(self, read: Callable[[Any], Any], metavar: str | None) -> None:
        self.name = metavar or "TEXT"
        self._read = read

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return self._read(value)
        except ValueError as error:
            self.fail(f"'{value}' is not possible: {error}", param, ctx)


class Size(click.ParamType[tuple[int, int]]):
    """WxH -> (height, width), each of `smallest` pixels or more."""

    name = "WxH"

    def __init__(self, smallest: int) -> None:
        self._smallest = smallest

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        width, _, height = str(value).lower().partition("x")
        digits = width.isdecimal() and height.isdecimal()
        if not digits or min(int(width), int(height)) < self._smallest:
            least = f"{self._smallest}x{self._smallest}"
            self.fail(f"'{value}' is no size such as 320x180 (from {least} up)", param, ctx)
        return int(height), int(width)


def restore_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command all options of a restoration."""
    for entry in reversed(list(declared_options())):
        command = _click_option(entry)(command)
    return command


def _click_option(entry: Field[Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    declared: Option = entry.metadata["option"]
    names = (f"--{flag_of(entry)}", entry.name)
    text = declared.help
    if declared.shown_default:
        text += f"  [default: {declared.shown_default}]"
    kind: Any = None
    if isinstance(entry.default, bool):
        return click.option(*names, is_flag=True, default=False, help=text)
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
    default = _default(entry)
    return click.option(
        *names,
        type=kind,
        default=default,
        show_default=default not in (None, ()),
        metavar=declared.metavar,
        hidden=declared.hidden,
        help=text,
    )


def _default(entry: Field[Any]) -> Any:
    value = entry.default if entry.default_factory is MISSING else entry.default_factory()
    return value.value if isinstance(value, Enum) else value


def options_of(values: dict[str, Any]) -> RestoreOptions:
    """What the command line says; flags that turn something off are turned round."""
    for entry in declared_options():
        if entry.default is True:
            values[entry.name] = not values[entry.name]
    return RestoreOptions.of(**values)
