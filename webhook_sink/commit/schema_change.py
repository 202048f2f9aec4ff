"""Adds tables and columns to the database and to dlt's stored schema, in one transaction under the schema's lock.

Knows no event.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from pipelines.warehouse.package_merge import Target
from pipelines.warehouse.postgres_database import PostgresDatabase
from pipelines.warehouse.problems import is_database_error, state_of
from pipelines.warehouse.stored_schema import make_tables
from pipelines.warehouse.verdict import RACES, verdict_of
from sources.catalogue import ColumnType
from sources.columns.coerce import VARIANT_MARK
from sources.columns.columns import OWN_COLUMNS, Columns, all_columns
from sources.columns.dlt_hints import dlt_columns

if TYPE_CHECKING:
    from dlt.common.schema.typing import TColumnSchema


def change(
    database: PostgresDatabase,
    dataset: str,
    name: str,
    columns: Columns,
    stored: Mapping[str, Mapping[str, ColumnType]],
    needed: Mapping[str, Iterable[str]],
) -> BaseException | None:
    """Creates the dataset and dlt's own tables where they are missing, and the `needed` columns of each table.

    `name` is the stored schema's, `stored` has the columns that it has by now. Returns the error where another writer
    changed the tables at the same time, so that the schema has to be read again. Raises what the database refuses.
    """
    target = Target(database, columns.catalogue, name, dataset, f"{dataset}_staging")
    wanted: dict[str, list[TColumnSchema]] = {}
    for table, added in needed.items():
        variants = {column: _variant(column) for column in added if VARIANT_MARK in column}
        # No other columns that were learned meanwhile: the database may refuse another event's column.
        known = {*added, *OWN_COLUMNS, *all_columns(columns.catalogue, table), *stored.get(table, ())}
        wanted[table] = [hint for column, hint in dlt_columns(table, columns, variants).items() if column in known]
    try:
        make_tables(target, wanted)
    except Exception as error:
        if is_database_error(error) and (verdict_of(error) == "moved" or state_of(error) in RACES):
            return error
        raise
    return None


def _variant(column: str) -> ColumnType:
    """The type that a variant column's name ends with; what is written as JSON there is text."""
    types: Mapping[str, ColumnType] = {"text": "text", "bigint": "bigint", "double": "double", "bool": "bool"}
    return types.get(column.rpartition(VARIANT_MARK)[2], "text")
