"""`stripe-elt backfill customer invoice --since 7d`: reads lists again, even if they were loaded before."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from pipelines.commands.cli import (
    add_common_options,
    add_dry_run,
    asked_of,
    moment,
    run_command,
    settings_of,
    window_of,
)
from pipelines.terminal.output import Report
from sources.command_line import Parser


def main(arguments: Sequence[str] | None = None, prog: str = "stripe-elt backfill") -> int:
    """Parses the command line and runs."""
    return run_command(_parser(prog), _backfill, arguments)


def _parser(prog: str = "stripe-elt backfill") -> argparse.ArgumentParser:
    parser = Parser(
        prog=prog, description="Reads lists again, whole or for a range of time, even if they were loaded before."
    )
    parser.add_argument(
        "names", nargs="+", metavar="NAME", help="customer, invoices, …; `all` is every list that needs no parent"
    )
    add_common_options(parser)
    parser.add_argument(
        "--since", type=moment, metavar="TIME", help="only objects created at or after this time: 7d, 2025-01-31"
    )
    parser.add_argument("--until", type=moment, metavar="TIME", help="only objects created before this moment")
    add_dry_run(parser)
    return parser


def _backfill(options: argparse.Namespace) -> Report:
    from pipelines.commands.full import dry_run
    from pipelines.loading.run import Order
    from pipelines.stripe_full import load_each_account
    from sources.stripe_api.catalogue import select

    names = [name.strip() for given in options.names for name in given.split(",") if name.strip()]
    since, until = window_of(options)
    order = Order(
        command="backfill",
        resources=select(["default" if name == "all" else name for name in names]),
        since=since,
        until=until,
        again=True,
        asked=asked_of(options, "names", "since", "until"),
    )
    settings = settings_of(options)
    return dry_run(settings, order) if options.dry_run else load_each_account(settings, order, debug=options.debug)
