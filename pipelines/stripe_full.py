"""The initial load, and later loads of new objects: `python pipelines/stripe_full.py`.

Loads every list of the account into DuckDB or Postgres, and continues from the point that the last run reached. You can
kill it and start it again at any time. A run ends at once if another run is active. Exit codes: 0 all went well, 1
some resources failed, 2 it could not start, 130 a signal stopped it.
"""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":  # before the other imports: until `start` has begun, Ctrl-C gives a traceback
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
    from pipelines.terminal.process import start

    start("pipelines.stripe_full")

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pipelines.commands.cli import add_common_options, for_each_account, run_command, settings_of
from pipelines.commands.full import add_full_options, dry_run, order_of, report
from pipelines.terminal.output import Report
from sources.command_line import Parser

if TYPE_CHECKING:
    from pipelines.configuration.settings import Settings
    from pipelines.loading.run import Order


def main(arguments: Sequence[str] | None = None, prog: str = "stripe_full.py") -> int:
    """Parses the command line and runs."""
    return run_command(_parser(prog), _full, arguments)


def _parser(prog: str = "stripe_full.py") -> argparse.ArgumentParser:
    parser = Parser(
        prog=prog,
        description="Loads a Stripe account into DuckDB or Postgres; later runs load what is new.",
    )
    add_common_options(parser)
    add_full_options(parser)
    return parser


def _full(options: argparse.Namespace) -> Report:
    from sources.stripe_api.catalogue import CATALOGUE

    order = order_of(options, "stripe_full", CATALOGUE)
    settings = settings_of(options)
    return dry_run(settings, order) if options.dry_run else load_each_account(settings, order, debug=options.debug)


def load_each_account(settings: Settings, order: Order, *, debug: bool = False) -> Report:
    """Runs the order for each account of the settings, and prints the results."""
    from pipelines.loading.run import run
    from sources.stripe_api.provider import STRIPE

    told: list[dict[str, Any]] = []

    def load(each: Settings) -> int:
        if each.stripe_account:
            print(f"{each.stripe_account}:")
        outcome = run(each, order, STRIPE)
        told.append({"account": each.stripe_account, **outcome.to_json()})
        return report(outcome, debug=debug)

    return Report(for_each_account(settings, load, debug=debug), told)
