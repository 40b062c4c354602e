"""Write one output file: the video's packets, and the source's other streams."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
from av.error import FFmpegError

from vsrdb_cli.errors import OutputError
from vsrdb_cli.files import hint_of, kept_beside, put_in_place, remove, temporary_beside
from vsrdb_cli.video.containers.capabilities import CONTAINERS, Container, suffix_of
from vsrdb_cli.video.containers.opening import open_input, reason, url
from vsrdb_cli.video.info import Kind, VideoInfo
from vsrdb_cli.video.side_data.immersive import remove_apple_boxes
from vsrdb_cli.video.streams.metadata import copy_stream_metadata, keeps_timecode, unusual_keys
from vsrdb_cli.video.streams.plan import StreamPlan
from vsrdb_cli.video.streams.policy import has_cover
from vsrdb_cli.video.streams.side_streams import SideStreams
from vsrdb_cli.video.timing import MILLISECOND
from vsrdb_cli.video.writing.verify import Expected, mismatches

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

# A frame's length in a container's ticks; with fewer, rounding changes the speed visibly.
LEAST_TICKS = 4


class Muxer:
    """A container file under a temporary name, beside its final one.

    Used from one thread. Add the video's stream to `container`, then call `add_others`, open the
    encoders and write the header.

    Args:
        path: of the output.
        info: of the source.
        plans: from `plan_streams`, for the streams beside the video; None drops them all.
        overwrite: whether it may replace a file.

    Attributes:
        container: FFmpeg's.
    """

    def __init__(
        self,
        path: Path,
        info: VideoInfo,
        plans: tuple[StreamPlan, ...] | None = None,
        *,
        overwrite: bool = False,
    ) -> None:
        self.path = path
        self._info = info
        self._plans = plans
        self._overwrite = overwrite
        self._kind = CONTAINERS[suffix_of(path)]
        self._side: SideStreams | None = None
        self._temporary = temporary_beside(path)
        settings = {}
        if unusual_keys(info.metadata, self._kind) and not has_cover(plans or ()):
            settings["movflags"] = "use_metadata_tags"
        if self._kind.iso:
            # Else a start later than 0 is rounded to a millisecond.
            settings["movie_timescale"] = str(info.output_time_base.denominator)
        if info.view.held_by(self._kind):
            settings["strict"] = "unofficial"  # otherwise FFmpeg writes none of it to mp4
        with self._failing():
            self.container: OutputContainer = av.open(
                url(self._temporary), "w", format=self._kind.format, container_options=settings
            )
        self.container.metadata.update(info.metadata)
        self._open = True

    def add_others(self, video: VideoStream) -> None:
        """Add the other streams, and copy the metadata of the source's video."""
        info = self._info
        if self._plans is None or info.kind is not Kind.VIDEO:
            return
        with open_input(info.path) as source:
            copy_stream_metadata(source.streams[info.stream_index], video)
        if info.timecode and keeps_timecode(info.timecode, info.rate, self._kind):
            video.metadata["timecode"] = info.timecode
        self._side = SideStreams(info, self._plans, self.container)

    def mux(self, packets: Iterable[Packet[Any]]) -> None:
        """Write packets of the video.

        Raises:
            OutputError: the disk is full, or the container refuses them.
        """
        with self._failing():
            for packet in packets:
                self.container.mux(packet)

    def mux_others(self, seconds: Fraction) -> None:
        """Write what belongs before a time of the video, so that streams are interleaved."""
        if self._side is not None:
            with self._failing():
                self._side.mux_until(seconds)

    @property
    def damage(self) -> tuple[str, ...]:
        """Parts of the source's other streams that could not be copied; known after `commit`."""
        return self._side.damage if self._side is not None else ()

    def commit(self, frames: int, begin_seconds: Fraction, end_seconds: Fraction) -> Path:
        """Finish the file, compare it with what is expected, and give it its name.

        Args:
            frames: the expected number, shown from the first's beginning to the last's end.

        Raises:
            OutputError: it cannot be finished, or does not match; then it is kept under a name that
                shows this.
        """
        expected = Expected(frames, begin_seconds, end_seconds)
        if self._side is not None:
            with self._failing():
                self._side.finish()
            self._side.close()
            expected = replace(
                expected,
                sounds=tuple(self._side.heard.values()),
                audible=self._side.audible(begin_seconds),
            )
        try:
            return self._finished(expected)
        except BaseException:
            remove(self._temporary)
            raise

    def _finished(self, expected: Expected) -> Path:
        self._open = False
        with self._failing():
            self.container.close()
        if self._kind.iso and self._info.view.held_by(self._kind):
            remove_apple_boxes(self._temporary)
        wrong = list(mismatches(self._temporary, expected))
        if wrong:
            kept = kept_beside(self.path, self._temporary, "MISMATCH")
            raise OutputError(
                f"{self.path.name} does not match its source: {'; '.join(wrong)}",
                hint=f"the file is kept as {kept}; please report this with the source",
            )
        put_in_place(self._temporary, self.path, overwrite=self._overwrite)
        return self.path

    def abort(self) -> None:
        """Remove what was written; do nothing after `commit`."""
        if self._side is not None:
            self._side.close()
        if self._open:
            self._open = False
            with suppress(FFmpegError):  # its trailer no longer matters
                self.container.close()
            remove(self._temporary)

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except FFmpegError as error:
            raise OutputError(
                f"{self.path} cannot be written: {reason(error)}", hint=hint_of(error.errno)
            ) from error


def muxing_notices(
    info: VideoInfo, plans: tuple[StreamPlan, ...], kind: Container
) -> Iterator[str]:
    """Yield what a container cannot hold of the source, one line each."""
    yield from (plan.notice for plan in plans if plan.notice)
    tick = info.output_time_base if kind.iso else MILLISECOND
    step = info.frame_ticks * info.time_base
    # Ordinary rates are always rounded to the millisecond, which is invisible.
    if tick != info.time_base and step % tick and step < LEAST_TICKS * tick:
        effect = "several get the same time" if step < tick else "they become uneven"
        keeper = "" if kind.iso else "; a .mp4 or .mov output keeps them"
        yield (
            f"{kind.format} files round frame times to {float(tick * 1000):g} ms: at"
            f" {float(info.rate):.6g} frames per second {effect}{keeper}"
        )
    if info.timecode and not keeps_timecode(info.timecode, info.rate, kind):
        yield (
            f"the timecode {info.timecode} is dropped: {kind.format} files cannot hold one at"
            f" {float(info.rate):.6g} frames per second; a .mkv output keeps it"
        )
    lost = info.view.lost_in(kind)
    if lost:
        yield (
            f"{lost} is dropped: {kind.format} files cannot signal it to players;"
            f" a {'.mkv' if info.view.inverted else '.mp4 or .mkv'} output keeps it"
        )
    unusual = unusual_keys(info.metadata, kind)
    if unusual and has_cover(plans):
        yield (
            f"metadata is dropped ({', '.join(unusual)}): {kind.format} files cannot hold it"
            " together with a cover picture; a .mkv output keeps it"
        )
