"""`stripe-elt doctor`: checks what a load, a sync and the sink need, and prints a finding for each.

It only reads: it changes nothing, neither in Stripe nor in the database.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from pipelines.commands.cli import ALL_WELL, SOME_FAILED, add_common_options, run_command
from pipelines.terminal.output import Report
from sources.command_line import Parser


def main(arguments: Sequence[str] | None = None, prog: str = "stripe-elt doctor") -> int:
    """Parses the command line and runs."""
    return run_command(_parser(prog), _doctor, arguments)


def _parser(prog: str = "stripe-elt doctor") -> argparse.ArgumentParser:
    parser = Parser(
        prog=prog, description="Checks key, clock, permissions, database, settings and endpoint. Changes nothing."
    )
    add_common_options(parser)
    parser.add_argument(
        "--no-permissions",
        action="store_true",
        help="do not check whether the key may read each resource, which takes one request per resource",
    )
    return parser


def _doctor(options: argparse.Namespace) -> Report:
    from stripe_elt.findings import Finding, look

    findings: list[Finding] = []
    for finding in look(options):
        print(f"{finding.state:<8} {finding.what}: {finding.text}")
        findings.append(finding)
    has_problem = any(finding.state == "problem" for finding in findings)
    return Report(SOME_FAILED if has_problem else ALL_WELL, [finding._asdict() for finding in findings])
