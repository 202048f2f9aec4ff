"""`stripe-elt migrate`: creates the schema, all tables (empty) and their views before anything is loaded.

Other commands do not need it, because they create what they need. It is for separate roles: one that migrates, one that
writes, one that reads.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from pipelines.commands.cli import add_common_options, resources_of, run_command, settings_of
from pipelines.terminal.output import Report
from sources.command_line import Parser


def main(arguments: Sequence[str] | None = None, prog: str = "stripe-elt migrate") -> int:
    """Parses the command line and runs."""
    return run_command(_parser(prog), _migrate, arguments)


def _parser(prog: str = "stripe-elt migrate") -> argparse.ArgumentParser:
    parser = Parser(
        prog=prog,
        description="Creates the schema, all tables (empty) and their views, if they are missing. No other command"
        " needs it.",
    )
    add_common_options(parser)
    parser.add_argument(
        "--resources",
        nargs="+",
        metavar="NAME",
        default=[],
        help="only the tables of these resources or groups (default: all)",
    )
    parser.add_argument("--check", action="store_true", help="change nothing; exit with code 3 if anything is missing")
    parser.add_argument("--dry-run", action="store_true", help="change nothing; print the SQL")
    return parser


def _migrate(options: argparse.Namespace) -> Report:
    from sources.stripe_api.catalogue import CATALOGUE
    from stripe_elt.commands.tables import report

    names, settings = resources_of(options, CATALOGUE), settings_of(options)

    return report(settings, names, is_check=options.check, is_dry_run=options.dry_run)
