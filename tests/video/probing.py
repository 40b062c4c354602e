"""What other programs say of a file."""

import json
import subprocess

import av


def ffprobe(path):
    """What FFmpeg's own tool, another build than PyAV's, says of a file."""
    command = ["ffprobe", "-v", "error", "-show_streams", "-show_format", "-of", "json", str(path)]
    return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)


def sound(path):
    """The packets of every sound track."""
    with av.open(str(path)) as container:
        tracks = {stream.index: [] for stream in container.streams.audio}
        for packet in container.demux(audio=tuple(range(len(tracks)))):
            if packet.size:
                tracks[packet.stream.index].append(bytes(packet))
    return list(tracks.values())
