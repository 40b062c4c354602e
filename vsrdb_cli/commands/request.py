"""What `vsrdb restore` is asked to do."""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from vsrdb_cli.batch.inputs import ALL_NAMES, NameFilter, find, is_batch
from vsrdb_cli.batch.targets import Batch, Item
from vsrdb_cli.comparison.page import check_page
from vsrdb_cli.errors import OptionError
from vsrdb_cli.files import check_writable, is_same
from vsrdb_cli.names import check_length
from vsrdb_cli.options import RestoreOptions
from vsrdb_cli.video.info import PIPE

_ADDRESS = re.compile(r"\w[\w+.-]+://")


@dataclass(frozen=True)
class RestoreRequest:
    """What one `vsrdb restore` is to do, checked as far as that is possible before the work.

    Raises:
        OptionError: options that cannot be used together.
    """

    sources: tuple[Path, ...]
    target: Path
    options: RestoreOptions
    recursive: bool = False
    names: NameFilter = ALL_NAMES
    """The files to take from folders."""
    container: str | None = None
    """The suffix of every output, without its dot; None keeps the input's."""
    skip_existing: bool = False
    report_file: Path | None = None
    page: Path | None = None
    """Where to compare a single input with its output."""
    dry_run: bool = False
    as_json: bool = False
    verbose: bool = False

    def __post_init__(self) -> None:
        if self.as_json and not self.dry_run:
            raise OptionError("--json needs --dry-run", hint="use --report FILE or --progress json")
        if self.dry_run and self.report_file:
            raise OptionError("--report and --dry-run cannot be used together", hint="use --json")
        if self.dry_run and self.options.ray:
            raise OptionError(
                "--dry-run and --ray cannot be used together",
                hint="omit --ray: only this machine can be estimated",
            )
        if self.page is not None and (self.options.prefilter or self.options.postfilter):
            raise OptionError(
                "--compare cannot be used with --prefilter or --postfilter, which may crop",
                hint="compare afterwards: vsrdb compare IN OUT -o PAGE.html",
            )
        page, report = self.page, self.report_file
        if page is not None and report is not None and is_same(page, report):
            raise OptionError(
                f"{page} cannot be both page and report", hint="choose another file for one of them"
            )

    def find_inputs(self) -> Batch:
        """Find the inputs, and the output of each.

        Raises:
            VsrdbError: they cannot be restored, or not with these options.
        """
        if is_batch(self.sources, recursive=self.recursive, names=self.names):
            if self.page is not None:
                raise OptionError(
                    "--compare takes a single input",
                    hint="compare each afterwards: vsrdb compare IN OUT -o PAGE.html",
                )
            batch = find(
                self.sources,
                self.target,
                recursive=self.recursive,
                names=self.names,
                suffix=self.container and f".{self.container}",
            )
        elif self.container:
            raise OptionError(
                "--container needs several inputs", hint="add the extension to the output's name"
            )
        else:
            batch = Batch([Item(self.sources[0], self.target)])
            if self.page is not None:
                paths = [self.sources[0], self.target]
                check_page(self.page, paths, overwrite=self.options.overwrite)
        if self.report_file is not None:
            _check_report(self.report_file, batch)
        return batch


def read_paths(
    paths: Sequence[str], output: str | None, flags: Collection[str]
) -> tuple[tuple[Path, ...], Path]:
    """Read sources and target from the command's arguments.

    Args:
        paths: the arguments.
        output: the value of -o, if it is given; all arguments are then sources.
        flags: the names of all options, which no argument may have.

    Raises:
        OptionError: one is missing, or cannot be the name of a file.
    """
    for text in paths:
        if text.partition("=")[0] in flags:
            raise OptionError(
                f"{text} follows --, after which every argument is a file",
                hint="put options before the --",
            )
        if _ADDRESS.match(text):
            raise OptionError(
                f"{text} is an address, but vsrdb only reads and writes files",
                hint=f"download it first: curl -O '{text}'",
            )
    if not paths:
        raise OptionError("SOURCE and TARGET are missing", hint="vsrdb restore in.mp4 out.mp4")
    sources = list(paths)
    target = sources.pop() if output is None else output
    if not sources:
        raise OptionError("TARGET is missing", hint=f"vsrdb restore '{target}' restored.mp4")
    for name in (*sources, target):
        check_length(Path(name))
    if str(PIPE) in sources and sys.stdin is not None and sys.stdin.isatty():
        raise OptionError(
            "stdin is a terminal, but a video is expected there",
            hint="ffmpeg -i IN -f yuv4mpegpipe - | vsrdb restore - OUT",
        )
    if target == str(PIPE) and sys.stdout is not None and sys.stdout.isatty():
        raise OptionError(
            "stdout is a terminal, which cannot show a video",
            hint="vsrdb restore IN - | ffmpeg -i - OUT",
        )
    return tuple(map(Path, sources)), Path(target)


def _check_report(report: Path, batch: Batch) -> None:
    check_writable(report)
    for item in batch.items:
        target = Path("/dev/stdout") if item.target == PIPE else item.target
        if is_same(report, item.source) or is_same(report, target):
            raise OptionError(
                f"the report {report} would replace an input or output", hint="choose another file"
            )
