"""Text subtitles from one codec to another."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any, cast

import av
from av.subtitles.subtitle import SubtitleSet

from vsrdb_cli.video.container import AV_TIME_BASE
from vsrdb_cli.video.timing import ticks

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.packet import Packet
    from av.subtitles.codeccontext import SubtitleCodecContext
    from av.subtitles.stream import SubtitleStream

MILLISECOND = Fraction(1, 1000)
# Of a text that does not say how long it stays.
USUAL_MILLISECONDS = 3000
# Fields of an ASS event before its text: number, layer, style, name, three margins, effect.
_FIELDS_BEFORE_TEXT = 8


# CEA-608 in A53 triplets that says nothing: no byte, or two of parity alone.
_NOTHING_SAID = (b"\x80\x80", b"\0\0")
_STYLES = re.compile(rb"\{[^}]*\}")
# ASS draws with letters, which FFmpeg takes for words.
_DRAWING = re.compile(rb"(\{[^}]*\\p[1-9][^}]*\}).*?(?=\{[^}]*\\p0|$)", re.DOTALL)
# How mov_text says how long a text is.
_LENGTH_BYTES = 2


class TextConverter:
    """Packets of a source's text subtitles as packets of another text codec.

    Args:
        source: its stream.
        output: before its header is written; the stream is added to it.
        codec: FFmpeg's name of the codec to convert to.

    Attributes:
        late: whether a text comes out when it ends, with its own times: of captions (CEA-608).
    """

    def __init__(self, source: SubtitleStream, output: OutputContainer, codec: str) -> None:
        self._decoder = source.codec_context
        self._decoder.open(strict=False)
        self._codec = codec
        self.late = source.codec_context.codec.canonical_name == "eia_608"
        self.stream = cast("SubtitleStream", output.add_stream(codec))
        self._encoder: SubtitleCodecContext = self.stream.codec_context
        self._encoder.subtitle_header = self._decoder.subtitle_header
        self.stream.time_base = self._encoder.time_base = MILLISECOND
        self._texts_in = self._texts_out = 0

    @property
    def lost(self) -> int:
        """How many texts went in and did not come out; of captions, 1 if none at all did."""
        if self.late:
            return int(self._texts_in > 0 and not self._texts_out)
        return self._texts_in - self._texts_out

    def __call__(self, packet: Packet[Any]) -> Iterator[Packet[Any]]:
        """The texts that are ready with a packet, at their times.

        Raises:
            FFmpegError: it cannot be decoded.
        """
        self._texts_in += self._says_something(packet)
        decoded = self._decoder.decode2(packet)
        texts = [text for rect in decoded or () if (text := getattr(rect, "ass", b""))]
        if decoded is None or not texts:
            return
        if self.late:
            shown = ticks(Fraction(decoded.pts, AV_TIME_BASE), MILLISECOND)
            length = decoded.end_display_time - decoded.start_display_time
        elif packet.pts is not None:
            shown = ticks(packet.pts * packet.time_base, MILLISECOND)
            length = ticks((packet.duration or 0) * packet.time_base, MILLISECOND)
            length = length or decoded.end_display_time
        else:
            return
        lines = [text.split(b",", _FIELDS_BEFORE_TEXT)[-1] for text in texts[1:]]
        event = _DRAWING.sub(rb"\1", b"\\N".join([texts[0], *lines]))
        length = length or USUAL_MILLISECONDS
        converted = self._encoder.encode_subtitle(SubtitleSet.create(event, 0, length, shown))
        if converted.size <= (_LENGTH_BYTES if self._codec == "mov_text" else 0):
            return  # drawings, or nothing but styles
        self._texts_out += 1
        converted.time_base = MILLISECOND
        converted.pts = converted.dts = shown
        converted.duration = length
        yield converted

    def finish(self) -> Iterator[Packet[Any]]:
        """Texts that had not ended."""
        if self.late:
            yield from self(av.Packet())

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
