"""Options by which encoders read or write files of their own: refused, since they name any file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from vsrdb_cli.errors import OptionError

# libx264's, libx265's and FFmpeg's; the others that vsrdb calls have none. The passes are among
# them: each leaves its statistics in the current folder. In small letters, with "-" for "_".
_NAMES = {
    *("stats", "passlogfile", "pass", "multi-pass-opt-analysis", "multi-pass-opt-distortion"),
    *("dump-yuv", "qpfile", "cqmfile", "opencl", "opencl-clbin", "tcfile-in", "tcfile-out"),
    *("csv", "csv-log-level", "recon", "output", "nalu-file", "nalufile", "zonefile"),
    *("analysis-save", "analysis-load", "analysis-reuse-file", "analysis-reuse-mode"),
    *("lambda-file", "dhdr10-info", "dolby-vision-rpu", "aom-film-grain", "abr-ladder"),
}
# A file unless it is one of these.
_UNLESS = {"scaling-list": r"off|default|0|1", "film-grain": r"\d+"}


def check_no_files(extra: Mapping[str, str]) -> None:
    """Whether what is given to an encoder names no files.

    Raises:
        OptionError: an option does, by itself or within a list such as `x264-params`.
    """
    for option, value in extra.items():
        for name, given in _settings(option, value):
            allowed = _UNLESS.get(name)
            is_file = name in _NAMES or (allowed and not re.fullmatch(allowed, given))
            if is_file or (name == "flags" and re.search(r"pass[12]", given)):
                raise OptionError(
                    f"--encoder-option {option}: '{name}' makes the encoder read or write files",
                    hint="leave it out; an encoder gets its frames from vsrdb, and gives them back",
                )


def _settings(option: str, value: str) -> Iterator[tuple[str, str]]:
    """An option and those in its list, as an encoder reads them: without escapes and quotes."""
    yield _plain(option), _plain(value)
    for part in re.split(r"[:,;\s]", re.sub(r"[\\'\"]", "", value)):
        name, _, given = part.partition("=")
        yield _plain(name), _plain(given)


def _plain(text: str) -> str:
    return re.sub(r"[\\'\"\s]", "", text).lower().replace("_", "-").lstrip("-")
