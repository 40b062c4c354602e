"""`vsrdb doctor`: what works on this machine, and the line that mends what does not."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from vsrdb_cli.commands import console
from vsrdb_cli.errors import OptionError


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for other programs.")
@click.option(
    "--ray",
    metavar="auto|HOST:PORT|local",
    help="Try every node of this Ray cluster instead.",
)
@click.option(
    "--folder",
    type=click.Path(exists=True, file_okay=False, resolve_path=True, path_type=Path),
    help="With --ray, where the videos are; nodes that read it need not be sent anything.  "
    "[default: the current one]",
)
def doctor(*, as_json: bool, ray: str | None, folder: Path | None) -> None:
    """Try everything vsrdb needs or can use here, and say what works.

    Ends with 1 if something that is needed does not work.
    """
    from vsrdb_cli.doctor import State, examine, examine_nodes

    if folder and not ray:
        raise OptionError("--folder is for --ray", hint="add --ray auto, or omit it")
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
        console.result(f"{len(problems)} of these are problems")
    else:
        console.result("all that is needed works")
    if problems:
        sys.exit(1)
