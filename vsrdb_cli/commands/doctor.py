"""`vsrdb doctor`: what works on this machine, and the line that mends what does not."""

from __future__ import annotations

import json
import sys

import click

from vsrdb_cli.commands import console


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for other programs.")
def doctor(*, as_json: bool) -> None:
    """Try everything vsrdb needs or can use here, and say what works.

    Ends with 1 if something that is needed does not work.
    """
    from vsrdb_cli.doctor import State, examine

    findings = []
    for finding in examine():
        findings.append(finding)
        if as_json:
            continue
        mark = {State.WORKS: "ok", State.ABSENT: "--", State.PROBLEM: "!!"}[finding.state]
        console.result(f"{mark} {finding.kind:8} {finding.name}: {finding.detail}")
        if finding.mend:
            console.result(f"            -> {finding.mend}")
    problems = [finding for finding in findings if finding.state is State.PROBLEM]
    if as_json:
        values = {"ok": not problems, "findings": [finding.to_json() for finding in findings]}
        console.result(json.dumps(values))
    elif problems:
        console.result(f"{len(problems)} of these are problems")
    else:
        console.result("all that is needed works")
    if problems:
        sys.exit(1)
