"""What the full loads of all providers share: options, the order that they mean, the report."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from pipelines.commands.cli import (
    ALL_WELL,
    SOME_FAILED,
    add_dry_run,
    asked_of,
    explain,
    moment,
    resources_of,
    say,
    say_what_differs,
    window_of,
)
from pipelines.terminal.output import Report

if TYPE_CHECKING:
    from pipelines.configuration.settings import CommonSettings
    from pipelines.loading.run import Order, Outcome
    from sources.catalogue import Catalogue


def add_full_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of a full load."""
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


def order_of(options: argparse.Namespace, command: str, catalogue: Catalogue) -> Order:
    """The order that the options mean. Raises BadConfiguration."""
    from pipelines.loading.run import Order

    names = resources_of(options, catalogue)
    since, until = window_of(options)
    return Order(
        command=command,
        resources=catalogue.select(names),
        since=since,
        until=until,
        full_refresh=options.full_refresh,
        asked=asked_of(options, "resources", "since", "until", "full_refresh"),
    )


def dry_run(settings: CommonSettings, order: Order) -> Report:
    """Prints what the order would read."""
    from pipelines.loading.dry_run import planned, tell

    plans = planned(settings, order.resources, order.since, is_fresh=order.full_refresh or order.again)
    tell(plans, settings)
    return Report(ALL_WELL, [plan.to_json() for plan in plans])


def report(outcome: Outcome, *, debug: bool = False, is_sync: bool = False) -> int:
    """Prints the summary on stdout and problems on stderr; returns the exit code. With `is_sync`, earlier progress is
    not mentioned.
    """
    from pipelines.terminal.display import print_summary

    print_summary(outcome.board)
    if outcome.resumed and not is_sync:
        say(
            f"{outcome.resumed} of these resources continued from an earlier run, and objects that it had"
            " read were not read again. --full-refresh reads everything."
        )
    say_what_differs(outcome.counts)
    if outcome.error is not None:
        explain(outcome.error, debug)
    return SOME_FAILED if outcome.failed or outcome.error is not None else ALL_WELL
