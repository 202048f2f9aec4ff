"""A package into the database: each table's rows are staged and merged in one transaction, and the load is noted.

`make_tables` is only called if a table or a column is missing. Tables, keys and types come with dlt's hints; the
catalogue says which table holds whose children, and what events do not show.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.terminal.process import raise_if_interrupted
from pipelines.warehouse.database import Database
from pipelines.warehouse.merge import (
    ARRIVAL,
    AS_OF,
    FILE_ROW,
    PARENT,
    SOURCE,
    Contents,
    Merge,
    holder_of,
    staged_json,
)
from pipelines.warehouse.rights import create_missing
from sources.catalogue import Catalogue, Table

if TYPE_CHECKING:
    from dlt.common.schema.typing import TColumnSchema

Stored = Mapping[str, Sequence[str]]
"""table -> the columns that it has in the database, whoever made them; without tables that are not there."""
LOADS = ("load_id", "schema_name", "status", "inserted_at", "schema_version_hash")
VERSIONS = ("version", "engine_version", "inserted_at", "schema_name", "version_hash", "schema")
DLT_TABLES: Mapping[str, Sequence[str]] = {"_dlt_loads": LOADS, "_dlt_version": VERSIONS}
"""The tables in which dlt keeps what it has loaded, and their columns."""

_COLUMNS = {
    "postgres": """
SELECT c.relname::text, a.attname::text FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE n.nspname = %s AND c.relname = ANY (%s) AND c.relkind IN ('r', 'p') ORDER BY a.attnum""",
    "duckdb": """
SELECT table_name, column_name FROM duckdb_columns() WHERE schema_name = %s AND list_contains(%s, table_name)
AND database_name = current_database() ORDER BY column_index""",
}

_TYPES = """
SELECT a.attname::text, pg_catalog.format_type(a.atttypid, a.atttypmod) FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE n.nspname = %s AND c.relname = %s AND c.relkind IN ('r', 'p') ORDER BY a.attnum"""
"""The columns of a table in Postgres, with their types as SQL has them."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a package goes: `schema` is the stored schema's name, `staging` the dataset in which rows are staged."""

    database: Database
    catalogue: Catalogue
    schema: str
    dataset: str
    staging: str

    def qualified(self, table: str) -> str:
        """A table of the dataset, as SQL has it."""
        return _qualified(self.dataset, table)


@dataclass(frozen=True, slots=True)
class File:
    """A table's rows as CSV for Postgres, or Parquet for DuckDB, its columns in dlt's terms, and what the rows are.

    `json` are few rows for Postgres, as `staged_json` takes them, and there is no file then: to make a table for them
    and to drop it takes longer than to merge them.
    """

    path: Path
    columns: Mapping[str, TColumnSchema]
    contents: Contents = Contents()
    json: bytes | None = None


MakeTables = Callable[[Target, Mapping[str, Iterable["TColumnSchema"]]], Mapping[str, bool]]
"""Makes what is missing of tables with these columns, and of dlt's own: see `stored_schema.make_tables`."""


def load_files(target: Target, files: Mapping[str, File], make_tables: MakeTables) -> None:
    """Merges the rows of each file into the table of the same name; a signal ends it between two statements.

    Each table is merged in a transaction of its own. Raises the errors of the drivers.
    """
    database, names = target.database.for_loads(), [*files, *_holders(target.catalogue, files)]
    stored, made = stored_columns_of(database, target.dataset, [*names, *DLT_TABLES]), dict[str, bool]()
    if _lacks({**DLT_TABLES, **{name: list(file.columns) for name, file in files.items()}}, stored):
        made = dict(make_tables(target, {name: file.columns.values() for name, file in files.items()}))
        stored = stored_columns_of(database, target.dataset, names)
    staged: Stored = {}
    if database.dialect == "postgres" and any(file.json is None for file in files.values()):
        create_missing(database, target.staging, {})
        staged = stored_columns_of(database, target.staging, files)
    for name, file in files.items():
        raise_if_interrupted()
        if file.json is not None:
            with database.transaction():
                stored = {**stored, **_merge_few(target, database, name, file, file.json, stored)}
            continue
        with database.transaction(), _staged(target, database, name, file, is_there=name in staged) as rows:
            if database.dialect == "postgres":  # other writers may have added columns while these rows were copied
                stored = {**stored, **stored_columns_of(database, target.dataset, [name])}
            alone = database.dialect == "duckdb" and made.get(name, False)
            told = replace(file, contents=replace(file.contents, alone=alone))
            arrival = "ctid" if database.dialect == "postgres" else FILE_ROW
            merge = _merge_of(target, database, name, told, (rows, arrival), stored)
            for statement in (*_statistics(merge), *merge.statements()):
                database.execute(statement)
    _note_load(target, database)


