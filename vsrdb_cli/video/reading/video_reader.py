"""Read a video: every frame that can be decoded, at its own time, as exact RGB."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from av.error import FFmpegError

from vsrdb_cli.callbacks import ignore
from vsrdb_cli.video.containers.demuxing import Demuxer, Ffv1Checksums, Holes, main_video
from vsrdb_cli.video.containers.opening import open_input
from vsrdb_cli.video.filtering.filtering import FrameFilter
from vsrdb_cli.video.frame import Frame, ReadReport
from vsrdb_cli.video.info import VideoInfo
from vsrdb_cli.video.pixels.fields import Weaver
from vsrdb_cli.video.pixels.interlacing import Deinterlacer
from vsrdb_cli.video.pixels.telecine import (
    QUARTERS,
    CadenceFinder,
    FieldWeaver,
    Film,
    FilmFrame,
    Finding,
)
from vsrdb_cli.video.pixels.to_rgb import ToRgb
from vsrdb_cli.video.reading.frame_changes import (
    ChangeMonitor,
    FrameDecoder,
    aspect_ratio_of,
    ratios_differ,
)
from vsrdb_cli.video.reading.packet_scan import GuessedDuration, keeps_decode_times, time_of
from vsrdb_cli.video.side_data.attachments import CaptionKeeper
from vsrdb_cli.video.timing import Clock, DecodeOrder, FrameTimes, ticks

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from av.packet import Packet
    from av.video.frame import VideoFrame

# Containers round a video's end by up to a frame; more is missing.
CUT_OFF_FRAMES = 2


class _Time(NamedTuple):
    """When a frame is shown, in ticks of the source's time base."""

    pts: int
    """Repaired."""
    duration: int
    """As the decoded frame gives it; 0 if it does not."""
    captions: bool
    """Whether closed captions are attached to it."""


