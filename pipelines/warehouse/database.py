"""The protocol of the connection to the destination, which both databases implement.

Knows no provider and no table by name. Errors become `DatabaseProblem` with one paragraph that names the setting to
change, and contains no password and no row.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from pipelines.warehouse.problems import DatabaseProblem
from sources.catalogue import ColumnType
from sources.columns.dlt_hints import stored_types

ENGINE_VERSION = 11
"""The newest format of stored schemas that the installed dlt can read: its `SCHEMA_ENGINE_VERSION`."""


class Database(Protocol):
    """A connection to either database. Parameters are written `%s` in both."""

    dialect: str

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Runs one statement and returns its rows, if it has any."""

    def execute_all(self, statements: Sequence[str]) -> None:
        """Runs statements without parameters and results, in one round trip. Must be called within a transaction."""

    def transaction(self) -> AbstractContextManager[None]:
        """A transaction: commits at the end of the block, or rolls back on an error."""

    def lock_run(self, name: str, *, shared: bool = False) -> None:
        """Takes the run lock of this name until the connection closes. Raises `AlreadyRunning` if another session has
        it.

        Several sessions may have a `shared` lock, as long as none has it exclusively.
        """

    def check_lock(self) -> None:
        """Checks that the run locks are still held. Raises `DatabaseProblem` if another run has one meanwhile."""

    def overwrite_freed_space(self, dataset: str, tables: Sequence[str], *, wholly: bool) -> list[str]:
        """Removes earlier states of rows from the database's files. Returns sentences about what was done.

        `wholly`: also from unused bytes within pages, during which nobody else can use these tables.
        """

    def for_loads(self) -> Database:
        """The same database through another connection, so that queries on this one do not wait for loads. It is closed
        with this one.
        """

    def copy_csv(self, table: str, path: Path) -> None:
        """Copies a CSV file, whose header names the columns, into a table. Must be called within a transaction.
        Postgres only.

        In the file, an empty string is quoted, and a null is empty. `table` is an SQL name.
        """

    def close(self) -> None:
        """Closes the connection, which releases its locks."""


def has_table(database: Database, dataset: str, table: str) -> bool:
    """Whether the dataset has a table of this name that the role may see."""
    if database.dialect == "duckdb":  # whose information_schema takes 7 to 20 ms for each query
        sql = "SELECT 1 FROM duckdb_tables() WHERE schema_name = %s AND table_name = %s"
    else:
        sql = "SELECT 1 FROM information_schema.tables WHERE table_schema = %s AND table_name = %s"
    return bool(database.execute(sql, (dataset, table)))


def has_column(database: Database, dataset: str, table: str, column: str) -> bool:
    """Whether a table of the dataset has a column of this name that the role may see."""
    if database.dialect == "duckdb":
        sql = "SELECT 1 FROM pragma_table_info(%s) WHERE name = %s"
        there = has_table(database, dataset, table)
        return there and bool(database.execute(sql, (f'"{dataset}"."{table}"', column)))
    sql = "SELECT 1 FROM information_schema.columns WHERE table_schema = %s AND table_name = %s AND column_name = %s"
    return bool(database.execute(sql, (dataset, table, column)))


def other_schemas(database: Database, dataset: str, schema: str) -> list[str]:
    """Names of the other stored schemas in a dataset that have our tables: those of other providers."""
    if not has_table(database, dataset, "_dlt_version"):
        return []
    found = database.execute(
        f'SELECT schema_name, schema FROM "{dataset}"._dlt_version WHERE schema_name <> %s', (schema,)
    )
    return sorted({name for name, text in found if "_as_of" in text})


def stored_columns(database: Database, dataset: str, schema: str) -> Mapping[str, Mapping[str, ColumnType]]:
    """table -> column -> type of the stored schema, without our own columns; empty if nothing was ever loaded.

    `schema` is its name, which is the provider's. Raises `DatabaseProblem` if a newer dlt has written it.
    """
    if not has_table(database, dataset, "_dlt_version"):
        return {}
    rows = database.execute(
        f'SELECT schema FROM "{dataset}"._dlt_version WHERE schema_name = %s ORDER BY inserted_at DESC LIMIT 1',
        (schema,),
    )
    if not rows:
        return {}
    stored = json.loads(rows[0][0])
    if stored.get("engine_version", 0) > ENGINE_VERSION:
        raise DatabaseProblem(
            f"The tables in the schema {dataset!r} were created or changed by a newer dlt than the installed one,"
            " which cannot read their stored schema. Upgrade stripe-elt and dlt here to"
            " the versions that were used last. Nothing was changed."
        )
    return stored_types(stored["tables"])
