"""Creates tables and columns that a dataset lacks, and records them in dlt's stored schema, as dlt's own clients do.

`_dlt_version` describes the tables for every writer, and for dlt itself. Importing dlt would take longer than all of
this, and its clients send each statement separately. `tests/pipelines/warehouse/test_stored_schema.py` compares the
tables and the schema with those that the installed dlt creates. Knows no provider: tables come with dlt's hints.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import orjson

from pipelines.warehouse.database import ENGINE_VERSION, Database
from pipelines.warehouse.merge import PARENT
from pipelines.warehouse.package_merge import Stored, Target, stored_columns_of
from pipelines.warehouse.rights import create_missing

if TYPE_CHECKING:
    from dlt.common.schema.typing import TColumnSchema

    from sources.catalogue import ColumnType

SCHEMA_LOCK = 0x5747_5250  # one advisory lock for every change of a dataset's tables
REMEMBERED = 10  # hashes of earlier versions that a stored schema names

TYPES: Mapping[str, Mapping[ColumnType, str]] = {
    "postgres": {
        "text": "character varying",
        "bigint": "bigint",
        "double": "double precision",
        "bool": "boolean",
        "timestamp": "timestamp with time zone",
        "decimal": "numeric",
        "json": "jsonb",
    },
    "duckdb": {
        "text": "VARCHAR",
        "bigint": "BIGINT",
        "double": "DOUBLE",
        "bool": "BOOLEAN",
        "timestamp": "TIMESTAMP WITH TIME ZONE",
        "decimal": "DECIMAL",
        "json": "JSON",
    },
}
"""The database's type for each of our column types, without precision, as the database shows it."""


def _own(name: str, description: str, columns: Iterable[tuple[str, str, bool, str]]) -> dict[str, Any]:
    """One of dlt's own tables in a schema. A column consists of its name, type, whether it can be null, and
    description.
    """
    hints: dict[str, dict[str, Any]] = {
        column: {"name": column, "data_type": kind, "nullable": nullable, "description": about}
        for column, kind, nullable, about in columns
    }
    made = {"name": name, "columns": hints, "write_disposition": "skip", "resource": name, "description": description}
    if "load_id" in hints:
        hints["load_id"]["precision"] = 64
    return made


VERSION_TABLE = _own(
    "_dlt_version",
    "Created by DLT. Tracks schema updates",
    (
        ("version", "bigint", False, "Numeric version of the schema, incremented on each schema change"),
        ("engine_version", "bigint", False, "Version of the dlt schema engine that created this schema"),
        ("inserted_at", "timestamp", False, "Timestamp when this schema version was stored"),
        ("schema_name", "text", False, "Name of the schema"),
        ("version_hash", "text", False, "Unique hash of the schema content, used to detect changes"),
        ("schema", "text", False, "JSON representation of the complete schema definition"),
    ),
)
LOADS_TABLE = _own(
    "_dlt_loads",
    "Created by DLT. Tracks completed loads",
    (
        ("load_id", "text", False, "Unique identifier of the load operation"),
        ("schema_name", "text", True, "Name of the schema associated with this load"),
        ("status", "bigint", False, "Status of the load operation (0 = success)"),
        ("inserted_at", "timestamp", False, "Timestamp when the load was completed"),
        ("schema_version_hash", "text", True, "Hash of the schema version used during this load"),
    ),
)
_SETTINGS = {
    "detections": ["iso_timestamp"],
    "default_hints": {
        "not_null": ["_dlt_id", "_dlt_root_id", "_dlt_parent_id", "_dlt_list_idx", "_dlt_load_id"],
        "parent_key": ["_dlt_parent_id"],
        "root_key": ["_dlt_root_id"],
        "unique": ["_dlt_id"],
        "row_key": ["_dlt_id"],
    },
}
_NORMALIZERS = {"names": "snake_case", "json": {"module": "dlt.common.normalizers.json.relational"}}

Tables = Mapping[str, Iterable["TColumnSchema"]]
"""table -> its columns, the key first, in dlt's terms."""


def make_tables(target: Target, tables: Tables) -> dict[str, bool]:
    """Creates what is missing of these tables and of dlt's own; returns the changed tables, and whether each is new.

    Runs in one transaction, under the lock of the dataset's schema. Raises the driver's errors.
    """
    database = target.database.for_loads()
    create_missing(database, target.dataset, {})
    wanted = with_own(tables)
    with database.transaction():
        if database.dialect == "postgres":
            database.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", (SCHEMA_LOCK, target.dataset))
        there = stored_columns_of(database, target.dataset, wanted)
        if statements := table_statements(target, wanted, there):
            database.execute_all(statements)
        _store(database, target, tables)  # always: a user may have created columns that the stored schema lacks
    return {name: name not in there for name in tables if _columns_missing(wanted[name], there.get(name, ()))}


