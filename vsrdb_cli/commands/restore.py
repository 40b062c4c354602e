"""`vsrdb restore`: a video in, the same video out, sharp and larger."""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vsrdb_cli.commands import console, displays, interrupts
from vsrdb_cli.commands.click_options import restore_options
from vsrdb_cli.commands.config import read_config
from vsrdb_cli.commands.display import Display
from vsrdb_cli.commands.restore_order import Order
from vsrdb_cli.commands.statuses import status_of
from vsrdb_cli.errors import OptionError, VsrdbError
from vsrdb_cli.files import is_same
from vsrdb_cli.names import check_length, reachable
from vsrdb_cli.pipes import STDOUT, descriptor_of

if TYPE_CHECKING:
    from vsrdb_cli.batch.outcomes import Outcome
    from vsrdb_cli.commands.restore_many import Restoration

_ADDRESS = re.compile(r"\w[\w+.-]+://")
_PIPE, _STDOUT = "-", "/dev/stdout"


class _Restore(click.Command):
    """Says what to do about names that begin with a dash."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        given = list(args)
        options = given[: given.index("--")] if "--" in given else given
        for text in options:
            if text.startswith("-o") and len(text) > 2:
                raise OptionError(
                    f"{text} could be a file or the option -o",
                    hint=f"write -o {text[2:]}, or ./{text} for a file of that name",
                )
        try:
            return super().parse_args(context, args)
        except click.NoSuchOption:
            for text in options:
                if text.startswith("-") and Path(text).exists():
                    raise OptionError(
                        f"{text} begins like an option", hint=f"name the file ./{text}"
                    ) from None
            raise


@click.command(cls=_Restore)
@click.argument("paths", nargs=-1, metavar="SOURCE... TARGET", type=click.Path())
@click.option(
    "-o",
    "--output",
    metavar="TARGET",
    type=click.Path(),
    help="TARGET as an option; every other name is then a source.",
)
@restore_options
@click.option("--recursive", is_flag=True, help="Also restore what is in a folder's folders.")
@click.option(
    "--pattern",
    "patterns",
    multiple=True,
    metavar="'*.mp4'",
    help="In folders, only files matching this; can be repeated.",
)
@click.option(
    "--exclude",
    "excluded",
    multiple=True,
    metavar="'*.part'",
    help="In folders, no files or folders matching this; can be repeated.",
)
@click.option("--skip-existing", is_flag=True, help="Skip inputs whose output exists already.")
@click.option(
    "--container",
    type=click.Choice(["mp4", "m4v", "mov", "mkv", "webm"]),
    help="With several inputs, the kind of file to write.  [default: the input's, or mkv]",
)
@click.option(
    "--report", type=click.Path(path_type=Path), help="Write the outcome of each input, as JSON."
)
@click.option(
    "--compare",
    "page",
    type=click.Path(path_type=Path),
    metavar="PAGE.html",
    help="Also write a page that shows SOURCE and TARGET frame by frame, as `vsrdb compare` does.",
)
@click.option(
    "--progress",
    type=click.Choice(["bar", "json"]),
    default="bar",
    show_default=True,
    help="json prints one object a line on stderr, for other programs. bar prints plain lines "
    "where stderr is not a terminal.",
)
@click.option("--quiet", is_flag=True, help="Print errors and damage only.")
@click.option("-v", "--verbose", is_flag=True, help="Print more: network, tiles, segments.")
@click.option(
    "--log-file",
    type=click.Path(path_type=Path),
    help="Append everything that is said, with the time, to this file.",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Restore two frames, say what the whole run would take and do, and write nothing.",
)
@click.option("--json", "as_json", is_flag=True, help="Print --dry-run as one JSON object.")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    callback=read_config,
    is_eager=True,
    expose_value=False,
    help="Read options from a TOML file, by these names; the command line wins.",
)
@click.pass_context
def restore(
    context: click.Context,
    /,
    paths: tuple[str, ...],
    *,
    output: str | None,
    quiet: bool,
    verbose: bool,
    log_file: Path | None,
    progress: str,
    as_json: bool,
    **options: Any,
) -> None:
    """Restore SOURCE and write it, four times as large, to TARGET.

    SOURCE is a video or a folder of pictures; TARGET is a video (.mp4, .mov, .mkv, .webm) or a
    folder, which gets PNG pictures. Sound and everything else in the file comes along; frames keep
    their times. "-" is a y4m stream on stdin or stdout.

    Several sources, or a folder of videos, are restored one after another into the folder TARGET;
    one that fails does not stop the others.

    Long videos are restored in segments. If a run is stopped, however that happens, the same
    command continues after the last finished segment, and after the last finished file.

    \b
    vsrdb restore in.mp4 out.mp4
    vsrdb restore in.mp4 out.mkv --codec hevc --crf 18
    vsrdb restore frames/ restored/
    vsrdb restore videos/ restored/ --recursive --exclude '*.part'

    \b
    Exit status:
      0  everything was restored
      1  something could not be restored
      2  the options are not possible
      3  restored, but a source is damaged and not all of it could be read
      129, 130, 143  ended by SIGHUP, Ctrl-C or SIGTERM
    """
    if quiet and (verbose or progress == "json"):
        raise OptionError(
            f"--quiet and {'--verbose' if verbose else '--progress json'} exclude each other",
            hint="omit one of them",
        )
    if log_file is not None:
        named = [*paths, output, options["report"], options["page"]]
        _check_log(log_file, [_STDOUT if name == _PIPE else name for name in named])
    shown = displays.choose(progress=progress, quiet=quiet, verbose=verbose, log_file=log_file)
    rows = progress == "bar" and not quiet and sys.stdout is not None
    if options["report"] is not None:  # which programs read
        rows &= descriptor_of(options["report"]) != STDOUT
    restoration: Restoration | None = None
    try:
        shown.starting()
        with reachable():
            sources, target = _paths(context, paths, output)
            job = Order(sources, target, options, as_json=as_json)
            if job.dry_run:
                counts, status = job.estimate(shown)
                shown.end(counts, status, None)
                sys.exit(status)
            restoration = job.restoration(shown, verbose=verbose)
            restoration.run()
    except VsrdbError as error:
        status = status_of(error)
        shown.error(str(error), error.hint)
        shown.end({}, status, None)
        sys.exit(status)
    except KeyboardInterrupt as stop:
        _say_stopped(stop, shown, restoration)
        interrupts.leave(stop)
    if rows and job.several:
        for outcome in restoration.outcomes:
            console.result(_row(outcome))
    shown.end(restoration.counts, restoration.status, restoration.seconds)
    sys.exit(restoration.status)


def _paths(
    context: click.Context, paths: Sequence[str], output: str | None
) -> tuple[list[Path], Path]:
    """Sources and target, as far as their names alone can be right.

    Raises:
        OptionError: they cannot.
    """
    options = [each for each in context.command.params if isinstance(each, click.Option)]
    known = {name for option in options for name in option.opts}
    for text in paths:
        if text.partition("=")[0] in known:
            raise OptionError(
                f"{text} stands after --, where everything is a file",
                hint="put options before the --",
            )
        if _ADDRESS.match(text):
            raise OptionError(
                f"{text} is an address, and vsrdb only reads and writes files",
                hint=f"download it first: curl -O '{text}'",
            )
    if not paths:
        raise OptionError("SOURCE and TARGET are missing", hint="vsrdb restore in.mp4 out.mp4")
    if output is None:
        *named, output = paths
        if not named:
            raise OptionError("TARGET is missing", hint=f"vsrdb restore '{output}' restored.mp4")
    else:
        named = list(paths)
    for name in (*named, output):
        check_length(Path(name))
    if _PIPE in named and sys.stdin is not None and sys.stdin.isatty():
        raise OptionError(
            "stdin is a terminal, and a video is expected there",
            hint="ffmpeg -i IN -f yuv4mpegpipe - | vsrdb restore - OUT",
        )
    if output == _PIPE and sys.stdout is not None and sys.stdout.isatty():
        raise OptionError(
            "stdout is a terminal, which cannot show a video",
            hint="vsrdb restore IN - | ffmpeg -i - OUT",
        )
    return [Path(name) for name in named], Path(output)


def _check_log(log_file: Path, others: Sequence[str | Path | None]) -> None:
    """A log is added to a file: to no input or output, nor what looks like one in a folder."""
    from vsrdb_cli.batch.inputs import VIDEO_SUFFIXES
    from vsrdb_cli.video.pictures.formats import SUFFIXES

    taken = log_file.exists() and log_file.suffix.lower() in (*VIDEO_SUFFIXES, *SUFFIXES)
    for other in others:
        taken |= other is not None and is_same(log_file, Path(other))
    if taken:
        raise OptionError(
            f"the log file {log_file} would write into an input or output",
            hint="choose another file, such as run.log",
        )


def _say_stopped(stop: KeyboardInterrupt, shown: Display, restoration: Restoration | None) -> None:
    """What is kept of a run that a signal has ended."""
    name = signal.Signals(getattr(stop, "number", signal.SIGINT)).name
    if restoration is None:
        shown.interrupted("stopped; nothing was written", name)
        shown.end({}, status_of(stop), None)
        return
    try:
        restoration.write_report()
    except VsrdbError as error:
        shown.error(str(error), error.hint)
    shown.interrupted(restoration.what_is_kept(), name)
    shown.end(restoration.counts, status_of(stop), restoration.seconds)


def _row(outcome: Outcome) -> str:
    """What became of an input, in one line."""
    item, error = outcome.item, outcome.error
    if error is not None:
        return f"{outcome.status.value:9} {item.source}: {error}"
    return f"{outcome.status.value:9} {item.source} -> {item.target}"
