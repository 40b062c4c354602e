"""What each container holds, as a table in Markdown from the code's own: a part of docs/VIDEO.md.

cd tests && python container_table.py
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from vsrdb_cli.video.containers.capabilities import CONTAINERS, Container

# By the endings that share a container.
COLUMNS: Mapping[str, Container] = {
    ".mkv": CONTAINERS[".mkv"],
    ".mp4 .m4v": CONTAINERS[".mp4"],
    ".mov": CONTAINERS[".mov"],
    ".webm": CONTAINERS[".webm"],
}


def names(held: frozenset[str] | None, otherwise: str = "all that FFmpeg writes") -> str:
    return otherwise if held is None else " ".join(sorted(held)) or "none"


ROWS: Mapping[str, Callable[[Container], str]] = {
    "video (`--codec`)": lambda c: " ".join(c.video),
    "sound that is copied": lambda c: names(c.audio) + (", pcm" if c.pcm else ""),
    "other sound becomes": lambda c: " or ".join(dict.fromkeys((c.lossless, c.lossy))),
    "subtitles that are copied": lambda c: names(c.subtitles),
    "other texts become": lambda c: c.text,
    "marks of tracks": lambda c: names(c.marks),
    "tags of tracks": lambda c: "all" if c.tags else "language, title",
    "languages": lambda c: "all" if c.languages is None else f"{len(c.languages)} of QuickTime's",
    "tags of the file": lambda c: "all",
    "attachments": lambda c: "yes" if c.attachments else "dropped",
    "cover": lambda c: "attached" if c.attachments else "yes" if c.covers else "dropped",
    "times": lambda c: "exact" if c.iso else "to 1 ms",
}


def table() -> str:
    lines = [f"| | {' | '.join(COLUMNS)} |", "| --- |" + " --- |" * len(COLUMNS)]
    for name, row in ROWS.items():
        cells = [row(container).replace("lib", "") for container in COLUMNS.values()]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(table())
