"""Write a video: encode frames, copy the other streams, and name the file when it is complete."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

from vsrdb_cli.video.filtering.filtering import Filtering
from vsrdb_cli.video.frame import Frame
from vsrdb_cli.video.info import VideoInfo
from vsrdb_cli.video.side_data.immersive import View
from vsrdb_cli.video.streams.plan import StreamPlan
from vsrdb_cli.video.writing.encoding import Encoding
from vsrdb_cli.video.writing.frame_encoder import FrameEncoder, start_encoding
from vsrdb_cli.video.writing.muxer import Muxer


class _Writer:
    """Encodes frames to a file. Encoder and file are opened at once: failures come early.

    Used from one thread at a time.
    """

    def __init__(
        self,
        path: Path,
        info: VideoInfo,
        encoding: Encoding,
        plans: tuple[StreamPlan, ...] | None,
        postfilters: Sequence[Filtering],
        *,
        overwrite: bool,
    ) -> None:
        self._info = info
        self._encoding = encoding
        self._frames = self._first_pts = self._end = 0
        self._muxer = Muxer(path, info, plans, overwrite=overwrite)
        try:
            self._encoder = FrameEncoder(
                self._muxer.container, info, encoding, postfilters=postfilters
            )
            self._muxer.add_others(self._encoder.stream)
            start_encoding(self._muxer.container, path.name, encoding)
        except BaseException:
            self.abort()
            raise

    @property
    def damage(self) -> tuple[str, ...]:
        """Parts of the source's other streams that could not be copied; known after `commit`."""
        return self._muxer.damage

    def write(self, frame: Frame) -> None:
        """Encode one HR frame at its time, and write what belongs before it beside the video."""
        if not frame.around:
            if not self._frames:
                self._first_pts = frame.pts
            self._frames += 1
            self._end = frame.pts + frame.duration
        self._muxer.mux(self._encoder.encode(frame))
        self._muxer.mux_others(frame.pts * self._info.time_base)

    def commit(self, frames: int | None = None) -> Path:
        """Finish the file, compare it with its source, and give it its name."""
        self._muxer.mux(self._encoder.finish())
        begin, end = (pts * self._info.time_base for pts in (self._first_pts, self._end))
        return self._muxer.commit(self._frames if frames is None else frames, begin, end)

    def abort(self) -> None:
        """Remove what was written; do nothing after `commit`."""
        self._muxer.abort()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.abort()


class VideoOnlyWriter(_Writer):
    """Writes a file that holds nothing but the video, such as a segment."""

    def __init__(
        self,
        path: Path,
        info: VideoInfo,
        encoding: Encoding,
        postfilters: Sequence[Filtering] = (),
        *,
        overwrite: bool = False,
    ) -> None:
        # Only the whole file declares how it is viewed: a segment's declaration would be read back
        # changed.
        flat = replace(info, view=View())
        super().__init__(path, flat, encoding, None, postfilters, overwrite=overwrite)


class VideoWriter(_Writer):
    """Writes a whole video, with all that was in the source beside its main video."""

    def __init__(
        self,
        path: Path,
        info: VideoInfo,
        encoding: Encoding,
        plans: tuple[StreamPlan, ...],
        postfilters: Sequence[Filtering] = (),
        *,
        overwrite: bool = False,
    ) -> None:
        super().__init__(path, info, encoding, plans, postfilters, overwrite=overwrite)
