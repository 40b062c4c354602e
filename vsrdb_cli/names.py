"""File names: how long they may be, and messages for those the system refuses."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vsrdb_cli.errors import OptionError

# Bytes: of a name, in every common file system; of a path, on Linux.
_LONGEST_NAME, _LONGEST_PATH = 255, 4095


def check_length(path: Path) -> None:
    """Check that a name is short enough for a file.

    Raises:
        OptionError: it is too long.
    """
    try:
        os.lstat(path.absolute())
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise too_long(path) from None


def too_long(path: Path) -> OptionError:
    """Return the error for a name that is too long for a file."""
    name = max(path.parts, key=_bytes_of)
    what, most = f"the name {name}", _LONGEST_NAME
    if _bytes_of(name) <= most:
        name, most = str(path.absolute()), _LONGEST_PATH
        what = f"the path {path}"
    return OptionError(
        f"{what} is too long: {_bytes_of(name)} bytes, the limit is {most}",
        hint="choose a shorter one; a letter can take several bytes",
    )


@contextmanager
def reachable() -> Iterator[None]:
    """Turn the system's errors about names into messages.

    Raises:
        OptionError: a name is too long, or permissions forbid it.
    """
    try:
        yield
    except OSError as error:
        if not isinstance(error.filename, str | bytes):
            raise
        path = Path(os.fsdecode(error.filename))
        if error.errno == errno.ENAMETOOLONG:
            raise too_long(path) from error
        if error.errno not in (errno.EACCES, errno.EPERM):
            raise
        raise OptionError(
            f"{path} is not accessible: {error.strerror}",
            hint="check its permissions and those of its folders",
        ) from error


def fitting(begin: str, end: str) -> str:
    """Join two parts of a file name; if it is too long, cut the first and add its hash."""
    if _bytes_of(begin + end) <= _LONGEST_NAME:
        return begin + end
    encoded = os.fsencode(begin)
    end = f"~{hashlib.sha256(encoded).hexdigest()[:8]}{end}"
    return encoded[: _LONGEST_NAME - _bytes_of(end)].decode("utf-8", "ignore") + end


def _bytes_of(name: str) -> int:
    return len(os.fsencode(name))
