"""Fields of options: how one is declared, and how the value that it is given is checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import Field, dataclass, field, fields
from enum import Enum
from functools import cache
from numbers import Integral, Real
from os import PathLike
from types import NoneType
from typing import Any, get_args, get_type_hints

from vsrdb_cli.errors import OptionError


@dataclass(frozen=True)
class Option:
    """The declaration of an option, beside the name, type and default of its field."""

    help: str
    """One sentence or two, for `--help`."""
    choices: tuple[str, ...] = ()
    """All possible values; empty if anything goes."""
    between: tuple[float, float] | None = None
    """The smallest and the largest number."""
    read: Callable[[Any], object] | None = None
    """Turns what is given into the value; raises ValueError with how to write it."""
    takes: tuple[type, ...] = ()
    """The types that `read` takes; empty for those of the field."""
    metavar: str | None = None
    """The name of the value in `--help`."""
    shown_default: str | None = None
    """The default in `--help`, where the value itself would say nothing."""
    flag: str | None = None
    """Name on the command line, if not the field's; "no-..." turns a field off."""
    frames: bool = True
    """Whether the restored frames depend on it; a job is resumed only if these agree."""
    hidden: bool = False
    """Whether `--help` leaves it out."""


def option(default: Any, text: str, **details: Any) -> Any:
    """Declare a field of an options class; a callable default makes the value."""
    metadata = {"option": Option(text, **details)}
    if callable(default):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class CheckedOptions:
    """A base class whose fields are checked, and read, when an object is made.

    Raises:
        TypeError: a value is of a type that its field does not take.
        OptionError: a value is not possible.
    """

    def __post_init__(self) -> None:
        for entry in fields(self):
            value = getattr(self, entry.name)
            _check_type(entry.name, value)
            declared: Option | None = entry.metadata.get("option")
            if declared is not None and value is not None:
                object.__setattr__(self, entry.name, _read(entry, declared, value))


def _check_type(name: str, value: object) -> None:
    taken = _types()[name]
    if isinstance(value, taken) and (bool in taken or not isinstance(value, bool)):
        return
    names = " or ".join(_NAMES.get(kind, kind.__name__) for kind in taken)
    raise TypeError(f"{name} must be {names}, not {type(value).__name__}")


_NAMES = {Real: "a number", Integral: "int", NoneType: "None", PathLike: "a path"}


@cache
def _types() -> dict[str, tuple[type, ...]]:
    """Find the types that each field takes, by its name."""
    numbers = {int: Integral, float: Real}  # numpy's are welcome
    found = {}
    for options in CheckedOptions.__subclasses__():
        hints = get_type_hints(options)
        for entry in fields(options):
            hint = hints[entry.name]
            own = get_args(hint) if NoneType in get_args(hint) else (hint,)
            declared: Option | None = entry.metadata.get("option")
            taken = (declared and declared.takes) or tuple(
                numbers.get(kind, kind) for kind in own if kind is not NoneType
            )
            found[entry.name] = (*taken, *(kind for kind in own if kind is NoneType))
    return found


def _read(entry: Field[Any], declared: Option, value: Any) -> object:
    def refused(hint: str) -> OptionError:
        several = isinstance(value, list | tuple)
        shown = ",".join(map(str, value)) if several else value
        shown = f"'{shown}'" if several or isinstance(value, str) else shown
        # By a name that reads well for programs and on the command line.
        return OptionError(f"{flag_of(entry).replace('-', ' ')} {shown} is not valid", hint=hint)

    choices = declared.choices
    if choices and (value.value if isinstance(value, Enum) else value) not in choices:
        raise refused(f"choose {', '.join(choices[:-1])} or {choices[-1]}")
    if declared.read is not None:
        try:
            return declared.read(value)
        except ValueError as error:
            raise refused(str(error)) from None
    if declared.between is not None:
        low, high = declared.between
        if not low <= value <= high:
            whole = "a whole number from " if is_whole(entry) else ""
            raise refused(f"choose {whole}{low:g} to {high:g}")
        return int(value) if is_whole(entry) else float(value)
    return value


def flag_of(entry: Field[Any]) -> str:
    """Return an option's name on the command line, without its dashes."""
    declared: Option = entry.metadata["option"]
    return declared.flag or entry.name.replace("_", "-")


def is_switch(entry: Field[Any]) -> bool:
    """Return whether an option is turned on or off."""
    return bool in _types()[entry.name]


def is_whole(entry: Field[Any]) -> bool:
    """Return whether an option is a whole number."""
    return Integral in _types()[entry.name]
