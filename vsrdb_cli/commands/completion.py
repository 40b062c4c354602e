"""`vsrdb completion`: a script by which a shell completes commands, options and names."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from vsrdb_cli.commands import console

_VARIABLE = "_VSRDB_COMPLETE"


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
    kind = get_completion_class(shell)
    assert kind is not None
    script = kind(context.find_root().command, {}, "vsrdb", _VARIABLE).source()
    for line in script.split("\n"):
        console.result(line)
