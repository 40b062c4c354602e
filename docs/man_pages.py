"""Write the man pages of all commands: python docs/man_pages.py [FOLDER]

The sdist and the wheel contain those in docs/man, the default.
"""

from __future__ import annotations

import sys
from inspect import cleandoc
from pathlib import Path

import click
from click_man.man import ManPage

from vsrdb_cli import __version__
from vsrdb_cli.cli import main


class Page(ManPage):
    """A man page that keeps what click keeps: the lines of a paragraph marked with \\b."""

    def replace_blank_lines(self, text: str) -> str:
        """Return text as roff: with paragraphs, and no line that roff takes for a request."""
        paragraphs = []
        for paragraph in text.replace("\\", "\\e").split("\n\n"):
            marked = paragraph.startswith("\b\n")
            lines = [
                f"\\&{line}" if line.startswith((".", "'")) else line
                for line in paragraph.removeprefix("\b\n").split("\n")
            ]
            paragraphs.append("\n".join([".nf", *lines, ".fi"] if marked else lines))
        return "\n.PP\n".join(paragraphs)


def page(context: click.Context) -> str:
    """Return the man page of the command of `context`."""
    command = context.command
    written = Page(context.command_path)
    written.version = __version__
    written.short_help = command.get_short_help_str(limit=1000)
    written.description = cleandoc(command.help or "")
    written.synopsis = " ".join(command.collect_usage_pieces(context))
    options = (p for p in command.get_params(context) if isinstance(p, click.Option))
    written.options = [record for option in options if (record := option.get_help_record(context))]
    written.commands = [
        (name, below.get_short_help_str(limit=1000)) for name, below in _below(command).items()
    ]
    return str(written)


def write(
    folder: Path, command: click.Command, name: str, parent: click.Context | None = None
) -> None:
    """Write the pages of a command and of those below it."""
    context = command.make_context(name, [], parent, resilient_parsing=True)
    file = context.command_path.replace(" ", "-")
    (folder / f"{file}.1").write_text(page(context), encoding="utf-8")
    for its_name, below in _below(command).items():
        write(folder, below, its_name, context)


def _below(command: click.Command) -> dict[str, click.Command]:
    return command.commands if isinstance(command, click.Group) else {}


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("man")
    target.mkdir(parents=True, exist_ok=True)
    write(target, main, "vsrdb")
