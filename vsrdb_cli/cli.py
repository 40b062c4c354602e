"""The command line: one module per command; each imports heavy modules only when it runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from vsrdb_cli import __version__
from vsrdb_cli.commands import console
from vsrdb_cli.commands.advise import advise
from vsrdb_cli.commands.bench import bench
from vsrdb_cli.commands.compare import compare
from vsrdb_cli.commands.doctor import doctor
from vsrdb_cli.commands.evaluate import evaluate
from vsrdb_cli.commands.export import export
from vsrdb_cli.commands.inspect import inspect
from vsrdb_cli.commands.restore import restore
from vsrdb_cli.commands.session import Session
from vsrdb_cli.commands.weights import weights
from vsrdb_cli.text import printable


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print a completion script for SHELL.

    \b
    bash:  vsrdb completion bash >> ~/.bashrc
    zsh:   vsrdb completion zsh >> ~/.zshrc
    fish:  vsrdb completion fish > ~/.config/fish/completions/vsrdb.fish
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None
    script = kind(context.find_root().command, {}, "vsrdb", "_VSRDB_COMPLETE").source()
    for line in script.split("\n"):
        console.result(line)


# The commands by what they are for, in the order of `vsrdb --help`.
SECTIONS = {
    "Restore": (restore,),
    "Examine": (compare, inspect, evaluate),
    "Prepare": (advise, doctor, weights, export, bench, completion),
}


@contextmanager
def _printable_errors() -> Iterator[None]:
    """Make click's messages printable: they repeat the arguments."""
    try:
        yield
    except click.ClickException as error:
        vars(error)["message"] = printable(error.message)
        raise


class Group(click.Group):
    """Commands in sections, run in a `Session`."""

    def main(self, *args: Any, **settings: Any) -> Any:
        console.take_closed_streams()
        return super().main(*args, **settings)

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        with _printable_errors():
            return super().parse_args(context, args)

    def invoke(self, context: click.Context) -> Any:
        with _printable_errors(), context.ensure_object(Session).running():
            return super().invoke(context)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, self.list_commands(context)))
        for title, section in SECTIONS.items():
            with formatter.section(title):
                # A limit that no sentence reaches: in a narrow terminal they are wrapped.
                formatter.write_dl(
                    [(str(c.name).ljust(width), c.get_short_help_str(limit=1000)) for c in section]
                )


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="vsrdb")
def main() -> None:
    """Turn blurry, low-resolution video into sharp video at four times the size.

    \b
    Start with:  vsrdb restore in.mp4 out.mp4
    """
    from vsrdb_cli.runtime import configure_runtime  # before any command imports torch

    configure_runtime()


for _section in SECTIONS.values():
    for _command in _section:
        main.add_command(_command)