def table_statements(target: Target, tables: Tables, there: Stored) -> list[str]:
    """The statements that create the tables and columns that are not `there`, as dlt would create them."""
    dialect, statements, indexes = target.database.dialect, list[str](), list[str]()
    for name, hints in tables.items():
        columns = _columns_missing(hints, there.get(name, ()))
        if not columns:
            continue
        table, defined = target.qualified(name), [_definition(hint, dialect) for hint in columns.values()]
        if name not in there:
            key = ", ".join(f'"{column}"' for column, hint in columns.items() if hint.get("primary_key"))
            parts = [*defined, f"PRIMARY KEY ({key})"] if key else defined
            statements.append(f"CREATE TABLE {table} ({', '.join(parts)})")
        elif dialect == "postgres":
            statements.append(f"ALTER TABLE {table} {', '.join(f'ADD COLUMN {column}' for column in defined)}")
        else:
            statements += [f"ALTER TABLE {table} ADD COLUMN {column}" for column in defined]
        if PARENT in columns and dialect == "postgres":
            indexes.append(f"CREATE INDEX ON {table} ({PARENT})")
    return statements + indexes


def with_own(tables: Tables) -> dict[str, list[Any]]:
    """These tables, and dlt's own tables that every writer needs."""
    own = {table["name"]: list(table["columns"].values()) for table in (VERSION_TABLE, LOADS_TABLE)}
    return {**{name: list(hints) for name, hints in tables.items()}, **own}


def _columns_missing(hints: Iterable[TColumnSchema], there: Collection[str]) -> dict[str, TColumnSchema]:
    return {str(hint["name"]): hint for hint in hints if hint["name"] not in there}


def _definition(hint: TColumnSchema, dialect: str) -> str:
    named = cast("ColumnType", hint["data_type"])
    precision = "38,12" if named == "decimal" else str(hint.get("precision") or "") if dialect == "postgres" else ""
    kind = f"{TYPES[dialect][named]}({precision})" if precision else TYPES[dialect][named]
    return f'"{hint["name"]}" {kind}{"" if hint.get("nullable", True) else " NOT NULL"}'


def _store(database: Database, target: Target, tables: Tables) -> None:
    """Adds tables to the stored schema, if it lacks any of them or of their columns.

    The new version is dated after every stored one, because dlt reads the newest, and clocks differ.
    """
    versions = target.qualified("_dlt_version")
    newest = f"SELECT schema FROM {versions} WHERE schema_name = %s ORDER BY inserted_at DESC LIMIT 1"
    found = database.execute(newest, (target.schema,))
    stored = orjson.loads(found[0][0]) if found else None
    if stored is not None and not _lacks(stored, tables):
        return
    schema = united(stored, target.schema, tables)
    now = datetime.now(UTC)
    later = f"greatest(%s, (SELECT coalesce(max(inserted_at) + INTERVAL '1 microsecond', %s) FROM {versions}))"
    database.execute(
        f"INSERT INTO {versions} (version, engine_version, inserted_at, schema_name, version_hash, schema)"
        f" VALUES (%s, %s, {later}, %s, %s, %s)",
        (
            schema["version"],
            schema["engine_version"],
            now,
            now,
            schema["name"],
            schema["version_hash"],
            orjson.dumps(schema).decode(),
        ),
    )


def _lacks(stored: Mapping[str, Any], tables: Tables) -> bool:
    known = {name: table["columns"] for name, table in stored["tables"].items()}
    return any(_columns_missing(hints, known.get(name, ())) for name, hints in tables.items())


def united(stored: Mapping[str, Any] | None, name: str, tables: Tables) -> dict[str, Any]:
    """The stored schema with these tables added. A column that the stored schema has keeps its stored type."""
    schema = dict(_of_this_format(stored)) if stored is not None else _empty(name)
    known = schema["tables"] = dict(schema["tables"])
    for table, hints in tables.items():
        before = known.get(table, {"name": table, "columns": {}})
        columns = {hint["name"]: hint for hint in hints} | before["columns"]
        ordered = {column: columns[column] for column in (*before["columns"], *columns)}
        known[table] = {**before, "columns": ordered, "write_disposition": "merge", "resource": table}
    return _versioned(schema)


def _empty(name: str) -> dict[str, Any]:
    """dlt's schema without our tables and without an earlier version."""
    return {
        "version": 1,
        "version_hash": None,
        "engine_version": ENGINE_VERSION,
        "name": name,
        "tables": {table["name"]: table for table in (VERSION_TABLE, LOADS_TABLE)},
        "settings": _SETTINGS,
        "normalizers": _NORMALIZERS,
        "previous_hashes": [],
    }


def _of_this_format(stored: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema in the format of the installed dlt. A format that is older than this project is converted by dlt."""
    if stored["engine_version"] == ENGINE_VERSION:
        return stored
    from dlt.common.schema import Schema  # takes a second

    return Schema.from_dict(dict(stored)).to_dict()


def _versioned(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with its hash and, if the hash has changed, the next version number."""
    made, before = hash_of(schema), schema["version_hash"]
    if before is None or made == before:
        return {**schema, "version_hash": made}
    earlier: Sequence[str] = schema["previous_hashes"]
    hashes = list(earlier) if before in earlier else [before, *earlier][:REMEMBERED]
    return {**schema, "version": schema["version"] + 1, "version_hash": made, "previous_hashes": hashes}


def hash_of(schema: Mapping[str, Any]) -> str:
    """dlt's hash of a schema's content, by which it knows a version (`generate_version_hash` in its schema utils)."""
    left_out = ("version", "version_hash", "imported_version_hash", "previous_hashes")
    content = {name: value for name, value in schema.items() if name not in left_out}
    digest = hashlib.sha3_256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS))
    for name, table in sorted(schema["tables"].items()):
        digest.update("".join([name, *table.get("columns", ())]).encode())  # the order of columns counts too
    return base64.b64encode(digest.digest()).decode("ascii")
