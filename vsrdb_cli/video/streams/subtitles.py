"""Convert text subtitles from one codec to another, also to one that shows one text at a time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

import av
from av.subtitles.subtitle import SubtitleSet

from vsrdb_cli.video.containers.demuxing import AV_TIME_BASE
from vsrdb_cli.video.timing import MILLISECOND, ticks

if TYPE_CHECKING:
    from fractions import Fraction

    from av.container import OutputContainer
    from av.packet import Packet
    from av.subtitles.codeccontext import SubtitleCodecContext
    from av.subtitles.stream import SubtitleStream

# The duration of a text that has none.
USUAL_MILLISECONDS = 3000
# Fields of an ASS event before its text: number, layer, style, name, three margins, effect.
_FIELDS_BEFORE_TEXT = 8
# Whose samples cannot overlap: FFmpeg's muxer cuts one where the next begins.
_ONE_AT_A_TIME = "mov_text"
# Positions at the top, numbered like a keypad.
_AT_TOP = (b"{\\an7", b"{\\an8", b"{\\an9")
# Empty CEA-608 in A53 triplets: no byte, or two with only parity.
_NOTHING_SAID = (b"\x80\x80", b"\0\0")
_STYLES = re.compile(rb"\{[^}]*\}")
# ASS draws with letters, which FFmpeg takes for text.
_DRAWING = re.compile(rb"(\{[^}]*\\p[1-9][^}]*\}).*?(?=\{[^}]*\\p0|$)", re.DOTALL)
# The size of a text's length in mov_text.
_LENGTH_BYTES = 2


@dataclass(frozen=True)
class _Cue:
    """A text as an ASS event, and when it is shown."""

    begin: int
    """In milliseconds, like the end."""
    end: int
    event: bytes

    @property
    def text(self) -> bytes:
        return self.event.split(b",", _FIELDS_BEFORE_TEXT)[-1]

    def together_with(self, others: list[_Cue], begin: int, end: int) -> _Cue:
        """Return one text of several shown at once, line by line, each in its own style."""
        event = b"{\\r}\\N".join([self.event, *(cue.text for cue in others)])
        return _Cue(begin, end, event)


class TextConverter:
    """Converts a source's text subtitles to another text codec.

    Args:
        source: its stream.
        output: before its header is written; the stream is added to it.
        codec: FFmpeg's name of the codec to convert to.

    Attributes:
        late: whether texts come out when they end, with their own times, as captions (CEA-608) do.
    """

    def __init__(self, source: SubtitleStream, output: OutputContainer, codec: str) -> None:
        self._codec = codec
        self._held: list[_Cue] = []  # which overlap, or may yet
        self._decoder = source.codec_context
        self._decoder.open(strict=False)
        self.late = source.codec_context.codec.canonical_name == "eia_608"
        self.stream = cast("SubtitleStream", output.add_stream(codec))
        self._encoder: SubtitleCodecContext = self.stream.codec_context
        self._encoder.subtitle_header = self._decoder.subtitle_header
        self.stream.time_base = self._encoder.time_base = MILLISECOND
        self._texts_in = self._texts_out = 0

    @property
    def lost(self) -> int:
        """Number of texts that went in and did not come out; of captions, 1 if none did."""
        if self.late:
            return int(self._texts_in > 0 and not self._texts_out)
        return self._texts_in - self._texts_out

    def __call__(self, packet: Packet[Any]) -> Iterator[Packet[Any]]:
        """Take the next packet and yield what is then complete.

        Raises:
            FFmpegError: it cannot be decoded.
        """
        self._texts_in += self._says_something(packet)
        cue = self._decoded(packet)
        converted = None if cue is None else self._encoded(cue)
        if cue is None or converted is None:
            return
        self._texts_out += 1
        if self._codec != _ONE_AT_A_TIME:
            yield converted
            return
        yield from self.until(cue.begin * MILLISECOND)
        self._held.append(cue)

    def until(self, seconds: Fraction | None) -> Iterator[Packet[Any]]:
        """Yield what is complete if no text begins before a time; everything if that is None."""
        end = max((cue.end for cue in self._held), default=0)
        if seconds is not None and end * MILLISECOND > seconds:
            return
        held, self._held = self._held, []
        for cue in one_at_a_time(held):
            converted = self._encoded(cue)
            if converted is not None:
                yield converted

    def finish(self) -> Iterator[Packet[Any]]:
        """Yield texts that are held, or had not ended."""
        if self.late:
            yield from self(av.Packet())
        yield from self.until(None)

    def _decoded(self, packet: Packet[Any]) -> _Cue | None:
        decoded = self._decoder.decode2(packet)
        texts = [text for rect in decoded or () if (text := getattr(rect, "ass", b""))]
        if decoded is None or not texts:
            return None
        if self.late:
            shown = ticks(Fraction(decoded.pts, AV_TIME_BASE), MILLISECOND)
            length = decoded.end_display_time - decoded.start_display_time
        elif packet.pts is not None:
            shown = ticks(packet.pts * packet.time_base, MILLISECOND)
            length = ticks((packet.duration or 0) * packet.time_base, MILLISECOND)
            length = length or decoded.end_display_time
        else:
            return None
        lines = [text.split(b",", _FIELDS_BEFORE_TEXT)[-1] for text in texts[1:]]
        event = _DRAWING.sub(rb"\1", b"\\N".join([texts[0], *lines]))
        return _Cue(shown, shown + (length or USUAL_MILLISECONDS), event)

    def _encoded(self, cue: _Cue) -> Packet[Any] | None:
        """Encode a packet; None for drawings, or for nothing but styles."""
        length = cue.end - cue.begin
        text = SubtitleSet.create(cue.event, 0, length, cue.begin)
        converted = self._encoder.encode_subtitle(text)
        if converted.size <= (_LENGTH_BYTES if self._codec == _ONE_AT_A_TIME else 0):
            return None
        converted.time_base = MILLISECOND
        converted.pts = converted.dts = cue.begin
        converted.duration = length
        return converted

    def _says_something(self, packet: Packet[Any]) -> bool:
        content = bytes(packet)
        if self.late:
            said = (content[place + 1 : place + 3] for place in range(0, len(content), 3))
            return any(pair not in _NOTHING_SAID for pair in said)
        if self._decoder.codec.canonical_name == "mov_text":
            return any(content[:_LENGTH_BYTES])
        if self._decoder.codec.canonical_name in ("ass", "ssa"):
            content = _STYLES.sub(b"", content.split(b",", _FIELDS_BEFORE_TEXT)[-1])
        return bool(content.strip(b"\0\r\n\t "))


def one_at_a_time(cues: list[_Cue]) -> Iterator[_Cue]:
    """Split overlapping cues into cues that do not overlap and show the same at every moment.

    As in players, a later text is placed above those that are shown already.
    """
    moments = sorted({cue.begin for cue in cues} | {cue.end for cue in cues})
    for begin, end in pairwise(moments):
        shown = [cue for cue in cues if cue.begin <= begin < cue.end]
        if shown:
            top = [cue for cue in shown if cue.text.startswith(_AT_TOP)]
            first, *others = top + [cue for cue in reversed(shown) if cue not in top]
            yield first.together_with(others, begin, end)
