"""The consistency check for an Orb account: `python pipelines/orb_check.py`, every week or when in doubt.

Lists everything again, compares it with the tables field by field, repairs the differences and reports them. It finds
changes that no event reports: deleted customers, and draft invoices that have disappeared. Exit codes: 0 all went well,
1 some resources could not be checked, 2 it could not start, 3 drift was found (with --fail-on-drift), 130 a signal
stopped it.
"""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":  # before the other imports: until `start` has begun, Ctrl-C gives a traceback
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
    from pipelines.terminal.process import start

    start("pipelines.orb_check")

import argparse
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pipelines.commands.checks import add_check_options, run_checks
from pipelines.commands.cli import (
    ALL_WELL,
    add_database_options,
    add_output_options,
    given_of,
    log_as,
    resources_of,
    run_command,
    say,
)
from pipelines.terminal.output import Report
from pipelines.warehouse.problems import AlreadyRunning
from sources.command_line import Parser

if TYPE_CHECKING:
    from pipelines.configuration.settings import CommonSettings


def main(arguments: Sequence[str] | None = None, prog: str = "orb_check.py") -> int:
    """Parses the command line and runs."""
    return run_command(_parser(prog), _check, arguments)


def _parser(prog: str = "orb_check.py") -> argparse.ArgumentParser:
    parser = Parser(prog=prog, description="Compares the tables of an Orb account with Orb's lists.")
    add_database_options(parser, dataset="orb")
    add_output_options(parser, report_file=True)
    add_check_options(parser)
    return parser


def _check(options: argparse.Namespace) -> Report:
    from pipelines.configuration.orb_settings import read_orb_settings
    from sources.orb_api.provider import ORB

    names = resources_of(options, ORB.catalogue)

    def each(check: Callable[[CommonSettings], int]) -> int:
        settings = read_orb_settings(**given_of(options))
        log_as(options, settings)
        try:
            return check(settings)
        except AlreadyRunning as error:  # the other run does the work
            say(error)
            return ALL_WELL

    return run_checks(options, names, ORB, each)
