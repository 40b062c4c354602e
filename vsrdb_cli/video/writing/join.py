"""Join finished segments to one video by copying, with the source's other streams."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vsrdb_cli.callbacks import ignore
from vsrdb_cli.errors import OutputError
from vsrdb_cli.files import check_file, check_space
from vsrdb_cli.video.containers.capabilities import container_of, suffix_of, suffixes_for
from vsrdb_cli.video.containers.demuxing import Demuxer, codec_name, main_video
from vsrdb_cli.video.containers.opening import open_input
from vsrdb_cli.video.info import VideoInfo
from vsrdb_cli.video.side_data.immersive import add_immersive_stream
from vsrdb_cli.video.side_data.orientation import set_orientation
from vsrdb_cli.video.streams.plan import StreamPlan
from vsrdb_cli.video.streams.policy import plan_streams
from vsrdb_cli.video.writing.frame_encoder import end_track, start_encoding, tag_for_players
from vsrdb_cli.video.writing.muxer import Muxer

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream


def segment_suffix(codec: str) -> str:
    """Return the name ending of a segment's file: .mp4, whose ticks are exact, if it fits.

    Args:
        codec: a key of `ENCODERS`, as `Encoding.codec`.
    """
    return suffixes_for(codec)[0]


def join(
    segments: Sequence[Path],
    info: VideoInfo,
    path: Path,
    *,
    plans: tuple[StreamPlan, ...] | None = None,
    frames: int | None = None,
    overwrite: bool = False,
    on_segment: Callable[[int], None] = ignore,
    on_damage: Callable[[str], None] = ignore,
) -> Path:
    """Join segments to the video that an unbroken run would have written, without encoding.

    A segment is a file of a `VideoOnlyWriter` named with `segment_suffix`, committed, written with
    the frames `first` <= i < `last` of the source and their own `pts` and `duration`, so that its
    first frame is not at 0 but at its place in the whole. All were written for the same `info`
    with the same `Encoding` (from `choose` with the *output's* name ending, so that options are
    checked against where they end up), and together hold every frame once, in order.

    Args:
        segments: at least one, in order.
        info: of the source; its other streams are copied from it as `VideoWriter` does.
        path: a video's file name; it appears when it is whole.
        plans: from `plan_streams`, if made already.
        frames: the source's number of frames, if known; by default those in the segments.
        overwrite: whether it may replace a file.
        on_segment: called with the number of segments joined so far.
        on_damage: called with what of the other streams could not be copied, one line each.

    Returns:
        `path`.

    Raises:
        OutputError: a segment does not fit the others or cannot be read, or the output cannot be
            written, or does not match the source; the segments are untouched then.
    """
    check_file(path, info.path, overwrite=overwrite)
    check_space(path.parent, sum(segment.stat().st_size for segment in segments))
    times = _Times([_scan(segment) for segment in segments])
    plans = plan_streams(info, suffix_of(path)) if plans is None else plans
    muxer = Muxer(path, info, plans, overwrite=overwrite)
    try:
        video = _add_video(muxer.container, segments[0], info)
        muxer.add_others(video)
        start_encoding(muxer.container, path.name)
        held: Packet[Any] | None = None
        for number, segment in enumerate(segments, 1):
            for packet in _packets(segment):
                times.place(packet)
                if held is not None:
                    _mux(muxer, held)
                packet.stream = video
                held = packet
            on_segment(number)
        assert held is not None
        end_track(held, times.end, times.first_pts, times.first_dts)
        _mux(muxer, held)
        count = times.count if frames is None else frames
        joined = muxer.commit(count, times.begin_seconds, times.end_seconds)
        for line in muxer.damage:
            on_damage(line)
        return joined
    except BaseException:
        muxer.abort()
        raise


@dataclass(frozen=True, slots=True)
class _Scan:
    """The result of a first pass over a segment."""

    segment: Path
    time_base: Fraction
    pts: tuple[int, ...]
    """Of its packets, in file order, in ticks of `time_base`."""
    end: int
    """Of the last picture shown."""
    delay: int
    """How many pictures decoding runs ahead of showing."""
    extradata: bytes | None
    """The codec's parameters, which all segments must share."""


