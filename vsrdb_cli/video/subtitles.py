"""Text subtitles from one codec to another, and into one that shows a single text at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

from av.subtitles.subtitle import SubtitleSet

from vsrdb_cli.video.timing import MILLISECOND, ticks

if TYPE_CHECKING:
    from fractions import Fraction

    from av.container import OutputContainer
    from av.packet import Packet
    from av.subtitles.codeccontext import SubtitleCodecContext
    from av.subtitles.stream import SubtitleStream

# Of a text that does not say how long it stays.
USUAL_MILLISECONDS = 3000
# Fields of an ASS event before its text: number, layer, style, name, three margins, effect.
_FIELDS_BEFORE_TEXT = 8
# Whose samples cannot overlap: FFmpeg's muxer cuts one where the next begins.
_ONE_AT_A_TIME = "mov_text"
# Where texts stand that say so: at the top, by the numbers of a keypad.
_AT_TOP = (b"{\\an7", b"{\\an8", b"{\\an9")


@dataclass(frozen=True)
class _Cue:
    """A text, as an event of ASS, and when it is shown, in milliseconds."""

    begin: int
    end: int
    event: bytes

    @property
    def text(self) -> bytes:
        return self.event.split(b",", _FIELDS_BEFORE_TEXT)[-1]

    def together_with(self, others: list[_Cue], begin: int, end: int) -> _Cue:
        """One text of several that are shown at once, line by line, each in its own style."""
        event = b"{\\r}\\N".join([self.event, *(cue.text for cue in others)])
        return _Cue(begin, end, event)


class TextConverter:
    """Packets of a source's text subtitles as packets of another text codec.

    Args:
        source: its stream.
        output: before its header is written; the stream is added to it.
        codec: FFmpeg's name of the codec to convert to.
    """

    def __init__(self, source: SubtitleStream, output: OutputContainer, codec: str) -> None:
        self._codec = codec
        self._held: list[_Cue] = []  # which overlap, or may yet
        self._decoder = source.codec_context
        self._decoder.open(strict=False)
        self.stream = cast("SubtitleStream", output.add_stream(codec))
        self._encoder: SubtitleCodecContext = self.stream.codec_context
        self._encoder.subtitle_header = self._decoder.subtitle_header
        self.stream.time_base = self._encoder.time_base = MILLISECOND

    def __call__(self, packet: Packet[Any]) -> Iterator[Packet[Any]]:
        """Take the next packet; gives what is then complete.

        Raises:
            FFmpegError: it cannot be decoded.
        """
        cue = self._decoded(packet)
        if cue is None:
            return
        if self._codec != _ONE_AT_A_TIME:
            yield self._encoded(cue)
            return
        yield from self.until(cue.begin * MILLISECOND)
        self._held.append(cue)

    def until(self, seconds: Fraction | None) -> Iterator[Packet[Any]]:
        """What is complete if no text begins before a time; all that is held where it is None."""
        end = max((cue.end for cue in self._held), default=0)
        if seconds is not None and end * MILLISECOND > seconds:
            return
        held, self._held = self._held, []
        yield from map(self._encoded, one_at_a_time(held))

    def _decoded(self, packet: Packet[Any]) -> _Cue | None:
        decoded = self._decoder.decode2(packet)
        texts = [text for rect in decoded or () if (text := getattr(rect, "ass", b""))]
        if decoded is None or not texts or packet.pts is None:
            return None
        lines = [text.split(b",", _FIELDS_BEFORE_TEXT)[-1] for text in texts[1:]]
        event = b"\\N".join([texts[0], *lines])
        shown = ticks(packet.pts * packet.time_base, MILLISECOND)
        length = ticks((packet.duration or 0) * packet.time_base, MILLISECOND)
        length = length or decoded.end_display_time or USUAL_MILLISECONDS
        return _Cue(shown, shown + length, event)

    def _encoded(self, cue: _Cue) -> Packet[Any]:
        length = cue.end - cue.begin
        text = SubtitleSet.create(cue.event, 0, length, cue.begin)
        converted = self._encoder.encode_subtitle(text)
        converted.time_base = MILLISECOND
        converted.pts = converted.dts = cue.begin
        converted.duration = length
        return converted


def one_at_a_time(cues: list[_Cue]) -> Iterator[_Cue]:
    """Cues that may overlap as some that do not, which show the same at every moment.

    As players do it, a text that comes later stands above those that are there.
    """
    moments = sorted({cue.begin for cue in cues} | {cue.end for cue in cues})
    for begin, end in pairwise(moments):
        shown = [cue for cue in cues if cue.begin <= begin < cue.end]
        if shown:
            top = [cue for cue in shown if cue.text.startswith(_AT_TOP)]
            first, *others = top + [cue for cue in reversed(shown) if cue not in top]
            yield first.together_with(others, begin, end)
