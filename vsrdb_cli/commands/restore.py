"""`vsrdb restore`: restore a video, or several."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vsrdb_cli.commands import console
from vsrdb_cli.commands.bar import Bar
from vsrdb_cli.commands.click_options import options_of, read_config, restore_options
from vsrdb_cli.commands.events import Reporter, Starting, report_to
from vsrdb_cli.commands.json_lines import JsonLines
from vsrdb_cli.commands.lines import LogFile, LogLines
from vsrdb_cli.commands.session import Session
from vsrdb_cli.errors import OptionError
from vsrdb_cli.files import is_same
from vsrdb_cli.pipes import STDOUT, descriptor_of
from vsrdb_cli.video.containers.capabilities import CONTAINERS

if TYPE_CHECKING:
    from vsrdb_cli.commands.request import RestoreRequest


class _Restore(click.Command):
    """A command that explains names which begin with a dash."""

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
                        f"{text} looks like an option", hint=f"for the file, write ./{text}"
                    ) from None
            raise


@click.command(cls=_Restore)
@click.argument("paths", nargs=-1, metavar="SOURCE... TARGET", type=click.Path())
@click.option(
    "-o",
    "--output",
    metavar="TARGET",
    type=click.Path(),
    help="TARGET as an option; all other names are then sources.",
)
@restore_options
@click.option("--recursive", is_flag=True, help="Search subfolders of folders too.")
@click.option(
    "--pattern",
    "patterns",
    multiple=True,
    metavar="'*.mp4'",
    help="In folders, restore only files that match; can be repeated.",
)
@click.option(
    "--exclude",
    "excluded",
    multiple=True,
    metavar="'*.part'",
    help="In folders, skip files and folders that match; can be repeated.",
)
@click.option("--skip-existing", is_flag=True, help="Skip inputs whose output already exists.")
@click.option(
    "--container",
    type=click.Choice([suffix.removeprefix(".") for suffix in CONTAINERS]),
    help="With several inputs, the type of the outputs.  [default: the input's, or mkv]",
)
@click.option(
    "--report",
    "report_file",
    metavar="FILE.json",
    type=click.Path(path_type=Path),
    help="Write the outcome of each input to this file, as JSON.",
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
    help="bar draws a bar, or prints lines if stderr is not a terminal. json prints one object per "
    "line on stderr, for other programs.",
)
@click.option("--quiet", is_flag=True, help="Print only errors and damage.")
@click.option("-v", "--verbose", is_flag=True, help="Print more: network, tiles, segments.")
@click.option(
    "--log-file",
    type=click.Path(path_type=Path),
    help="Append all messages to this file, with timestamps.",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Restore two frames, print what the whole run would take and do, and write nothing.",
)
@click.option("--json", "as_json", is_flag=True, help="Print --dry-run as one JSON object.")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    callback=read_config,
    is_eager=True,
    expose_value=False,
    help="Read options from a TOML file, by these names; the command line takes precedence.",
)
@click.pass_context
def restore(
    context: click.Context,
    /,
    paths: tuple[str, ...],
    *,
    output: str | None,
    recursive: bool,
    patterns: tuple[str, ...],
    excluded: tuple[str, ...],
    skip_existing: bool,
    container: str | None,
    report_file: Path | None,
    page: Path | None,
    progress: str,
    quiet: bool,
    verbose: bool,
    log_file: Path | None,
    dry_run: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Restore SOURCE and write it, four times as large, to TARGET.

    SOURCE is a video or a folder of pictures. TARGET is a video (.mp4, .mov, .mkv, .webm), or a
    folder for PNG pictures. Sound, subtitles and other streams are kept, and frames keep their
    times. "-" is a y4m stream on stdin or stdout.

    Several sources, or a folder of videos, are restored one after another into the folder TARGET;
    one that fails does not stop the others.

    Long videos are restored in segments. If a run is stopped, for whatever reason, the same
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
      2  the options are not valid
      3  restored, but a source is damaged and part of it could not be read
      129, 130, 143  ended by SIGHUP, Ctrl-C or SIGTERM
    """
    if quiet and (verbose or progress == "json"):
        other = "--verbose" if verbose else "--progress json"
        raise OptionError(f"--quiet and {other} cannot be used together", hint="omit one of them")
    if log_file is not None:
        _check_log(log_file, [*paths, output, report_file, page])
    session = context.ensure_object(Session)
    session.report = _reporter(progress, quiet=quiet, verbose=verbose, log_file=log_file)
    session.stopped = lambda: "stopped; nothing was written"
    session.report(Starting())

    from vsrdb_cli.batch.inputs import NameFilter
    from vsrdb_cli.commands.request import RestoreRequest, read_paths

    sources, target = read_paths(paths, output, _flags(context.command))
    request = RestoreRequest(
        sources,
        target,
        options_of(options),
        recursive=recursive,
        names=NameFilter(patterns, excluded),
        skip_existing=skip_existing,
        container=container,
        report_file=report_file,
        page=page,
        dry_run=dry_run,
        as_json=as_json,
        verbose=verbose,
    )
    session.end(_carry_out(request, session, outcomes=progress == "bar" and not quiet))


def _carry_out(request: RestoreRequest, session: Session, *, outcomes: bool) -> int:
    """Restore or estimate what is requested; return the exit status.

    Args:
        outcomes: print the outcome of each of several inputs.
    """
    batch = request.find_inputs()
    if request.dry_run:
        from vsrdb_cli.commands.dry_run import estimate_all

        ended = estimate_all(request, batch, session.report)
        session.ended = lambda _: ended
        return ended.status

    from vsrdb_cli.commands.run import RestoreRun

    run = RestoreRun(request, batch, session)
    session.stopped, session.ended = run.stopped, run.ended
    status = run.run()
    if request.report_file is not None:  # programs read it
        outcomes &= descriptor_of(request.report_file) != STDOUT
    if outcomes and sys.stdout is not None and batch.folder is not None:
        for outcome in run.outcomes:
            console.result(str(outcome))
    return status


def _reporter(progress: str, *, quiet: bool, verbose: bool, log_file: Path | None) -> Reporter:
    """Return the reporter that the command's options ask for.

    Raises:
        OptionError: the log file cannot be written.
    """
    reporter: Reporter
    if progress == "json":
        reporter = JsonLines()
    elif console.can_draw():
        reporter = Bar(quiet=quiet, verbose=verbose)
    else:
        reporter = LogLines(quiet=quiet, verbose=verbose)
    return reporter if log_file is None else report_to(reporter, LogFile(log_file))


def _check_log(log_file: Path, others: Sequence[str | Path | None]) -> None:
    """Refuse a log that is an input or output, or looks like one in a folder."""
    from vsrdb_cli.batch.inputs import VIDEO_SUFFIXES
    from vsrdb_cli.video.pictures.formats import SUFFIXES

    taken = log_file.exists() and log_file.suffix.lower() in (*VIDEO_SUFFIXES, *SUFFIXES)
    for other in others:
        if other is not None:
            taken |= is_same(log_file, Path("/dev/stdout" if str(other) == "-" else other))
    if taken:
        raise OptionError(
            f"the log file {log_file} would overwrite an input or output",
            hint="choose another file, such as run.log",
        )


def _flags(command: click.Command) -> set[str]:
    return {flag for each in command.params if isinstance(each, click.Option) for flag in each.opts}
