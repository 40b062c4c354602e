"""Values from a file of JSON, which anybody may have edited, as what the program expects."""

from __future__ import annotations

import types
from dataclasses import fields
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

Made = TypeVar("Made")


def made_of(kind: type[Made], values: object) -> Made:
    """A dataclass of plain values, each of the type that its annotation says.

    Raises:
        ValueError: they are not; says which.
    """
    if not isinstance(values, dict):
        raise ValueError(f"{type(values).__name__} instead of named values")
    hints = get_type_hints(kind)
    names = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    for name, value in values.items():
        if name not in names:
            raise ValueError(f"{name!r} is unknown")
        if not fits(value, hints[name]):
            raise ValueError(f"{name} is not what it should be")
    try:
        return kind(**values)
    except TypeError:
        raise ValueError("values are missing") from None


def fits(value: object, kind: Any) -> bool:
    """Whether a value is of a type: a plain one, or a union, list or dict of such."""
    if kind is Any:
        return True
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return any(fits(value, each) for each in inner)
    if origin is list:
        return isinstance(value, list) and all(fits(each, inner[0]) for each in value)
    if origin is dict:
        return isinstance(value, dict) and all(fits(each, inner[1]) for each in value.values())
    if kind is float:
        kind = (int, float)
    return isinstance(value, kind)
