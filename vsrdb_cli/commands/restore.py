"""`vsrdb restore`: a video in, the same video out, sharp and larger."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import MISSING, Field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vsrdb_cli.commands import console
from vsrdb_cli.commands.config import read_config
from vsrdb_cli.errors import VsrdbError
from vsrdb_cli.options import Option, RestoreOptions, declared_options, flag_of

if TYPE_CHECKING:
    from vsrdb_cli.commands.display import Display


class Read(click.ParamType[Any]):
    """A value read by an option's own rule."""

    def __init__(self, declared: Option) -> None:
        self.name = declared.metavar or "TEXT"
        self._read = declared.read

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        assert self._read is not None
        try:
            return self._read(value)
        except ValueError as error:
            self.fail(f"'{value}' is not possible: {error}", param, ctx)


def restore_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command all options of a restoration."""
    for entry in reversed(list(declared_options())):
        command = _click_option(entry)(command)
    return command


def _click_option(entry: Field[Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    declared: Option = entry.metadata["option"]
    names = (f"--{flag_of(entry)}", entry.name)
    text = declared.help
    if declared.shown_default:
        text += f"  [default: {declared.shown_default}]"
    kind: Any = None
    if isinstance(entry.default, bool):
        return click.option(*names, is_flag=True, default=False, help=text)
    if declared.choices:
        kind = click.Choice(declared.choices)
    elif entry.name == "extra":
        return click.option(*names, multiple=True, metavar=declared.metavar, help=text)
    elif declared.read is not None:
        kind = Read(declared)
    elif declared.between is not None:
        low, high = declared.between
        whole = "int" in str(entry.type)
        kind = click.IntRange(int(low), int(high)) if whole else click.FloatRange(low, high)
    default = _default(entry)
    return click.option(
        *names,
        type=kind,
        default=default,
        show_default=default not in (None, ()),
        metavar=declared.metavar,
        hidden=declared.hidden,
        help=text,
    )


def _default(entry: Field[Any]) -> Any:
    value = entry.default if entry.default_factory is MISSING else entry.default_factory()
    return value.value if isinstance(value, Enum) else value


@click.command()
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.argument("target", type=click.Path(path_type=Path))
@restore_options
@click.option("--recursive", is_flag=True, help="Of a folder: take the folders in it as well.")
@click.option("--pattern", metavar="'*.mp4'", help="Of a folder: take only files named so.")
@click.option(
    "--skip-existing", is_flag=True, help="Of several inputs: leave those that have an output."
)
@click.option(
    "--container",
    type=click.Choice(["mp4", "m4v", "mov", "mkv", "webm"]),
    help="Of several inputs: what to write.  [default: what the input is, or mkv]",
)
@click.option(
    "--report", type=click.Path(path_type=Path), help="Write what became of each input, as JSON."
)
@click.option(
    "--progress",
    type=click.Choice(["bar", "json"]),
    default="bar",
    show_default=True,
    help="json: one object a line on stderr, for other programs.",
)
@click.option("--quiet", is_flag=True, help="Say nothing but errors.")
@click.option(
    "--dry-run",
    is_flag=True,
    help="Tell what the run would take and do, having restored two frames; write nothing.",
)
@click.option("--json", "as_json", is_flag=True, help="Of --dry-run: one JSON object on stdout.")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    callback=read_config,
    is_eager=True,
    expose_value=False,
    help="A TOML file of options by these names; the command line wins.",
)
def restore(
    sources: tuple[Path, ...],
    target: Path,
    *,
    quiet: bool,
    progress: str,
    recursive: bool,
    pattern: str | None,
    skip_existing: bool,
    container: str | None,
    report: Path | None,
    dry_run: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Restore SOURCES and write them, four times as large, to TARGET.

    A source is a video or a folder of PNG or JPEG pictures; TARGET a video (.mp4, .mov, .mkv,
    .webm) or a folder, which gets PNG pictures. Sound and everything else that was in the file
    comes along; frames keep their times. "-" is a y4m stream on stdin or stdout.

    Several sources, or a folder of videos, are restored one after another into the folder TARGET;
    one that fails does not stop the others.

    A long video is restored in segments. Stopped, by whatever, the same command goes on after the
    last finished one.

    \b
    vsrdb restore in.mp4 out.mp4
    vsrdb restore in.mp4 out.mkv --codec hevc --crf 18
    vsrdb restore frames/ restored/
    vsrdb restore videos/ restored/ --recursive --skip-existing

    Ends with 0 if all is restored, 1 if something is not, 2 if these options cannot be, 130 if
    interrupted.
    """
    from vsrdb_cli.batch.inputs import Batch, Item, find, is_batch
    from vsrdb_cli.commands.display import Bar, JsonLines
    from vsrdb_cli.commands.restore_many import FAILED, counts_of, restore_all, table_of

    if as_json and not dry_run:
        raise click.UsageError("--json is for --dry-run; see --report and --progress json")
    if dry_run and report:
        raise click.UsageError("--report and --dry-run exclude each other; see --json")
    if quiet and progress == "json":
        raise click.UsageError("--quiet and --progress json exclude each other")
    if options["devices"] and options["device"] != "auto":
        raise click.UsageError("--device and --devices exclude each other")
    display: Display = JsonLines() if progress == "json" else Bar(quiet=quiet)
    try:
        settings = options_of(options)
        several = is_batch(sources, recursive=recursive, pattern=pattern)
        if several:
            suffix = container and f".{container}"
            batch = find(sources, target, recursive=recursive, pattern=pattern, suffix=suffix)
        elif container:
            raise click.UsageError("--container is for several inputs; name the output instead")
        else:
            batch = Batch([Item(sources[0], target)])
        if dry_run:
            from vsrdb_cli.commands.dry_run import estimate_all

            status = estimate_all(
                batch,
                settings,
                display,
                skip_existing=skip_existing,
                new_folders=several,
                as_json=as_json,
            )
            sys.exit(status)
        outcomes = restore_all(
            batch,
            settings,
            display,
            skip_existing=skip_existing,
            new_folders=several,
            report_file=report,
        )
    except VsrdbError as error:
        display.error(str(error), error.hint)
        sys.exit(FAILED)
    if several:
        display.end(counts_of(outcomes))
        if progress == "bar" and not quiet:
            console.show(table_of(outcomes))
    if any(outcome.error is not None for outcome in outcomes):
        sys.exit(FAILED)


def options_of(values: dict[str, Any]) -> RestoreOptions:
    """What the command line says; flags that turn something off are turned round."""
    for entry in declared_options():
        if entry.default is True:
            values[entry.name] = not values[entry.name]
    return RestoreOptions.of(**values)
