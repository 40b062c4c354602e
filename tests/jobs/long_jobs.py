"""What the tests of long jobs share: a video of several shots, and facts about files."""

import subprocess
from dataclasses import dataclass, field

import av
import clips

from vsrdb_cli.options import RestoreOptions
from vsrdb_cli.restore import restore_video

OPTIONS = RestoreOptions(weights="nearest", segment_seconds=0.4)  # of 25 frames a second: 10


def make_shots(path, monkeypatch, *, cuts, **changes):
    """A clip whose pictures turn into their negatives at each of `cuts`, and back at the next."""
    plain = clips.picture

    def picture(number, height, width):
        image = plain(number, height, width)
        return 255 - image if sum(cut <= number for cut in cuts) % 2 else image

    with monkeypatch.context() as patch:
        patch.setattr(clips, "picture", picture)
        return clips.make(path, height=24, width=32, **changes)


def streams_and_times(path):
    """What must not depend on how a file was written, by ffprobe and by its packets."""
    output = subprocess.run(
        ["ffprobe", "-v", "error", "-show_entries",
         "stream=codec_name,width,height,nb_read_packets,duration,start_time,r_frame_rate,"
         "color_space,color_range:stream_tags:stream_disposition",
         "-count_packets", "-of", "json", str(path)],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    with av.open(str(path)) as container:
        times = sorted(packet.pts for packet in container.demux(video=0) if packet.size)
    return output, times


def pixels(path):
    """Every frame as its decoder gives it."""
    with av.open(str(path)) as container:
        return [[bytes(plane) for plane in frame.planes] for frame in container.decode(video=0)]


class StoppedError(Exception):
    """As if somebody had pressed Ctrl-C."""


@dataclass
class Watch:
    """Listens to a run; stops it after `stop_after` frames."""

    stop_after: int | None = None
    notices: list = field(default_factory=list)
    told: list = field(default_factory=list)

    def on_progress(self, progress):
        if progress.phase == "restore" and progress.frames > progress.resumed:
            self.told.append(progress)
            if len(self.told) == self.stop_after:
                raise StoppedError

    def restore(self, source, target, options=OPTIONS, **arguments):
        return restore_video(
            source, target, options,
            on_notice=self.notices.append, on_progress=self.on_progress, **arguments,
        )  # fmt: skip
