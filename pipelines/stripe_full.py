"""The initial load, and later loads of what is new: `python pipelines/stripe_full.py`.

Loads every list of the account into DuckDB or Postgres, and continues from the point that the last run reached. You can
kill it and start it again at any time. A run ends at once if another run is active. Exit codes: 0 all went well, 1
some resources failed, 2 it could not start, 130 a signal stopped it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if __name__ == "__main__":  # before the other imports, which take a second: see `start`
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from pipelines.terminal.process import start

    start("pipelines.stripe_full")

from pipelines.cli import (
    ALL_WELL,
    SOME_FAILED,
    add_common_options,
    add_dry_run,
    asked_of,
    explain,
    for_each_account,
    moment,
    resources_of,
    run_command,
    say,
    say_what_differs,
    settings_of,
    window_of,
)
from pipelines.terminal.output import Report
from sources.command_line import Parser

if TYPE_CHECKING:
    from pipelines.configuration.settings import Settings
    from pipelines.loading.run import Order, Outcome


def main(arguments: Sequence[str] | None = None, prog: str = "stripe_full.py") -> int:
    """Parses the command line and runs."""
    return run_command(_parser(prog), _full, arguments)


def _parser(prog: str = "stripe_full.py") -> argparse.ArgumentParser:
    parser = Parser(
        prog=prog,
        description="Loads a Stripe account into DuckDB or Postgres; later runs load what is new.",
    )
    add_common_options(parser)
    parser.add_argument(
        "--resources",
        nargs="+",
        metavar="NAME",
        default=[],
        help="names, or the groups core, default and all (default: every list that needs no parent, with its"
        " embedded lists)",
    )
    parser.add_argument("--since", type=moment, metavar="TIME", help="only objects created at or after this moment")
    parser.add_argument("--until", type=moment, metavar="TIME", help="only objects created before this moment")
    parser.add_argument("--full-refresh", action="store_true", help="read everything again")
    add_dry_run(parser)
    return parser


def _full(options: argparse.Namespace) -> Report:
    from pipelines.loading.run import Order
    from sources.stripe_api.catalogue import select

    names = resources_of(options)
    since, until = window_of(options)
    order = Order(
        command="stripe_full",
        resources=select(names),
        since=since,
        until=until,
        full_refresh=options.full_refresh,
        asked=asked_of(options, "resources", "since", "until", "full_refresh"),
    )

    settings = settings_of(options)
    return dry_run(settings, order) if options.dry_run else load_each_account(settings, order, debug=options.debug)


def dry_run(settings: Settings, order: Order) -> Report:
    """Says what the order would ask for."""
    from pipelines.loading.dry_run import planned, tell

    plans = planned(settings, order.resources, order.since, is_fresh=order.full_refresh or order.again)
    tell(plans)
    return Report(ALL_WELL, [one.to_json() for one in plans])


def load_each_account(settings: Settings, order: Order, *, debug: bool = False) -> Report:
    """Runs the order for each account of the settings, and says what came of it."""
    from pipelines.loading.run import run

    told: list[dict[str, Any]] = []

    def load(each: Settings) -> int:
        if each.stripe_account:
            print(f"{each.stripe_account}:")
        outcome = run(each, order)
        told.append({"account": each.stripe_account, **outcome.to_json()})
        return report(outcome, debug=debug)

    return Report(for_each_account(settings, load, debug=debug), told)


def report(outcome: Outcome, *, debug: bool = False) -> int:
    """The summary on stdout, what went wrong on stderr, and the exit code."""
    from pipelines.terminal.display import print_summary

    print_summary(outcome.board)
    if outcome.resumed:
        say(
            f"{outcome.resumed} of these resources continued from an earlier run, and objects that it had"
            " read were not read again. --full-refresh reads everything."
        )
    say_what_differs(outcome.counts)
    if outcome.error is not None:
        explain(outcome.error, debug)
    return SOME_FAILED if outcome.failed or outcome.error is not None else ALL_WELL
