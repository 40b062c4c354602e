"""A y4m stream under watch: whether it is one, and whether it ends where a frame does."""

from __future__ import annotations

from typing import BinaryIO

_MAGIC = b"YUV4MPEG2"


class Watched:
    """A stream that can only be read, and whether it ends where a frame does.

    y4m is a line of text, and for each frame another line and its samples.

    Attributes:
        samples: bytes of a frame's samples; what is read before they are known waits.
        error: why reading has ended, if not at the end.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._ahead = bytearray()
        self._lines = 0
        self._left = 0  # bytes of the frame that is being read
        self.samples: int | None = None
        self.error: OSError | None = None

    def read(self, size: int) -> bytes:
        try:
            data = self._stream.read(size)
        except OSError as error:
            self.error, data = error, b""
        self._ahead += data
        if self.samples is not None:
            self._follow(self.samples)
        return data

    @property
    def trouble(self) -> str | None:
        """Why there is no frame, where that can be told without reading on."""
        if self.error is not None:
            return str(self.error.strerror)
        if not self._ahead:
            return "it is empty"
        same = self._ahead.startswith(_MAGIC[: len(self._ahead)])
        return None if same else f"it does not begin with {_MAGIC.decode()}"

    @property
    def is_whole(self) -> bool:
        """Whether what was read so far ends with a whole frame."""
        self._follow(self.samples or 0)
        return not (self._ahead or self._left or self.error)

    def _follow(self, samples: int) -> None:
        while self._ahead:
            if self._left:
                taken = min(self._left, len(self._ahead))
                self._left -= taken
            else:
                taken = self._ahead.find(b"\n") + 1
                if not taken:
                    return
                self._left = samples if self._lines else 0
                self._lines += 1
            del self._ahead[:taken]
