"""The command line: one module a command; each imports heavy modules only when it runs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from vsrdb_cli import __version__
from vsrdb_cli.commands import console, interrupts
from vsrdb_cli.commands.advise import advise
from vsrdb_cli.commands.bench import bench
from vsrdb_cli.commands.compare import compare
from vsrdb_cli.commands.completion import completion
from vsrdb_cli.commands.doctor import doctor
from vsrdb_cli.commands.evaluate import evaluate
from vsrdb_cli.commands.export import export
from vsrdb_cli.commands.inspect import inspect
from vsrdb_cli.commands.restore import restore
from vsrdb_cli.commands.statuses import status_of
from vsrdb_cli.commands.weights import weights
from vsrdb_cli.disks import resumable
from vsrdb_cli.errors import VsrdbError
from vsrdb_cli.names import reachable
from vsrdb_cli.text import printable

# What people want, and the commands for it, in the order of `vsrdb --help`.
SECTIONS = {
    "Restore": ("restore",),
    "Look": ("compare", "inspect", "evaluate"),
    "Prepare": ("advise", "doctor", "weights", "export", "bench", "completion"),
}
_OTHERS = "Other"


@contextmanager
def _printable_errors() -> Iterator[None]:
    """What click prints of wrong arguments repeats them."""
    try:
        yield
    except click.ClickException as error:
        vars(error)["message"] = printable(error.message)
        raise


class Group(click.Group):
    """Commands in sections, which report what a user can put right as one line and a hint."""

    def main(self, *args: Any, **settings: Any) -> Any:
        console.take_closed_streams()
        return super().main(*args, **settings)

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        with _printable_errors():
            return super().parse_args(context, args)

    def invoke(self, context: click.Context) -> Any:
        try:
            with (
                interrupts.stoppable(),
                reachable(),
                resumable("a file"),
                _printable_errors(),
            ):
                return super().invoke(context)
        except VsrdbError as error:
            console.report(error)
            sys.exit(status_of(error))
        except click.exceptions.Exit:  # a RuntimeError of click's
            raise
        except (RuntimeError, MemoryError) as error:
            from vsrdb_cli.pipeline.memory import is_out_of_memory, ran_out

            if not is_out_of_memory(error):
                raise
            told = ran_out("this command worked")
            console.report(told)
            sys.exit(status_of(told))
        except KeyboardInterrupt as stop:
            console.say("interrupted")
            interrupts.leave(stop)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        names = self.list_commands(context)
        named = {name for section in SECTIONS.values() for name in section}
        sections = SECTIONS | {_OTHERS: tuple(name for name in names if name not in named)}
        width = max(map(len, names), default=0)
        for title, section in sections.items():
            rows = [
                (name.ljust(width), command.get_short_help_str(formatter.width))
                for name in section
                if (command := self.get_command(context, name)) and not command.hidden
            ]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="vsrdb")
def main() -> None:
    """Restore blurry, low-resolution video: sharp and four times as large.

    \b
    Start with:  vsrdb restore in.mp4 out.mp4
    """
    from vsrdb_cli.runtime import configure_runtime  # before any command imports torch

    configure_runtime()


for _command in (
    restore,
    compare,
    inspect,
    evaluate,
    advise,
    weights,
    export,
    doctor,
    bench,
    completion,
):
    main.add_command(_command)
