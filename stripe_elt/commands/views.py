"""`stripe-elt views dbt`: creates the views that other tools' models read."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import closing

from pipelines.commands.cli import ALL_WELL, add_common_options, run_command, settings_of
from pipelines.terminal.output import Report
from sources.command_line import Parser
from sources.errors import BadConfiguration


def main(arguments: Sequence[str] | None = None, prog: str = "stripe-elt views") -> int:
    """Parses the command line and runs."""
    return run_command(_parser(prog), _make, arguments)


def _parser(prog: str = "stripe-elt views") -> argparse.ArgumentParser:
    parser = Parser(
        prog=prog,
        description="Creates the 25 views that the dbt package fivetran/dbt_stripe reads, and their tables (empty),"
        " if they are missing. Later runs replace the views.",
    )
    add_common_options(parser)
    parser.add_argument("models", choices=["dbt"], metavar="dbt", help="the models for which to create views: dbt")
    parser.add_argument(
        "--schema", metavar="NAME", help="the schema of the views (default: the dataset's name with _dbt)"
    )
    return parser


def _make(options: argparse.Namespace) -> Report:
    settings = settings_of(options)
    schema = options.schema if options.schema is not None else f"{settings.dataset}_dbt"
    if schema in ("", settings.dataset, f"{settings.dataset}_current", f"{settings.dataset}_metrics"):
        raise BadConfiguration(
            f"The schema {schema!r} cannot hold the views: it is empty, or has tables and views of its own. Choose"
            " another name with --schema."
        )
    from pipelines.loading.session import open_database
    from pipelines.loading.tables import create_tables
    from pipelines.models.dbt import make_views, tables_read
    from pipelines.warehouse.problems import database_problems
    from sources.stripe_api.provider import STRIPE

    with database_problems(), closing(open_database(settings)) as database:
        create_tables(database, settings.dataset, STRIPE, tables_read())
        names = make_views(database, settings.dataset, schema)
    print(f"{len(names)} views were created in the schema {schema}.")
    return Report(ALL_WELL, {"schema": schema, "views": list(names)})