class VideoReader:
    """Reads the frames of a video file's main stream. Memory does not grow with its length.

    Each call of `frames` opens the file again, in the thread that asks for the first frame.

    Attributes:
        begin: the index of the first frame that decoding gives.
    """

    def __init__(self, info: VideoInfo) -> None:
        self.info = info
        self.begin = -info.frames_before
        self.report = ReadReport()
        self._running: list[Generator[Any]] = []
        self._shapes: list[tuple[int, Fraction]] = []  # from which frame on, as far as known
        self._complete = False  # the file has all the packets it says it has
        self._guessed_duration = 0  # of a frame without one; a file's own length includes it
        self._repeated_until = 0  # where packets repeat the picture before

    def frames(self, first: int = 0, last: int | None = None) -> Iterator[Frame]:
        """Yield the frames with index `first` <= i < `last`; earlier ones are skipped."""
        if last is None and self.info.cut is not None:
            last = self.info.cut.count
        running = self._frames(first, last)
        self._running.append(running)
        return running

    def _frames(self, first: int, last: int | None) -> Generator[Frame]:
        self.report = ReadReport()
        info = self.info
        to_rgb = ToRgb(
            info.codec,
            info.converted_from or info.colour,
            info.bit_depth,
            crop=info.crop,
            to_sdr=info.converted_from is not None,
        )
        captions_of = CaptionKeeper()
        waiting: tuple[VideoFrame, _Time] | None = None  # a frame lasts until the next one
        for index, (decoded, time) in enumerate(self._filtered(first), self.begin):
            if waiting is not None:
                pts, _, captions = waiting[1]
                held = captions_of(waiting[0]) if captions else None
                yield Frame(to_rgb(waiting[0]), pts, time.pts - pts, held)
                waiting = None
            if last is not None and index >= last:
                return
            if index >= first:
                waiting = (decoded, time)
            self.report.frames = max(0, index + 1)
        if waiting is not None:
            decoded, time = waiting
            duration = self._last_duration(time)
            self._look_at_end(time.pts + max(duration, self._from_file(self._guessed_duration)))
            held = captions_of(decoded) if time.captions else None
            yield Frame(to_rgb(decoded), time.pts, duration, held)

    def with_info(self, info: VideoInfo) -> Self:
        """Return a reader of the same file with another part wanted, in its own aspect ratio."""
        if info.cut is not None:
            ratio = self._ratio_at(info.cut.first)
            info = replace(info, sample_aspect_ratio=ratio)
        return type(self)(info)

    def _ratio_at(self, index: int) -> Fraction | None:
        """Return the pixels' shape of an output that begins with a frame; `times` has seen it."""
        info = self.info
        height, width = info.coded_size
        size = Fraction(width, height)
        shapes = [shape for first, shape in self._shapes if first <= index]
        # A container overrides the frames' own ratio, as in players.
        if not shapes or ratios_differ(shapes[0], size * (info.sample_aspect_ratio or 1)):
            return info.sample_aspect_ratio
        return (
            shapes[-1] / size if ratios_differ(shapes[-1], shapes[0]) else info.sample_aspect_ratio
        )

    def times(self) -> Iterator[int]:
        """Yield the `pts` of all frames, decoded but not converted; the report is untouched."""
        report, self.report = self.report, ReadReport()
        self._shapes.clear()
        times, film = FrameTimes(self.info.timeline), self.info.film
        decoding = self._decode()
        self._running.append(decoding)
        shown = ((aspect_ratio_of(d), times.repair(d.pts, d.dts)) for d in decoding)
        if film is not None:
            shown = ((s, self._film_pts(place, pts)) for place, (s, pts), _ in film.along(shown))
        try:
            for index, (shape, pts) in enumerate(shown):
                if not self._shapes or self._shapes[-1][1] != shape:
                    self._shapes.append((index, shape))
                yield pts
        finally:
            self.report = report

    def find_film(self, on_frame: Callable[[int], None] = ignore) -> Finding:
        """Decode the whole video and look for film in it; the report is untouched.

        Args:
            on_frame: called with the number of frames decoded so far.
        """
        report, self.report = self.report, ReadReport()
        finder, decoding = CadenceFinder(), self._decode()
        self._running.append(decoding)
        try:
            for number, decoded in enumerate(decoding, 1):
                finder.push(decoded)
                on_frame(number)
        finally:
            self.report = report
        return finder.finding()

    def sizes(self) -> list[tuple[Fraction, int]]:
        """Return when each frame is shown, in seconds, and its packet's bytes; in file order."""
        info = self.info
        clock = Clock(info.timeline)
        sizes: list[tuple[Fraction, int]] = []
        with open_input(info.path) as container:
            for packet in Demuxer(container, main_video(container, info.path)):
                if packet.size:
                    clock.repair(packet)
                    time = packet.pts if packet.pts is not None else packet.dts
                    if time is None:  # a raw stream
                        time = len(sizes) * info.timeline.frame_ticks
                    sizes.append((time * info.timeline.time_base, packet.size))
        return sizes

    def _filtered(self, first: int) -> Iterator[tuple[VideoFrame, _Time]]:
        """Yield frames as the prefilter leaves them; those long before `first` do not pass it."""
        prefilter = self.info.prefilter
        if prefilter is None:
            yield from self._timed()
            return
        filters: FrameFilter[_Time] = FrameFilter(prefilter)
        for index, (decoded, time) in enumerate(self._timed(), self.begin):
            if index < first - self.info.lead_in:
                yield decoded, time
            else:
                yield from filters.push(decoded, time.pts, time)
        yield from filters.flush()

    def _timed(self) -> Iterator[tuple[VideoFrame, _Time]]:
        """Yield progressive frames with their times."""
        film = self.info.film
        return self._deinterlaced() if film is None else self._of_film(film)

    def _of_film(self, film: Film) -> Iterator[tuple[VideoFrame, _Time]]:
        """Yield the frames of film with their times."""
        look_at = self._watch()
        weave = FieldWeaver(top_first=film.top_first)
        frames = film.along(self._stamped())
        for index, (place, (before, pts), (decoded, _)) in enumerate(frames, self.begin):
            captions = look_at(index, decoded)
            frame = weave(before, decoded) if place.divided else decoded
            yield frame, _Time(self._film_pts(place, pts), 0, captions)

    def _deinterlaced(self) -> Iterator[tuple[VideoFrame, _Time]]:
        """Yield the video's frames with their times, those deinterlaced that need it."""
        look_at = self._watch()
        deinterlacer: Deinterlacer[_Time] = Deinterlacer()
        interlaced = self.info.interlaced
        for index, (decoded, pts) in enumerate(self._stamped(), self.begin):
            captions = look_at(index, decoded)
            time = _Time(pts, decoded.duration, captions)
            interlaced |= decoded.interlaced_frame  # perhaps not from the beginning on
            if interlaced:
                yield from deinterlacer.push(decoded, time)
                self.report.deinterlaced = deinterlacer.count
            else:
                yield decoded, time
        yield from deinterlacer.flush()
        self.report.deinterlaced = deinterlacer.count

    def _watch(self) -> Callable[[int, VideoFrame], bool]:
        """Return `ChangeMonitor.look_at` for frames with their indices."""
        cut = self.info.cut
        monitor = ChangeMonitor(self.info.unfiltered or self.info, self.report)

        def look_at(index: int, frame: VideoFrame) -> bool:
            wanted = index >= 0 and (cut is None or index < cut.count)
            return monitor.look_at(frame, wanted=wanted)

        return look_at

    def _stamped(self) -> Iterator[tuple[VideoFrame, int]]:
        """Yield decoded frames with their repaired times, in ticks of the file."""
        times = FrameTimes(self.info.timeline)
        for decoded in self._decode():
            pts = times.repair(decoded.pts, decoded.dts)
            self.report.repaired_times = times.repaired
            yield decoded, pts

    def _film_pts(self, place: FilmFrame, pts: int) -> int:
        """Return when a frame of film is shown, in ticks of the source's time base.

        Args:
            pts: of the video frame in which it begins, in ticks of the file.
        """
        info = self.info
        # A part begins at a frame of film, perhaps between two ticks of the file.
        start = ticks(-info.start_seconds, info.timeline.time_base)
        between = ticks(-info.start_seconds, info.time_base) - QUARTERS * start
        later = Fraction(place.quarters, QUARTERS) - place.field // 2  # in frames of video
        return QUARTERS * pts + between + ticks(later / info.coded_rate, info.time_base)

    def _last_duration(self, time: _Time) -> int:
        """Return how long the last frame is shown: to the stream's end if that is known.

        If frames are reordered, a frame's own duration is that of a packet in decode order. The end
        of a stream that is cut off, or ends before its frames, does not count.
        """
        info = self.info
        if info.end_seconds is not None and self.report.frames == info.frame_count:
            end = ticks(info.end_seconds, info.time_base)
            if end > time.pts:
                return end - time.pts
        return max(
            time.duration or info.frame_ticks, self._from_file(self._repeated_until) - time.pts
        )

    def _from_file(self, ticks_: int) -> int:
        """Convert ticks of the file to those of the source's time base."""
        return ticks_ if self.info.film is None else QUARTERS * ticks_

    def _look_at_end(self, end: int) -> None:
        """Note an end long before the promised one; FFmpeg does not report it.

        If an edit list begins within a long frame, FFmpeg moves it, and the end is early, too.
        """
        promised = self.info.promised_seconds
        if promised is not None and not self._complete:
            missing = promised - end * self.info.time_base
            if missing > CUT_OFF_FRAMES * self.info.frame_ticks * self.info.time_base:
                self.report.missing_seconds = float(missing)

    def _decode(self) -> Generator[VideoFrame]:
        """Yield frames as they are shown, the fields of each together."""
        weaver = Weaver(self.info.codec)
        for frame in weaver.frames(self._decode_pictures()):
            yield frame
            self.report.lone_fields = weaver.alone

    def _decode_pictures(self) -> Generator[VideoFrame]:
        info, report = self.info, self.report
        clock = Clock(info.timeline)
        checksums = Ffv1Checksums() if info.codec == "ffv1" else None
        with (
            open_input(info.path) as container,
            FrameDecoder(main_video(container, info.path)) as shapes,
        ):
            stream = shapes.stream
            demuxer = Demuxer(container, stream)
            holes, demuxed = Holes(info.timeline.frame_ticks), 0
            made_up = GuessedDuration(stream, info.coded_rate)
            order = DecodeOrder() if info.in_decode_order else None
            by_dts = keeps_decode_times(container, stream)
            for packet in demuxer:
                if _repeats(packet):
                    clock.repair(packet)
                    self._repeated_until = clock.now
                    continue
                if packet.size:
                    demuxed += 1
                    holes.look(packet)
                    report.read_errors = demuxer.errors + holes.count
                    clock.repair(packet)
                    report.clock_restarts = clock.restarts
                    if checksums is not None:
                        report.damaged_frames += checksums.damaged(bytes(packet))
                    if order is not None:
                        # What an edit list leaves out gives no frame.
                        time = None if packet.is_discard else time_of(packet, by_dts=by_dts)
                        order.feed(time)
                try:
                    decoded = shapes.decode(packet)
                except FFmpegError:
                    report.damaged_packets += 1
                    if order is not None:
                        order.lose()
                    continue
                for frame in decoded:
                    report.damaged_frames += frame.is_corrupt
                    if order is not None or made_up.is_of(frame.duration):
                        self._guessed_duration = frame.duration
                        frame.duration = 0
                    if order is not None:
                        depth = stream.codec_context.reorder_depth
                        frame.pts = order.next(depth, frame.dts if by_dts else None)
                    yield frame
            holes.end()
            report.read_errors = demuxer.errors + holes.count
            report.unannounced = not demuxer.is_complete
            self._complete = 0 < stream.frames <= demuxed

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for running in self._running:
            running.close()
        self._running.clear()


def _repeats(packet: Packet[Any]) -> bool:
    """Return whether an empty packet says to show the picture before it once more.

    Those that end a stream are empty, too, but have no time.
    """
    return not packet.size and (packet.pts is not None or packet.dts is not None)
