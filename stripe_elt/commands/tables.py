"""Creates missing tables of a dataset, or prints what is missing. For `migrate` and `start`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

from pipelines.check.report import TABLE as CHECKS
from pipelines.commands.cli import ALL_WELL, DRIFT
from pipelines.configuration.settings import Settings
from pipelines.loading.session import open_database, open_existing
from pipelines.loading.tables import create_tables, missing_sql, tables_of
from pipelines.models.indexes import index_statement, keep_indexes, missing_indexes
from pipelines.models.live import LiveViews
from pipelines.privacy.forgotten import relations_of
from pipelines.state import OWN_TABLES, State
from pipelines.terminal.output import Report
from pipelines.warehouse.database import Database, stored_columns
from pipelines.warehouse.problems import AlreadyRunning, database_problems
from pipelines.warehouse.rights import check_rights, create_missing, missing_statements
from pipelines.warehouse.staging import lock_name
from sources.columns.columns import OWN_COLUMNS, all_columns
from sources.stripe_api.catalogue import select
from sources.stripe_api.provider import STRIPE
from webhook_sink.commit import ledger


def report(settings: Settings, names: Sequence[str], *, is_check: bool, is_dry_run: bool) -> Report:
    """Creates the tables of these resources, by default of all; a check and a dry run change nothing."""
    tables = (
        tables_of(STRIPE, (resource.name for resource in select(names))) if names else list(STRIPE.catalogue.tables)
    )
    is_only_asked = is_check or is_dry_run
    opened = open_existing if is_only_asked else open_database
    with database_problems(), closing(opened(settings)) as database:
        if is_only_asked:
            return _missing(database, settings, tables, is_check=is_check)
        return Report(ALL_WELL, {"tables": migrate(database, settings, tables)})


def _missing(database: Database, settings: Settings, tables: Sequence[str], *, is_check: bool) -> Report:
    statements = [statement.rstrip().rstrip(";") for statement in missing(database, settings, tables)]
    for statement in statements if not is_check else ():
        print(f"{statement};")
    if is_check:
        what = f"{len(statements)} statements have to be run" if statements else "Nothing is missing"
        print(f"{what} in the schema {settings.dataset}.")
    return Report(DRIFT if is_check and statements else ALL_WELL, {"sql": statements})


def missing(database: Database, settings: Settings, tables: Sequence[str]) -> list[str]:
    """The statements that `migrate` would execute, in its order: own tables, Stripe's tables, views, indexes."""
    dataset, catalogue = settings.dataset, STRIPE.catalogue
    stored = stored_columns(database, dataset, STRIPE.name)
    planned = {table: {*all_columns(catalogue, table), *stored.get(table, ())} for table in tables}
    planned |= {table: {*columns, *OWN_COLUMNS} for table, columns in stored.items() if table not in planned}
    statements = missing_statements(database, dataset, _own_relations(database, dataset))
    statements += missing_sql(database, dataset, STRIPE, tables)
    statements += LiveViews(dataset, STRIPE.name, catalogue).missing_statements(database, planned)
    if settings.indexes == "default":
        lacking = missing_indexes(database, dataset, STRIPE.name, catalogue, planned)
        statements += [index_statement(dataset, index) for index, _ in lacking]
    return statements


def _own_relations(database: Database, dataset: str) -> dict[str, str]:
    """The tables that are not Stripe's, and their indexes -> the statement that creates it."""
    json_type = "jsonb" if database.dialect == "postgres" else "JSON"
    relations = State(database, dataset, "", "", "migrate").relations(with_all=True)
    relations |= {"sync_checks": CHECKS.format(dataset=f'"{dataset}"', json=json_type), **relations_of(dataset)}
    if database.dialect == "postgres":
        relations |= ledger.relations_of(dataset, STRIPE.name)
    return relations


def _make_indexes(database: Database, dataset: str, views: LiveViews) -> None:
    """Creates missing indexes, unless a run is active, which creates them at its end."""
    try:
        database.lock_run(lock_name(dataset, ""))
    except AlreadyRunning:
        print(f"A run is loading the dataset {dataset}, so the indexes of its tables were left to that run.")
    else:
        keep_indexes(database, dataset, STRIPE.name, STRIPE.catalogue, views.tables)


def migrate(database: Database, settings: Settings, tables: Sequence[str]) -> list[str]:
    """Creates what is missing; returns the names of the tables that changed. Raises DatabaseProblem."""
    dataset = settings.dataset
    own = {f"{STRIPE.name}_webhook_events": False, f"{STRIPE.name}_webhook_rereads": True, **OWN_TABLES}
    check_rights(database, dataset, [], {**dict.fromkeys(STRIPE.catalogue.tables, False), **own})
    State(database, dataset, "", "", "migrate").create(with_all=True)
    create_missing(database, dataset, _own_relations(database, dataset))
    changed = create_tables(database, dataset, STRIPE, tables)
    views = LiveViews(dataset, STRIPE.name, STRIPE.catalogue)
    views.keep(database)
    if settings.indexes == "default":
        _make_indexes(database, dataset, views)
    print(
        f"{len(changed)} tables of the schema {dataset} were created or changed; {len(tables) - len(changed)} existed.",
        flush=True,  # `start` runs on for a long time
    )
    return changed
