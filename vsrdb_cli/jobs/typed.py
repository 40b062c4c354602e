"""Checks values from a JSON file, which anybody may have edited."""

from __future__ import annotations

import types
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar, Union, get_args, get_origin, get_type_hints

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Made = TypeVar("Made", bound="DataclassInstance")


def made_of(kind: type[Made], values: object) -> Made:
    """Create a dataclass from plain values.

    Raises:
        ValueError: a value has not the type of its field, or its field is unknown or missing.
    """
    if not isinstance(values, dict):
        raise ValueError(f"{type(values).__name__} instead of named values")
    hints = get_type_hints(kind)
    names = {field.name for field in fields(kind)}
    for name, value in values.items():
        if name not in names:
            raise ValueError(f"{name!r} is unknown")
        if not fits(value, hints[name]):
            raise ValueError(f"{name} has a value of a wrong type")
    try:
        return kind(**values)
    except TypeError:
        raise ValueError("values are missing") from None


def fits(value: object, kind: Any) -> bool:
    """Return whether a value has a type: a plain one, or a union, list or dict of such."""
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
