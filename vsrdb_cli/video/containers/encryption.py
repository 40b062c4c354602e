"""Refuse encrypted files by their containers' marks, since decoders turn them into noise."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from av.error import FFmpegError
from av.stream import Discard

from vsrdb_cli.errors import VideoError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet

# Sample entries of ISO files, which FFmpeg shows where it does not look behind them.
_ENTRIES = {int.from_bytes(tag, "little") for tag in (b"encv", b"enca", b"enct", b"drmi", b"drms")}
# Stream types of HLS's SAMPLE-AES: H.264, AAC, AC-3 and E-AC-3.
_SAMPLE_AES = {"video": {0xDB}, "audio": {0xCF, 0xC1, 0xC2}}
_TRANSPORT, _TRANSPORT_SYNC = 188, 0x47
_SECTOR, _PACK = 2048, b"\0\0\1\xba"
_PAYLOADS = (0xBD, *range(0xC0, 0xF0))  # private, sound, video
_LOOKED_AT = 1 << 22  # bytes; a clear logo or menu may come first


def refuse_encrypted(container: InputContainer, description: str, path: Path) -> None:
    """Check that neither the video nor what is copied beside it is encrypted.

    Streams may be unencrypted only at the beginning: `refuse_packet` checks the rest.

    Args:
        container: opened only for this, since packets are read from it.
        description: what FFmpeg's programs print of it.

    Raises:
        VideoError: something is.
    """
    name = container.format.name
    keyed = {key.lower() for key in container.metadata}
    if "asf_key_id" in keyed or "asf_protection_type" in keyed:
        raise _encrypted(path, "video")
    tags = _tags(description)
    for stream in container.streams:
        marks = _SAMPLE_AES.get(stream.type, set()) if name == "mpegts" else _ENTRIES
        # The first is how Matroska names the key.
        if "enc_key_id" in stream.metadata or tags.get(stream.index) in marks:
            raise _encrypted(path, stream.type)
    scrambled = {"mpegts": _is_scrambled_transport, "mpeg": _is_scrambled_disc}
    look = scrambled.get(name)
    if look is not None and path.is_file():
        with path.open("rb") as file:
            if look(file.read(_LOOKED_AT)):
                raise _encrypted(path, "video")
    if name.startswith("mov") and len(container.streams) > 1:
        _look_at_tracks(container, path)


def refuse_packet(packet: Packet[Any], name: str) -> None:
    """Check that a packet is not encrypted.

    Raises:
        VideoError: it is.
    """
    if packet.has_sidedata("encryption_info"):
        raise _encrypted(Path(name.removeprefix("file:")), packet.stream.type)


def _encrypted(path: Path, kind: str) -> VideoError:
    what = {"video": "", "audio": "the sound of ", "subtitle": "a subtitle of "}.get(kind, "")
    return VideoError(
        f"{what}{path} is encrypted (copy protection) and cannot be decoded",
        hint="give a file without encryption"
        + (", or leave it out: ffmpeg -i IN -map 0:v -c copy OUT" if what else ""),
    )


def _tags(description: str) -> dict[int, int]:
    """Find the container's own numbers or letters for codecs, by stream index."""
    found = re.findall(r"Stream #0:(\d+)[^\n]* / 0x([0-9A-F]+)\)", description)
    return {int(index): int(tag, 16) for index, tag in found}


def _look_at_tracks(container: InputContainer, path: Path) -> None:
    """Read the first packet of every track of an ISO file, which alone says it is encrypted."""
    for track in (*container.streams.video, *container.streams.audio):
        for other in container.streams:
            other.discard = Discard.default if other is track else Discard.all
        try:
            container.seek(0)
            first = next(container.demux(track), None)
        except FFmpegError:
            continue  # its readers report it
        if first is not None:
            refuse_packet(first, str(path))


def _is_scrambled_transport(data: bytes) -> bool:
    """Return whether most packets with a payload have their scrambling bits set (DVB)."""
    begin = next(
        (
            place
            for place in range(min(len(data), 1024))
            if data[place : place + 4 * _TRANSPORT : _TRANSPORT] == bytes([_TRANSPORT_SYNC]) * 4
        ),
        None,
    )
    if begin is None:
        return False
    heads = range(begin, len(data) - 3, _TRANSPORT)
    scrambled = sum(data[p] == _TRANSPORT_SYNC and data[p + 3] & 0x80 != 0 for p in heads)
    return scrambled * 2 > len(heads)


def _is_scrambled_disc(data: bytes) -> bool:
    """Return whether sectors of a DVD file are marked as scrambled (CSS)."""
    sectors = (data[place : place + _SECTOR] for place in range(0, len(data), _SECTOR))
    return any(
        sector.startswith(_PACK)
        and sector[14:17] == b"\0\0\1"
        and sector[17] in _PAYLOADS
        and sector[20] & 0xC0 == 0x80
        and sector[20] & 0x30 != 0
        for sector in sectors
        if len(sector) == _SECTOR
    )
