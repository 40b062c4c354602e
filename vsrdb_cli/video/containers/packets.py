"""How large the packets of a file are; nothing is decoded."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from vsrdb_cli.video.containers.container import Demuxer, main_video, open_input


class Packet(NamedTuple):
    """Of a video: whether it stands alone, and its bytes."""

    key: bool
    size: int


def packets_of(path: Path, beside: Collection[int] = ()) -> tuple[list[Packet], int]:
    """The packets of a file's main video, in file order, and the bytes of other streams.

    Args:
        beside: the indices of those streams; attachments count as nothing.
    """
    packets, others = [], 0
    with open_input(path) as container:
        video = main_video(container, path)
        streams = [s for s in container.streams if s.index in beside and s.type != "attachment"]
        for packet in Demuxer(container, video, *streams):
            if packet.stream.index != video.index:
                others += packet.size
            elif packet.size:
                packets.append(Packet(packet.is_keyframe, packet.size))
    return packets, others
