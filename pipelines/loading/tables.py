"""Makes tables empty, with every column that the provider publishes, before anything is loaded into them.

Loads and the sink do the same for each table when its first row arrives, through the same stored schema. Knows dlt.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from dlt.common.destination.exceptions import DestinationException

from pipelines.loading.dlt_configuration import own_configuration
from pipelines.loading.dlt_load import open_client, schema_of
from pipelines.warehouse.database import Database, stored_columns
from pipelines.warehouse.package_merge import Target
from pipelines.warehouse.problems import DatabaseProblem, database_error_of, explained, state_of
from pipelines.warehouse.verdict import RACES, verdict_of
from sources.columns.columns import Columns
from sources.columns.dlt_hints import dlt_columns
from sources.provider import Provider

ATTEMPTS = 5
"""How often tables are looked at again where another process makes the same ones at the same moment."""


def tables_of(provider: Provider, resources: Iterable[str]) -> list[str]:
    """The tables that these resources fill, with those of what comes inside their objects."""
    catalogue = provider.catalogue
    filled = (catalogue.filled_with(catalogue.resources[name].table) for name in resources)
    return list(dict.fromkeys(table for tables in filled for table in tables))


def missing_sql(database: Database, dataset: str, provider: Provider, tables: Sequence[str]) -> list[str]:
    """The statements that would make what is missing of these tables; none where nothing is."""
    with own_configuration():
        client, names = _client(database, dataset, provider, tables)
        with client:
            statements, _ = client._build_schema_update_sql(client.get_storage_tables(names))
    return [str(statement) for statement in statements]


def create_tables(database: Database, dataset: str, provider: Provider, tables: Sequence[str]) -> list[str]:
    """Makes what is missing of these tables, in one transaction, and returns the names of the tables that changed.

    Several processes may do so at once. Raises DatabaseProblem.
    """
    for attempt in range(ATTEMPTS):
        try:
            with own_configuration():
                client, names = _client(database, dataset, provider, tables)
                with client:
                    if not client.is_storage_initialized():
                        client.initialize_storage()
                    changed = client.update_stored_schema(only_tables=names) or {}
            return [name for name in changed if name in provider.catalogue.tables]
        except DestinationException as error:
            found = database_error_of(error)
            is_race = found is not None and (verdict_of(found) == "moved" or state_of(found) in RACES)
            if attempt + 1 == ATTEMPTS or not is_race:
                raise DatabaseProblem(f"The tables could not be made. {explained(error)}") from error
    raise AssertionError


def _client(database: Database, dataset: str, provider: Provider, tables: Sequence[str]) -> tuple[Any, list[str]]:
    """dlt's client with a schema of these tables, and their names with those of dlt's own."""
    staging = f"{dataset}_staging"  # dlt asks for one; nothing is staged there
    columns = Columns(provider.catalogue, stored_columns(database, dataset, provider.name))
    schema = schema_of(provider.name, {table: dlt_columns(table, columns).values() for table in tables})
    target = Target(database, provider.catalogue, provider.name, dataset, staging)
    return open_client(target, schema), [*tables, *schema.dlt_table_names()]
