"""`stripe-elt forget cus_…`: overwrites a person's data in the database, and keeps it out from then on."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from pipelines.commands.cli import ALL_WELL, add_common_options, run_command, settings_of
from pipelines.terminal.output import Report
from sources.command_line import Parser

LEFT = (
    "Backups, the write-ahead log, replicas and your own tables still have the data: see docs/privacy.md. Delete the"
    " customer in Stripe too."
)


def main(arguments: Sequence[str] | None = None, prog: str = "stripe-elt forget") -> int:
    """Parses the command line and runs."""
    return run_command(_parser(prog), _forget, arguments)


def _parser(prog: str = "stripe-elt forget") -> argparse.ArgumentParser:
    parser = Parser(
        prog=prog,
        description="Overwrites a customer's personal data in every table, in events and in the ledger, and keeps"
        " it out of all later writes. Can be repeated.",
    )
    add_common_options(parser)
    parser.add_argument(
        "ids", nargs="*", metavar="ID", help="cus_…; without ids, forget everybody again who was forgotten before"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="change nothing; print how many rows would be overwritten"
    )
    parser.add_argument(
        "--rewrite",
        action="store_true",
        help="Postgres: rewrite these tables (VACUUM FULL), which nobody can use meanwhile",
    )
    return parser


def _forget(options: argparse.Namespace) -> Report:
    from pipelines.privacy.forget import forget
    from sources.stripe_api.provider import STRIPE

    outcome = forget(settings_of(options), STRIPE, options.ids, is_dry_run=options.dry_run, wholly=options.rewrite)
    would = "would be" if outcome.is_dry_run else "were"
    for table in outcome.tables:
        print(f"{table.table}: {table.changed} of {table.rows} rows {would} overwritten")
    print(f"Customers that {would} forgotten: {len(outcome.persons)}. Their objects have {outcome.ids:,} ids.")
    for sentence in outcome.space:
        print(f"{sentence}.")
    if not outcome.is_dry_run:
        print(LEFT)
    return Report(ALL_WELL, outcome.to_json())
