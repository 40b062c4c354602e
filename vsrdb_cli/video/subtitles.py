"""Text subtitles from one codec to another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from av.subtitles.subtitle import SubtitleSet

from vsrdb_cli.video.timing import MILLISECOND, ticks

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.packet import Packet
    from av.subtitles.codeccontext import SubtitleCodecContext
    from av.subtitles.stream import SubtitleStream

# Of a text that does not say how long it stays.
USUAL_MILLISECONDS = 3000
# Fields of an ASS event before its text: number, layer, style, name, three margins, effect.
_FIELDS_BEFORE_TEXT = 8


class TextConverter:
    """Packets of a source's text subtitles as packets of another text codec.

    Args:
        source: its stream.
        output: before its header is written; the stream is added to it.
        codec: FFmpeg's name of the codec to convert to.
    """

    def __init__(self, source: SubtitleStream, output: OutputContainer, codec: str) -> None:
        self._decoder = source.codec_context
        self._decoder.open(strict=False)
        self.stream = cast("SubtitleStream", output.add_stream(codec))
        self._encoder: SubtitleCodecContext = self.stream.codec_context
        self._encoder.subtitle_header = self._decoder.subtitle_header
        self.stream.time_base = self._encoder.time_base = MILLISECOND

    def __call__(self, packet: Packet[Any]) -> Packet[Any] | None:
        """The text of a packet, at its time; None where it holds none.

        Raises:
            FFmpegError: it cannot be decoded.
        """
        decoded = self._decoder.decode2(packet)
        texts = [text for rect in decoded or () if (text := getattr(rect, "ass", b""))]
        if decoded is None or not texts or packet.pts is None:
            return None
        lines = [text.split(b",", _FIELDS_BEFORE_TEXT)[-1] for text in texts[1:]]
        event = b"\\N".join([texts[0], *lines])
        shown = ticks(packet.pts * packet.time_base, MILLISECOND)
        length = ticks((packet.duration or 0) * packet.time_base, MILLISECOND)
        length = length or decoded.end_display_time or USUAL_MILLISECONDS
        converted = self._encoder.encode_subtitle(SubtitleSet.create(event, 0, length, shown))
        converted.time_base = MILLISECOND
        converted.pts = converted.dts = shown
        converted.duration = length
        return converted
