"""The consistency check: `python pipelines/stripe_check.py`, every night or week.

Lists everything again, compares it with the tables field by field, repairs the differences and reports them. Exit
codes: 0 all went well, 1 some resources could not be checked, 2 it could not start, 3 drift was found (with
--fail-on-drift), 130 a signal stopped it.
"""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":  # before the other imports: until `start` has begun, Ctrl-C gives a traceback
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
    from pipelines.terminal.process import start

    start("pipelines.stripe_check")

import argparse
from collections.abc import Sequence

from pipelines.commands.checks import add_check_options, run_checks
from pipelines.commands.cli import add_common_options, for_each_account, resources_of, run_command, settings_of
from pipelines.terminal.output import Report
from sources.command_line import Parser


def main(arguments: Sequence[str] | None = None, prog: str = "stripe_check.py") -> int:
    """Parses the command line and runs."""
    return run_command(_parser(prog), _check, arguments)


def _parser(prog: str = "stripe_check.py") -> argparse.ArgumentParser:
    parser = Parser(prog=prog, description="Compares the tables with Stripe's lists.")
    add_common_options(parser, report_file=True)
    add_check_options(parser)
    return parser


def _check(options: argparse.Namespace) -> Report:
    from sources.stripe_api.provider import STRIPE

    names = resources_of(options, STRIPE.catalogue)
    return run_checks(
        options, names, STRIPE, lambda check: for_each_account(settings_of(options), check, debug=options.debug)
    )