def _merge_few(target: Target, database: Database, name: str, file: File, json: bytes, stored: Stored) -> Stored:
    """Merges rows that go along as a parameter; returns the table's columns as they are now."""
    types: dict[str, str] = dict(database.execute(_TYPES, (target.dataset, name)))
    now: Stored = {name: list(types)}
    merge = _merge_of(target, database, name, file, ("staged", ARRIVAL), {**stored, **now})
    staged = staged_json({column: types[column] for column in file.columns}, "%s")
    for statement in merge.statements():
        database.execute(staged + statement.replace("%", "%%"), (json.decode(),))
    return now


def _lacks(wanted: Mapping[str, Sequence[str]], stored: Stored) -> bool:
    return any(not set(columns) <= set(stored.get(table, ())) for table, columns in wanted.items())


def stored_columns_of(database: Database, dataset: str, tables: Iterable[str]) -> Stored:
    """The tables that exist, of those named, with their columns."""
    columns: dict[str, list[str]] = {}
    for table, column in database.execute(_COLUMNS[database.dialect], (dataset, list(tables))):
        columns.setdefault(table, []).append(column)
    return columns


@contextmanager
def _staged(target: Target, database: Database, table: str, file: File, *, is_there: bool) -> Iterator[str]:
    """What a merge selects from: the SQL after FROM, valid within the transaction.

    DuckDB reads the Parquet file itself. Postgres gets an unlogged table, which nobody else ever sees: it is gone when
    the transaction ends. A table that `is_there` belongs to another owner: the role may empty it, but not drop it.
    """
    if database.dialect == "duckdb":
        path = str(file.path).replace("'", "''")
        yield f"read_parquet('{path}', file_row_number = true)"
        return
    name = _qualified(target.staging, table)
    if is_there:
        database.execute(f"TRUNCATE TABLE {name}")
    else:
        columns = ", ".join(_quoted(column) for column in file.columns)
        select = f"SELECT {columns} FROM {target.qualified(table)} WITH NO DATA"
        database.execute(f"CREATE UNLOGGED TABLE {name} WITH (autovacuum_enabled = false) AS {select}")
    database.copy_csv(name, file.path)
    yield name
    database.execute(f"{'TRUNCATE' if is_there else 'DROP'} TABLE {name}")


def _note_load(target: Target, database: Database) -> None:
    """dlt's row for a load, with the version of the united stored schema, which describes the tables."""
    version = (
        f"SELECT version_hash FROM {target.qualified('_dlt_version')} WHERE schema_name = %s"
        " ORDER BY inserted_at DESC LIMIT 1"
    )
    database.execute(
        f"INSERT INTO {target.qualified('_dlt_loads')} ({', '.join(LOADS)}) VALUES (%s, %s, 0, %s, ({version}))",
        (str(time.time()), target.schema, datetime.now(UTC), target.schema),
    )


def _holders(catalogue: Catalogue, names: Collection[str]) -> Iterable[str]:
    """The tables whose objects bring rows of these tables with them."""
    return (
        name for name, table in catalogue.tables.items() if any(embedded.table in names for embedded in table.embedded)
    )


def _statistics(merge: Merge) -> list[str]:
    """Children are joined with what is staged, which Postgres plans badly as long as it guesses how much that is.

    Of the columns that are joined by: those of JSON cost as much to look at as to merge.
    """
    if not merge.has_parent or merge.arrival != "ctid":
        return []
    columns = ", ".join(f'"{name}"' for name in dict.fromkeys((*merge.key, PARENT, AS_OF, SOURCE)))
    return [f"ANALYZE {merge.staging} ({columns})"]


def _merge_of(
    target: Target, database: Database, name: str, file: File, staged: tuple[str, str], stored: Stored
) -> Merge:
    """The merge of rows that are `staged`: where, and by what their order of arrival shows."""
    rows, arrival = staged
    known = target.catalogue.tables.get(name) or Table(name, ())
    others = [column for column in stored[name] if column not in file.columns and column not in dict(known.kept)]
    return Merge(
        target=target.qualified(name),
        staging=rows,
        columns=tuple(file.columns),
        key=tuple(column for column, hint in file.columns.items() if hint.get("primary_key")),
        arrival=arrival,
        holder=holder_of(target.catalogue, name, stored.__contains__, target.qualified),
        unseen=known.shown_on_request,
        others=_added_since(target, database, name, others),
        kept=tuple(dict(known.kept)),
        remade=known.chosen_id,
        witness=known.witness,
        contents=file.contents,
    )


def _added_since(target: Target, database: Database, table: str, more: Sequence[str]) -> tuple[str, ...]:
    """The columns, of `more`, that another writer has added since this package began; not those that a user added."""
    if not more:
        return ()
    newest = "SELECT schema FROM {} WHERE schema_name = %s ORDER BY inserted_at DESC LIMIT 1"
    found = database.execute(newest.format(target.qualified("_dlt_version")), (target.schema,))
    known = json.loads(found[0][0])["tables"].get(table, {}).get("columns", {}) if found else {}
    return tuple(name for name in more if name in known)


def _qualified(schema: str, table: str) -> str:
    return f"{_quoted(schema)}.{_quoted(table)}"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
