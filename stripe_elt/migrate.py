"""`stripe-elt migrate`: the schema with all tables, empty, before anything is loaded.

No command needs it: each makes what it lacks. It is for roles: one that migrates, one that writes, one that reads.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import closing

from pipelines.cli import ALL_WELL, DRIFT, add_common_options, resources_of, run_command, settings_of
from pipelines.loading.tables import create_tables, missing_sql, tables_of
from pipelines.output import Report
from pipelines.session import open_database, staging_dataset
from pipelines.settings import Settings
from pipelines.state import OWN_TABLES, State
from pipelines.warehouse.database import Database
from pipelines.warehouse.postgres.libpq import postgres_conninfo
from pipelines.warehouse.problems import database_problems
from pipelines.warehouse.rights import check_rights
from sources.command_line import Parser
from sources.stripe_api.catalogue import select
from sources.stripe_api.provider import STRIPE


def main(arguments: Sequence[str] | None = None, prog: str = "stripe-elt migrate") -> int:
    """Parses the command line and runs."""
    return run_command(_parser(prog), _migrate, arguments)


def _parser(prog: str = "stripe-elt migrate") -> argparse.ArgumentParser:
    parser = Parser(
        prog=prog,
        description="Makes the schema and all tables, empty, as far as they are missing. No command needs it.",
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
    names = resources_of(options)
    tables = tables_of(STRIPE, (one.name for one in select(names))) if names else list(STRIPE.catalogue.tables)
    settings = settings_of(options)
    with database_problems(), closing(open_database(settings)) as database:
        if options.check or options.dry_run:
            return _missing(database, settings, tables, is_check=options.check)
        return Report(ALL_WELL, {"tables": migrate(database, settings, tables)})


def _missing(database: Database, settings: Settings, tables: Sequence[str], *, is_check: bool) -> Report:
    statements = missing_sql(database, settings.dataset, STRIPE, tables)
    for statement in statements if not is_check else ():
        print(f"{statement.rstrip().rstrip(';')};")
    if is_check:
        what = f"{len(statements)} statements are to be run" if statements else "Nothing is missing"
        print(f"{what} in the schema {settings.dataset}.")
    return Report(DRIFT if is_check and statements else ALL_WELL, {"sql": statements})


def migrate(database: Database, settings: Settings, tables: Sequence[str]) -> list[str]:
    """Makes what is missing, and returns the names of the tables that changed. Raises DatabaseProblem."""
    dataset = settings.dataset
    written = {**dict.fromkeys(STRIPE.catalogue.tables, False), **OWN_TABLES}
    check_rights(database, dataset, [staging_dataset(dataset, "")], written)
    State(database, dataset, "", "", "migrate").create()
    changed = create_tables(database, dataset, STRIPE, tables)
    if database.dialect == "postgres":
        from webhook_sink.commit import ledger  # the sink's extra may not be installed

        ledger.create_tables(postgres_conninfo(settings.database_url, settings.database_ca), dataset, STRIPE)
    print(
        f"{len(changed)} tables of the schema {dataset} were made or changed; {len(tables) - len(changed)} were there."
    )
    return changed
