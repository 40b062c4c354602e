"""The whole corpus of nasty clips through `restore_video` with `nearest`: one line a clip.

    python tests/nasty_corpus.py CORPUS [mp4 mkv]

CORPUS holds manifest.json. Asserts what its README says: frame count and order, times, the last
frame's duration, colour tags, patches, pixel aspect, display matrix, streams, chapters, no
temporary file, no traceback.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import traceback
from collections import Counter
from fractions import Fraction
from pathlib import Path

import av
import clips
import numpy as np

from vsrdb_cli.errors import VsrdbError
from vsrdb_cli.options import EncoderOptions, RestoreOptions
from vsrdb_cli.restore import restore_video

ONE = 1 << 16
# By the clip, not by what comes out: a person looked at why.
TIMES_REPAIRED = {"pts_reset.ts", "resolution_change.ts", "no_pts.h264"}


def probe(path: Path) -> dict:
    command = ["ffprobe", "-v", "error", "-show_streams", "-show_chapters", "-show_format",
               "-of", "json", f"file:{path}"]  # fmt: skip
    return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)


def times_of(path: Path) -> list[Fraction]:
    with av.open(f"file:{path}") as source:
        video = source.streams.best("video")
        times = [f.pts * f.time_base for f in source.decode(video) if f.pts is not None]
    return [t - times[0] for t in times] if times else []


def first_frame(path: Path) -> av.VideoFrame:
    with av.open(f"file:{path}") as source:
        return next(source.decode(source.streams.best("video")))


def matrix_of(path: Path) -> int:
    return int(first_frame(path).colorspace)


def patches_as_bt601(path: Path) -> np.ndarray:
    luma, *chroma = clips.planes_of(first_frame(path))
    full = [np.kron(c, np.ones((2, 2)))[: luma.shape[0], : luma.shape[1]] for c in chroma]
    rgb = clips.to_rgb(np.stack([luma, *full]), 6, full=False, depth=8)
    return clips.patches_in(np.clip(rgb, 0, 255))


def compare(source: Path, out: Path, fact: dict, frames: int) -> list[str]:
    wrong = []
    seen = clips.read(out) if frames and fact.get("size", [160])[0] > 16 else None
    name, suffix = source.name, out.suffix
    if "frames" in fact and frames != fact["frames"]:
        wrong.append(f"{frames} frames, wanted {fact['frames']}")
    if "frames_max" in fact and not 0 < frames <= fact["frames_max"]:
        wrong.append(f"{frames} frames, wanted up to {fact['frames_max']}")
    if seen and fact["expect"] != "partial" and not source.is_dir():
        first = fact.get("first_index", 0)
        if seen.numbers != list(range(first, first + frames)):
            wrong.append(f"order {seen.numbers}")
        # What leaves its colours open and is not known otherwise is to look as players show it.
        untagged = fact["expect"] == "policy" and fact.get("alpha") and matrix_of(source) == 2
        wanted = patches_as_bt601(source) if untagged else clips.PATCHES
        error = np.abs(clips.patches_in(seen.images[0]) - wanted).max()
        limit = 400 if fact.get("hdr") else 3
        if error > limit and source.suffix != ".gif" and "interlaced" not in fact:
            wrong.append(f"patches off by {error:.1f}")
        if name not in TIMES_REPAIRED and source.suffix not in (".png",):
            tolerance = Fraction(0) if suffix == ".mp4" else Fraction(1, 2000)
            if source.suffix == ".mkv" or suffix == ".mkv":
                tolerance = Fraction(1, 1000)
            was, now = times_of(source), times_of(out)
            if (
                len(was) == len(now)
                and max(abs(a - b) for a, b in zip(was, now, strict=True)) > tolerance
            ):
                wrong.append("times differ")
    if source.is_dir() or source.suffix == ".h264":
        return wrong
    was, now = probe(source), probe(out)
    video_was = [s for s in was["streams"] if s["codec_type"] == "video"
                 and not s["disposition"]["attached_pic"]]  # fmt: skip
    video_now = [s for s in now["streams"] if s["codec_type"] == "video"
                 and not s["disposition"]["attached_pic"]]  # fmt: skip
    best = max(video_was, key=lambda s: s["disposition"]["default"] * 10**9 + s["width"])
    for tag in ("color_space", "color_range"):
        a, b = best.get(tag), video_now[0].get(tag)
        rgb = name == "rgb_lossless.mkv" or source.suffix in (".gif", ".png")
        if a not in (None, "unknown", "gbr") and a != b and not fact.get("hdr") and not rgb:
            wrong.append(f"{tag} {a} -> {b}")
    aspect = best.get("sample_aspect_ratio", "1:1")
    if aspect not in ("1:1", "0:1", video_now[0].get("sample_aspect_ratio")):
        wrong.append("pixel aspect lost")
    if ("rotation" in fact or fact.get("hflip")) and matrix(source) != matrix(out):
        wrong.append(f"display matrix {matrix(source)} -> {matrix(out)}")

    def kinds(p):
        return Counter(
            s["codec_type"] for s in p["streams"] if s["codec_type"] in ("audio", "subtitle")
        )

    if kinds(was) != kinds(now):
        wrong.append(f"streams {dict(kinds(was))} -> {dict(kinds(now))}")
    if len(was["chapters"]) != len(now["chapters"]):
        wrong.append("chapters lost")

    def langs(p):
        return [
            s.get("tags", {}).get("language", "und")
            for s in p["streams"]
            if s["codec_type"] in ("audio", "subtitle")
        ]

    if langs(was) != langs(now):
        wrong.append(f"languages {langs(was)} -> {langs(now)}")
    return wrong


def matrix(path: Path) -> tuple[int, ...] | None:
    with av.open(f"file:{path}") as container:
        frame = next(container.decode(container.streams.best("video")))
        for data in frame.side_data:
            if data.type.name == "DISPLAYMATRIX":
                numbers = np.frombuffer(bytes(data), np.int32)[[0, 1, 3, 4]]
                return tuple(int(v) for v in np.rint(numbers / ONE * 100))
    return None


def main() -> None:
    corpus = Path(sys.argv[1])
    suffixes = [f".{s}" for s in sys.argv[2:]] or [".mp4", ".mkv"]
    manifest = json.loads((corpus / "manifest.json").read_text())
    failed = 0
    for suffix in suffixes:
        for name, fact in manifest.items():
            with tempfile.TemporaryDirectory() as folder:
                out = Path(folder) / f"out{suffix}"
                notices: list[str] = []
                options = RestoreOptions(weights="nearest", encoder=EncoderOptions(crf=8))
                try:
                    report = restore_video(corpus / name, out, options, on_notice=notices.append)
                    notices = list(report.notices)
                    wrong = compare(corpus / name, out, fact, report.frames)
                    what = f"{report.frames} frames"
                    if fact["expect"] == "refuse":
                        wrong.append("should have been refused")
                    if fact["expect"] == "partial" and not notices:
                        wrong.append("nothing said of the damage")
                except VsrdbError as error:
                    what = f"refused: {str(error).replace(str(corpus) + '/', '')}"
                    wrong = [] if fact["expect"] in ("refuse", "policy") else ["refused"]
                    if out.exists() or "\n" in str(error):
                        wrong.append("output left or more than a line")
                except Exception:
                    what, wrong = "TRACEBACK " + traceback.format_exc().splitlines()[-1], ["broke"]
                left = [p.name for p in Path(folder).iterdir() if p != out]
                wrong += [f"left behind {left}"] if left else []
                failed += bool(wrong)
                said = f" [{'; '.join(notices)}]" if notices else ""
                verdict = "OK" if not wrong else "WRONG " + "; ".join(wrong)
                print(f"{suffix} {name}: {fact['expect']} | {what}{said} | {verdict}", flush=True)
    print(f"{failed} wrong of {len(manifest) * len(suffixes)}")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
