"""What becomes of every kind of sound in every container, tried: the table of docs/VIDEO.md.

    cd tests && python sound_table.py

Each codec is restored into each container; what comes out is decoded and compared by vsrdb itself.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections import defaultdict
from pathlib import Path

import av

from vsrdb_cli.options import RestoreOptions
from vsrdb_cli.restore import restore_video

SUFFIXES = (".mkv", ".mp4", ".mov", ".webm")
WILD = Path(__file__).parent / "wild"
# FFmpeg's name of a codec: the file that holds it, and what encodes it if not of that name.
MADE = {
    **{name: ("mkv", name) for name in ("aac", "mp2", "ac3", "eac3", "flac", "alac", "tta")},
    **{name: ("mkv", name) for name in ("wavpack", "pcm_s16le", "pcm_s24le", "pcm_f32le")},
    **{"mp3": ("mkv", "libmp3lame"), "opus": ("mkv", "libopus"), "vorbis": ("mkv", "libvorbis")},
    **{"dts": ("mkv", "dca"), "truehd": ("mkv", "truehd")},
    **{name: ("avi", name) for name in ("adpcm_ms", "adpcm_ima_wav", "pcm_mulaw", "pcm_alaw")},
    **{"pcm_u8": ("avi", "pcm_u8"), "pcm_s16be": ("mov", "pcm_s16be")},
    **{"adpcm_ima_qt": ("mov", "adpcm_ima_qt"), "adpcm_swf": ("flv", "adpcm_swf")},
    **{"wmav1": ("wmv", "wmav1"), "wmav2": ("wmv", "wmav2"), "speex": ("ogv", "libspeex")},
    **{"pcm_bluray": ("m2ts", "pcm_bluray"), "s302m": ("ts", "s302m")},
}
GIVEN = {"amr_nb": "phone_amr.3gp", "nellymoser": "nellymoser.flv", "pcm_dvd": "lpcm.vob"}
_VIDEO = {"flv": "flv", "wmv": "wmv2", "ogv": "libtheora", "m2ts": "mpeg2video", "ts": "mpeg2video"}


def source_of(codec: str, folder: Path) -> Path:
    """A short file with sound of a codec."""
    if codec in GIVEN:
        return WILD / GIVEN[codec]
    kind, encoder = MADE[codec]
    path = folder / f"{codec}.{kind}"
    rate = "22050" if kind == "flv" else "16000" if codec == "speex" else "48000"
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc=s=64x64:r=25:d=0.6",
               "-f", "lavfi", "-i", "sine=frequency=440:duration=0.6", "-ar", rate,
               "-ac", "1" if kind == "flv" else "2", "-c:v", _VIDEO.get(kind, "mpeg4"),
               "-c:a", encoder, "-strict", "-2", str(path)]  # fmt: skip
    subprocess.run(command, check=True, timeout=60)
    return path


def outcome(source: Path, target: Path) -> str:
    """ "copied", or the codec that the sound has become."""
    notices: list[str] = []
    options = RestoreOptions(weights="nearest", scale=1)
    restore_video(source, target, options, on_notice=notices.append)
    anew = [found[1] for line in notices if (found := re.search(r"re-encoded as (\w+)", line))]
    with av.open(f"file:{target}") as container:
        assert sum(frame.samples for frame in container.decode(audio=0)) > 0
    return anew[0] if anew else "copied"


def table(folder: Path) -> str:
    """The table, in Markdown; codecs of one fate in one row."""
    rows = defaultdict(list)
    for codec in (*MADE, *GIVEN):
        source = source_of(codec, folder)
        fates = tuple(outcome(source, folder / f"{codec}_out{suffix}") for suffix in SUFFIXES)
        rows[fates].append(codec)
    lines = [f"| sound | {' | '.join(SUFFIXES)} |", "| --- |" + " --- |" * len(SUFFIXES)]
    lines += [f"| {', '.join(codecs)} | {' | '.join(fates)} |" for fates, codecs in rows.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder_name:
        print(table(Path(folder_name)))
