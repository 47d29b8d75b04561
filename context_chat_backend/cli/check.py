"""`ccbe check`: has the doctor look at everything that a gateway needs."""

import json
import sys
from argparse import ArgumentParser, Namespace
from dataclasses import asdict

import anyio

from ..contract import Finding, Level
from ..doctor import examine
from .command import FAILURE, SUCCESS, Command, Variables


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def _check(options: Namespace, variables: Variables) -> int:
    findings = anyio.run(lambda: _collect(variables, show=not options.json))
    if options.json:
        sys.stdout.write(json.dumps([asdict(finding) for finding in findings], indent=2) + "\n")
    return FAILURE if any(finding.level is Level.ERROR for finding in findings) else SUCCESS


async def _collect(variables: Variables, *, show: bool) -> list[Finding]:
    findings = []
    async for finding in examine(variables):
        findings.append(finding)
        if show:
            _print_finding(finding)
    return findings


def _print_finding(finding: Finding) -> None:
    sys.stdout.write(f"{finding.level:8} {finding.subject:16} {finding.text}\n")
    if finding.remedy:
        sys.stdout.write(f"{'':25} -> {finding.remedy}\n")
    sys.stdout.flush()


COMMAND = Command("check", "look at everything that a gateway needs and say what is wrong", _check, _arguments)
