"""`vsrdb doctor`: check what works on this machine, and show how to repair what does not."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from vsrdb_cli.commands import console
from vsrdb_cli.commands.click_options import restore_option
from vsrdb_cli.errors import OptionError
from vsrdb_cli.text import count


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for other programs.")
@restore_option("ray", help="Check every node of this Ray cluster instead.")
@click.option(
    "--folder",
    type=click.Path(exists=True, file_okay=False, resolve_path=True, path_type=Path),
    help="With --ray, the folder of the videos; nodes that can read it are not sent any.  "
    "[default: the current folder]",
)
def doctor(*, as_json: bool, ray: str | None, folder: Path | None) -> None:
    """Check whether everything that vsrdb can use works here.

    Exits with status 1 if something that vsrdb needs does not work.
    """
    from vsrdb_cli.doctor import State, examine, examine_nodes

    if folder and not ray:
        raise OptionError("--folder needs --ray", hint="add --ray auto, or omit --folder")
    findings = []
    here = folder or Path.cwd()
    for finding in examine_nodes(ray, here) if ray else examine():
        findings.append(finding)
        if as_json:
            continue
        mark = {State.WORKS: "ok", State.ABSENT: "--", State.PROBLEM: "!!"}[finding.state]
        console.result(f"{mark} {finding.kind:8} {finding.name}: {finding.detail}")
        if finding.hint:
            console.result(f"            -> {finding.hint}")
    problems = [finding for finding in findings if finding.state is State.PROBLEM]
    if as_json:
        values = {"ok": not problems, "findings": [finding.to_json() for finding in findings]}
        console.json_result(values)
    elif problems:
        console.result(f"{count(len(problems), 'problem')} found")
    else:
        console.result("everything that vsrdb needs works")
    if problems:
        sys.exit(1)
