"""A connection to the destination: loads, progress, locks and questions.

A protocol, which both databases fill. Knows no Stripe and no table by name. Errors become `DatabaseProblem` with one
paragraph that names the setting to change and holds no password and no row.
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
"""The newest format of stored schemas that the installed dlt understands, its `SCHEMA_ENGINE_VERSION`."""


class Database(Protocol):
    """What state, checks and scripts need of either database. Parameters are written `%s` in both."""

    dialect: str

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Runs one statement and returns its rows, if it has any."""

    def execute_all(self, statements: Sequence[str]) -> None:
        """Runs statements that have no parameters and no rows, in one round trip, within a transaction."""

    def transaction(self) -> AbstractContextManager[None]:
        """All or nothing."""

    def lock_run(self, name: str, *, shared: bool = False) -> None:
        """Takes the run lock of that name until the connection closes. Raises `AlreadyRunning` when another has it.

        Several may have a `shared` lock, as long as nobody has it alone.
        """

    def check_lock(self) -> None:
        """Makes sure that the run locks are still held. Raises `DatabaseProblem` when another run has one meanwhile."""

    def overwrite_freed_space(self, dataset: str, tables: Sequence[str], *, wholly: bool) -> list[str]:
        """Gets rid of earlier states of rows in the database's files, and returns what was done, as sentences.

        `wholly`: also of what only unused bytes within a page still hold, while nobody else can use these tables.
        """

    def for_loads(self) -> Database:
        """The same database through a connection of its own, so that no question waits for a load. Closed with this."""

    def copy_csv(self, table: str, path: Path) -> None:
        """Copies a CSV file, whose header names the columns, into a table, within a transaction. Postgres alone has it.

        An empty string is quoted there, a null is nothing. `table` is as SQL has it.
        """

    def close(self) -> None:
        """Ends the connection and gives its locks back."""


def has_table(database: Database, dataset: str, table: str) -> bool:
    """Whether the dataset has a table of this name that the role may see."""
    if database.dialect == "duckdb":  # whose information_schema is made anew for each question, in 7 to 20 ms
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
    """Names of the stored schemas in a dataset that have tables of ours and are not this one: other providers'."""
    if not has_table(database, dataset, "_dlt_version"):
        return []
    found = database.execute(
        f'SELECT schema_name, schema FROM "{dataset}"._dlt_version WHERE schema_name <> %s', (schema,)
    )
    return sorted({name for name, text in found if "_as_of" in text})


def stored_columns(database: Database, dataset: str, schema: str) -> Mapping[str, Mapping[str, ColumnType]]:
    """table -> column -> type, without our own columns; empty where nothing was ever loaded.

    `schema` is the name of the stored schema, the provider's. Raises `DatabaseProblem` where a newer dlt wrote it.
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
            f"The tables in the schema {dataset!r} were made or changed by a newer version of dlt than the one that is"
            " installed here, and this one does not understand their stored schema. Upgrade stripe-elt and dlt here to"
            " the versions that were used last. Nothing was changed."
        )
    return stored_types(stored["tables"])
