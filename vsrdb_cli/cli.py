"""The command line: one module a command; each imports heavy modules only when it runs."""

from __future__ import annotations

from typing import Any

import click

from vsrdb_cli import __version__
from vsrdb_cli.commands import console
from vsrdb_cli.commands.compare import compare
from vsrdb_cli.commands.completion import completion
from vsrdb_cli.commands.doctor import doctor
from vsrdb_cli.commands.evaluate import evaluate
from vsrdb_cli.commands.export import export
from vsrdb_cli.commands.restore import restore
from vsrdb_cli.commands.weights import weights
from vsrdb_cli.errors import VsrdbError


class Group(click.Group):
    """A group whose commands report what a user can put right as one line and a hint."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except VsrdbError as error:
            console.fail(error)


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="vsrdb")
def main() -> None:
    """Restore blurry, low-resolution video: sharp and four times as large.

    \b
    Start with:  vsrdb restore in.mp4 out.mp4
    """


main.add_command(restore)
main.add_command(weights)
main.add_command(compare)
main.add_command(evaluate)
main.add_command(export)
main.add_command(doctor)
main.add_command(completion)
