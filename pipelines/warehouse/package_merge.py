"""Merges a package: stages and merges each table's rows in one transaction, and records the load in `_dlt_loads`.

`make_tables` is only called if a table or a column is missing. Tables, keys and types come from dlt's hints; holders of
children, and columns that events do not show, from the catalogue.
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
"""table -> all columns that it has in the database; only tables that exist."""
LOADS = ("load_id", "schema_name", "status", "inserted_at", "schema_version_hash")
VERSIONS = ("version", "engine_version", "inserted_at", "schema_name", "version_hash", "schema")
DLT_TABLES: Mapping[str, Sequence[str]] = {"_dlt_loads": LOADS, "_dlt_version": VERSIONS}
"""dlt's own tables -> their columns."""

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
"""The columns of a table in Postgres, with their SQL types."""


@dataclass(frozen=True, slots=True)
class Target:
    """The target of a package: `schema` is the stored schema's name, `staging` the schema in which rows are staged."""

    database: Database
    catalogue: Catalogue
    schema: str
    dataset: str
    staging: str

    def qualified(self, table: str) -> str:
        """The quoted name of a table of the dataset."""
        return _qualified(self.dataset, table)


@dataclass(frozen=True, slots=True)
class File:
    """A table's rows as CSV for Postgres or Parquet for DuckDB, its columns as dlt's hints, and the kinds of its rows.

    `json` are few rows for Postgres, for `staged_json`; then there is no file, because creating and dropping a staging
    table would take longer than the merge.
    """

    path: Path
    columns: Mapping[str, TColumnSchema]
    contents: Contents = Contents()
    json: bytes | None = None


MakeTables = Callable[[Target, Mapping[str, Iterable["TColumnSchema"]]], Mapping[str, bool]]
"""Creates missing tables and columns, dlt's own tables included: see `stored_schema.make_tables`."""


def load_files(target: Target, files: Mapping[str, File], make_tables: MakeTables) -> None:
    """Merges the rows of each file into the table of the same name, each table in a transaction of its own.

    A signal interrupts it between two statements. Raises the errors of the drivers.
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
    """Merges rows that are a parameter of the statement; returns the table's present columns."""
    # Until the commit, no other writer can add a column: the merge would not clear it in the rows that it replaces.
    database.execute(f"LOCK TABLE {target.qualified(name)} IN ACCESS SHARE MODE")
    types: dict[str, str] = dict(database.execute(_TYPES, (target.dataset, name)))
    now: Stored = {name: list(types)}
    merge = _merge_of(target, database, name, file, ("staged", ARRIVAL), {**stored, **now})
    staged = staged_json({column: types.get(column, "text") for column in file.columns}, "%s")
    for statement in merge.statements():
        database.execute(staged + statement.replace("%", "%%"), (json.decode(),))
    return now


def _lacks(wanted: Mapping[str, Sequence[str]], stored: Stored) -> bool:
    return any(not set(columns) <= set(stored.get(table, ())) for table, columns in wanted.items())


def stored_columns_of(database: Database, dataset: str, tables: Iterable[str]) -> Stored:
    """The named tables that exist, with their columns."""
    columns: dict[str, list[str]] = {}
    for table, column in database.execute(_COLUMNS[database.dialect], (dataset, list(tables))):
        columns.setdefault(table, []).append(column)
    return columns


@contextmanager
def _staged(target: Target, database: Database, table: str, file: File, *, is_there: bool) -> Iterator[str]:
    """Yields the relation that a merge selects from, as SQL, valid within the transaction.

    DuckDB reads the Parquet file itself. Postgres gets an unlogged table, which no other session sees and which is
    dropped before the transaction ends. A table that `is_there` already belongs to another owner: the role may empty
    it, but not drop it.
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
    """Writes dlt's row for a load, with the version of the stored schema."""
    version = (
        f"SELECT version_hash FROM {target.qualified('_dlt_version')} WHERE schema_name = %s"
        " ORDER BY inserted_at DESC LIMIT 1"
    )
    database.execute(
        f"INSERT INTO {target.qualified('_dlt_loads')} ({', '.join(LOADS)}) VALUES (%s, %s, 0, %s, ({version}))",
        (str(time.time()), target.schema, datetime.now(UTC), target.schema),
    )


def _holders(catalogue: Catalogue, names: Collection[str]) -> Iterable[str]:
    """The tables whose objects contain rows of these tables."""
    return (
        name for name, table in catalogue.tables.items() if any(embedded.table in names for embedded in table.embedded)
    )


def _statistics(merge: Merge) -> list[str]:
    """The statement that creates statistics of staged rows, without which Postgres plans the join with children badly.

    Only for the join columns: analyzing JSON columns costs as much as the merge.
    """
    if not merge.has_parent or merge.arrival != "ctid":
        return []
    columns = ", ".join(f'"{name}"' for name in dict.fromkeys((*merge.key, PARENT, AS_OF, SOURCE)))
    return [f"ANALYZE {merge.staging} ({columns})"]


def _merge_of(
    target: Target, database: Database, name: str, file: File, staged: tuple[str, str], stored: Stored
) -> Merge:
    """The merge of staged rows. `staged` is the relation, and the expression for the order of arrival."""
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
    """The columns in `more` that another writer has added since this package began; not those that a user added."""
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
