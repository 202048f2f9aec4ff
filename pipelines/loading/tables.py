"""Makes tables empty, with every column that the provider publishes, before anything is loaded into them.

Loads and the sink do the same for each table when its first row arrives, through the same stored schema.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pipelines.warehouse.database import Database, stored_columns
from pipelines.warehouse.package_merge import Target, stored_columns_of
from pipelines.warehouse.problems import DatabaseProblem, explained, is_database_error
from pipelines.warehouse.stored_schema import Tables, make_tables, table_statements, with_own
from sources.columns.columns import Columns
from sources.columns.dlt_hints import dlt_columns
from sources.provider import Provider


def tables_of(provider: Provider, resources: Iterable[str]) -> list[str]:
    """The tables that these resources fill, with those of what comes inside their objects."""
    catalogue = provider.catalogue
    filled = (catalogue.filled_with(catalogue.resources[name].table) for name in resources)
    return list(dict.fromkeys(table for tables in filled for table in tables))


def missing_sql(database: Database, dataset: str, provider: Provider, tables: Sequence[str]) -> list[str]:
    """The statements that would make what is missing of these tables; none where nothing is."""
    target, described = _described(database, dataset, provider, tables)
    wanted = with_own(described)
    return table_statements(target, wanted, stored_columns_of(database, dataset, wanted))


def create_tables(database: Database, dataset: str, provider: Provider, tables: Sequence[str]) -> list[str]:
    """Makes what is missing of these tables, in one transaction, and returns the names of the tables that changed.

    Several processes may do so at once: each waits for the one before it. Raises DatabaseProblem.
    """
    target, described = _described(database, dataset, provider, tables)
    try:
        changed = make_tables(target, described)
    except Exception as error:
        if not is_database_error(error):
            raise
        raise DatabaseProblem(f"The tables could not be made. {explained(error)}") from error
    return list(changed)


def _described(database: Database, dataset: str, provider: Provider, tables: Sequence[str]) -> tuple[Target, Tables]:
    """Where these tables are, and their columns: those that the provider publishes, and those that are stored."""
    columns = Columns(provider.catalogue, stored_columns(database, dataset, provider.name))
    target = Target(database, provider.catalogue, provider.name, dataset, f"{dataset}_staging")
    return target, {table: list(dlt_columns(table, columns).values()) for table in tables}