def _scan(segment: Path) -> _Scan:
    with open_input(segment) as source:
        stream = main_video(source, segment)
        demuxer = Demuxer(source, stream)
        packets = [packet for packet in demuxer if packet.size and packet.pts is not None]
        pts = [packet.pts for packet in packets if packet.pts is not None]
        if demuxer.errors or not pts:
            raise OutputError(
                f"the segment {segment} is damaged", hint="delete it and run the command again"
            )
        shown = sorted(pts)
        rank = {time: place for place, time in enumerate(shown)}
        early = sum(packet.dts < shown[0] for packet in packets if packet.dts is not None)
        end = max(
            (time + (packet.duration or 0)) for time, packet in zip(pts, packets, strict=True)
        )
        # Exact in mp4, whose packets tell the steps of decode times only; elsewhere a guess.
        if stream.duration and source.format.name.startswith("mov"):
            end = (stream.start_time or 0) + stream.duration
        assert stream.time_base is not None
        return _Scan(
            segment,
            stream.time_base,
            tuple(pts),
            end,
            max(early, *(place - rank[time] for place, time in enumerate(pts))),
            stream.codec_context.extradata,
        )


class _Times:
    """Decode times and durations for packets of all segments, as one encoder would give them.

    Each segment has its own encoder, whose decode times reach back into the segment before.
    Decoding in file order and showing in order of pts, with the largest delay that any segment
    needs, is right for all, and what encoders do anyway.
    """

    def __init__(self, scans: list[_Scan]) -> None:
        first = scans[0]
        self._time_base = first.time_base
        for scan in scans:
            if (scan.extradata, scan.time_base) != (first.extradata, first.time_base):
                raise OutputError(
                    f"the segment {scan.segment} was encoded with other settings than the first",
                    hint="start over with --restart",
                )
        for before, after in pairwise(scans):
            if min(after.pts) <= max(before.pts):
                raise OutputError(
                    f"the segment {after.segment} does not come after {before.segment}",
                    hint="start over with --restart",
                )
        shown = sorted(time for scan in scans for time in scan.pts)
        self.end = max(scans[-1].end, shown[-1] + 1)
        self._durations = {a: b - a for a, b in pairwise([*shown, self.end])}
        delay = min(max(scan.delay for scan in scans), len(shown) - 1)
        ahead = shown[delay] - shown[0]
        self._dts = iter([time - ahead for time in shown[:delay]] + shown)
        self.first_pts, self.first_dts = shown[0], shown[0] - ahead

    @property
    def count(self) -> int:
        """Number of pictures."""
        return len(self._durations)

    @property
    def begin_seconds(self) -> Fraction:
        """Time of the first picture."""
        return self.first_pts * self._time_base

    @property
    def end_seconds(self) -> Fraction:
        """End of the last picture."""
        return self.end * self._time_base

    def place(self, packet: Packet[Any]) -> None:
        """Set the decode time and duration of the next packet in file order."""
        assert packet.pts is not None
        packet.dts = next(self._dts)
        packet.duration = self._durations[packet.pts]


def _add_video(output: OutputContainer, segment: Path, info: VideoInfo) -> VideoStream:
    with open_input(segment) as source:
        template = main_video(source, segment)
        codec, view = codec_name(template), info.view.held_by(container_of(output))
        if view:
            context = template.codec_context
            scale = Fraction(context.height, info.height)
            video = add_immersive_stream(output, codec, view, context, scale)
        else:
            video = output.add_stream_from_template(template, opaque=True)
            if codec == "prores":  # which names its profile
                video.codec_context.codec_tag = template.codec_context.codec_tag
        video.time_base = info.output_time_base
        video.codec_context.framerate = info.rate
        video.codec_context.sample_aspect_ratio = info.sample_aspect_ratio or Fraction(0)
        tag_for_players(video, codec, output)
        if info.orientation is not None:
            set_orientation(video, info.orientation)
    return video


def _packets(segment: Path) -> Iterator[Packet[Any]]:
    with open_input(segment) as source:
        for packet in source.demux(main_video(source, segment)):
            if packet.size and packet.pts is not None:
                yield packet


def _mux(muxer: Muxer, packet: Packet[Any]) -> None:
    """Write a packet, and what belongs before it of the other streams."""
    assert packet.pts is not None
    seconds = packet.pts * packet.time_base
    muxer.mux([packet])
    muxer.mux_others(seconds)
