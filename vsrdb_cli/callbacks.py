"""Callbacks that callers may leave out."""


def ignore(*_: object) -> None:
    """Do nothing with what is reported."""
