"""A video with one of everything a file may hold beside its pictures."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import clips
from av.stream import Disposition
from av.subtitles.subtitle import SubtitleSet

HEADER = (
    b"[Script Info]\nScriptType: v4.00+\n[V4+ Styles]\n"
    b"Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour,"
    b" Bold, Italic, Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline,"
    b" Shadow, Alignment, MarginL, MarginR, MarginV, Encoding\n"
    b"Style: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,1\n"
    b"[Events]\nFormat: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
)
LINES = (("Hello there", 200, 300), ("Second line\\Nand more", 600, 250))
FONT = bytes(range(256)) * 4
CHAPTERS = [
    {"id": 1, "start": 0, "end": 500, "time_base": Fraction(1, 1000), "metadata": {"title": "One"}},
    {
        "id": 2,
        "start": 500,
        "end": 1000,
        "time_base": Fraction(1, 1000),
        "metadata": {"title": "Ü"},
    },
]


def make(
    path: Path,
    *,
    audio: tuple[str, ...] = ("aac", "libopus"),
    subtitles: tuple[str, ...] = ("subrip",),
    attachment: bool = False,
    cover: bool = False,
    chapters: bool = True,
    timecode: str | None = None,
    metadata: dict[str, str] | None = None,
    marks: tuple[Disposition, ...] = (Disposition.forced,),
) -> Path:
    """25 frames, a second of sound in two languages, subtitles, chapters and the rest."""
    clip = clips.Clip(frames=25, height=48, width=64)
    with av.open(str(path), "w") as output:
        output.metadata.update(metadata or {"title": "A walk", "artist": "Nobody"})
        video = output.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        video.codec_context.time_base = clip.time_base
        if timecode:
            video.metadata["timecode"] = timecode
        tracks = []
        for name, language, title in zip(audio, ("jpn", "eng"), ("First", "Second"), strict=False):
            track = output.add_stream(name, rate=48000, layout="mono")
            track.metadata.update({"language": language, "title": title})
            tracks.append(track)
        tracks[0].disposition = Disposition.default
        texts = []
        for name, language in zip(subtitles, ("fre", "ger"), strict=False):
            text = output.add_stream(name)
            text.codec_context.subtitle_header = HEADER
            text.time_base = text.codec_context.time_base = Fraction(1, 1000)
            text.metadata["language"] = language
            texts.append(text)
        for text, mark in zip(texts, marks, strict=False):
            text.disposition = mark
        if attachment:
            output.add_attachment("font.ttf", "application/x-truetype-font", FONT)
        picture = _cover(output) if cover else None
        if chapters:
            output.set_chapters(CHAPTERS)
        for index, pts in enumerate(clip.times()):
            frame = clips.frame_of(clips.picture(index, 48, 64), clip)
            frame.pts, frame.time_base = pts, clip.time_base
            output.mux(video.encode(frame))
        output.mux(video.encode(None))
        if picture is not None:
            output.mux(picture)
        for number, track in enumerate(tracks):
            clips.write_tone(output, track, 1.0, 440 * (number + 1))
        for text in texts:
            for line, start, length in LINES:
                event = f"0,0,Default,,0,0,0,,{line}".encode()
                packet = text.codec_context.encode_subtitle(
                    SubtitleSet.create(event, 0, length, start)
                )
                packet.stream, packet.time_base = text, Fraction(1, 1000)
                packet.pts = packet.dts = start
                packet.duration = length
                output.mux(packet)
    return path


def _cover(output: av.container.OutputContainer) -> av.Packet:
    jpeg = output.add_stream("mjpeg", rate=25)
    jpeg.width, jpeg.height, jpeg.pix_fmt = 64, 48, "yuvj420p"
    jpeg.disposition = Disposition.attached_pic
    frame = av.VideoFrame.from_ndarray(clips.picture(1, 48, 64), "rgb24")
    frame = frame.reformat(format="yuvj420p")
    frame.pts = 0
    (packet,) = jpeg.encode(frame)
    packet.pts = packet.dts = 0
    return packet
