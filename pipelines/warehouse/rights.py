"""Checks the role's rights in the database before anything is done, and creates only what is missing.

`CREATE SCHEMA IF NOT EXISTS` requires the right to create even if the schema exists, so it would fail for a role that
may only load. Messages name a missing right with the statement that grants it; docs/postgres.md has the smallest roles.
DuckDB has no roles: whoever can write the file may do everything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from pipelines.warehouse.database import Database
from pipelines.warehouse.problems import DatabaseProblem

LOCK = 0x5747_5252  # one process at a time creates what is missing
DLT_TABLES = ("_dlt_loads", "_dlt_pipeline_state", "_dlt_version")
LONGEST_LIST = 3  # how many tables a message names

_WHERE = (
    "SELECT current_user::text, current_database()::text, has_database_privilege(current_database(), 'CREATE')::boolean"
)
_SCHEMAS = """
SELECT nspname::text, has_schema_privilege(oid, 'USAGE'), has_schema_privilege(oid, 'CREATE')
FROM pg_catalog.pg_namespace WHERE nspname = ANY (%s)"""
_TABLES = """
SELECT n.nspname::text, c.relname::text, has_table_privilege(c.oid, 'SELECT'), has_table_privilege(c.oid, 'INSERT'),
    has_table_privilege(c.oid, 'UPDATE'), has_table_privilege(c.oid, 'DELETE'), has_table_privilege(c.oid, 'TRUNCATE'),
    row_security_active(c.oid), pg_has_role(c.relowner, 'USAGE')
FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = ANY (%s) AND c.relkind IN ('r', 'p') ORDER BY 1, 2"""
_REMADE = """
SELECT has_database_privilege(current_database(), 'CREATE')
    AND coalesce((SELECT pg_has_role(nspowner, 'USAGE') FROM pg_catalog.pg_namespace WHERE nspname = %s), true)"""
_RELATIONS = """
SELECT c.relname::text FROM pg_catalog.pg_namespace AS n LEFT JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid
WHERE n.nspname = %s"""

_IN_DUCKDB = """
SELECT table_name FROM duckdb_tables() WHERE schema_name = %s
UNION ALL SELECT index_name FROM duckdb_indexes() WHERE schema_name = %s"""


class Lack(NamedTuple):
    """A missing right, as the end of "the role may not …", and the statement that grants it."""

    right: str
    statement: str


class Schema(NamedTuple):
    """A schema, and what the role may do in it."""

    name: str
    may_use: bool
    may_create: bool


class Table(NamedTuple):
    """A table, and what the role may do with it. `is_filtered`: policies hide rows from the role."""

    schema: str
    name: str
    may_select: bool
    may_insert: bool
    may_update: bool
    may_delete: bool
    may_truncate: bool
    is_filtered: bool
    is_own: bool


def create_missing(database: Database, schema: str, relations: Mapping[str, str]) -> None:
    """Creates the schema, and its tables and indexes (name -> `CREATE … IF NOT EXISTS …`), if they are missing.

    Only one process does this at a time. Must not be called within a transaction. Raises `DatabaseProblem` for missing
    rights.
    """
    create = f"CREATE SCHEMA IF NOT EXISTS {_quoted(schema)}"
    if database.dialect != "postgres":
        for statement in (create, *relations.values()):
            database.execute(statement)
    elif _missing(database, schema, relations) != (True, []):
        with database.transaction():
            database.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", (LOCK, schema))
            refuse_missing(database, schema, list(relations))
            is_there, missing = _missing(database, schema, relations)
            for statement in ([] if is_there else [create]) + [relations[name] for name in missing]:
                database.execute(statement)


def missing_statements(database: Database, schema: str, relations: Mapping[str, str]) -> list[str]:
    """The statements that `create_missing` would execute; empty if nothing is missing."""
    if database.dialect == "postgres":
        is_there, missing = _missing(database, schema, relations)
    else:
        found = {name for (name,) in database.execute(_IN_DUCKDB, (schema, schema))}
        is_there = bool(database.execute("SELECT 1 FROM duckdb_schemas() WHERE schema_name = %s", (schema,)))
        missing = [name for name in relations if name not in found]
    create = f"CREATE SCHEMA IF NOT EXISTS {_quoted(schema)}"
    return ([] if is_there else [create]) + [relations[name].strip() for name in missing]


def _missing(database: Database, schema: str, relations: Iterable[str]) -> tuple[bool, list[str]]:
    """Whether the schema exists, and the relations that do not."""
    found = {name for (name,) in database.execute(_RELATIONS, (schema,))}
    return bool(found), [name for name in relations if name not in found]


def check_rights(database: Database, dataset: str, staging: Sequence[str], written: Mapping[str, bool]) -> None:
    """Raises `DatabaseProblem`, which names every missing right for a load into the dataset, and the statements that
    grant it.

    `staging` are the staging schemas that the load uses; `written` are the tables that the caller writes besides dlt's
    -> whether it deletes rows from them. All other tables in the dataset belong to users.
    """
    if database.dialect != "postgres":
        return
    role, name, may_create = database.execute(_WHERE)[0]
    names = [dataset, *staging]
    schemas = {row[0]: Schema(*row) for row in database.execute(_SCHEMAS, (names,))}
    tables = [Table(*row) for row in database.execute(_TABLES, (names,))]
    _refuse(role, name, lacking(role, may_create, dataset, staging, schemas, tables, written))


def may_remake(database: Database, schema: str) -> bool:
    """Whether the role can drop the schema and create it again. This takes two rights: to own it, and to create
    schemas.
    """
    return database.dialect != "postgres" or bool(database.execute(_REMADE, (schema,))[0][0])


def refuse_missing(database: Database, schema: str, wanted: Sequence[str]) -> None:
    """Raises `DatabaseProblem` if these relations of a schema are missing and the role may not create them."""
    role, name, may_create = database.execute(_WHERE)[0]
    is_there, missing = _missing(database, schema, wanted)
    if not is_there:
        _refuse(role, name, [] if may_create else [_no_schema(role, schema)])
    elif missing:
        found = Schema(*database.execute(_SCHEMAS, ([schema],))[0])
        _refuse(role, name, [] if found.may_use and found.may_create else [_no_table(role, schema, missing)])


def lacking(
    role: str,
    may_create: bool,
    dataset: str,
    staging: Sequence[str],
    schemas: Mapping[str, Schema],
    tables: Sequence[Table],
    written: Mapping[str, bool],
) -> list[Lack]:
    """The rights that are missing for loading, in the order in which to grant them. `written`: see `check_rights`."""
    deleted_from = {**dict.fromkeys(DLT_TABLES, False), **written}
    lacks: list[Lack] = []
    for name in (dataset, *staging):
        schema = schemas.get(name)
        if schema is None:
            lacks += [] if may_create else [_no_schema(role, name)]
        elif not schema.may_use or (name != dataset and not schema.may_create):
            rights = "USAGE" if name == dataset else "USAGE, CREATE"
            lacks.append(
                Lack(f"use the schema {name}", f"GRANT {rights} ON SCHEMA {_quoted(name)} TO {_quoted(role)};")
            )
    relevant = [table for table in tables if table.schema != dataset or table.name in deleted_from]
    for name in schemas:
        there = [table for table in relevant if table.schema == name]
        if name == dataset:
            refused = [table for table in there if not _may_write(table, delete=deleted_from[table.name])]
        else:
            refused = [table for table in there if not _may_stage(table)]
        if refused:
            rights = "SELECT, INSERT, UPDATE, DELETE" if name == dataset else "SELECT, INSERT, TRUNCATE"
            lacks.append(
                Lack(
                    f"write {_list([table.name for table in refused])} in the schema {name}",
                    f"GRANT {rights} ON ALL TABLES IN SCHEMA {_quoted(name)} TO {_quoted(role)};",
                )
            )
    lacks += [_filtered(role, table) for table in relevant if table.is_filtered]
    return lacks


def _refuse(role: str, database: str, lacks: Sequence[Lack]) -> None:
    if lacks:
        rights = "; ".join(lack.right for lack in lacks)
        statements = " ".join(dict.fromkeys(lack.statement for lack in lacks))
        raise DatabaseProblem(
            f"The role {role} lacks rights in the database {database}. It may not: {rights}. Run these"
            f" statements there as the owner of the database (see docs/postgres.md): {statements} Nothing was"
            " loaded."
        )


def _no_schema(role: str, schema: str) -> Lack:
    return Lack(
        f"create the schema {schema}, which is missing",
        f"CREATE SCHEMA {_quoted(schema)} AUTHORIZATION {_quoted(role)};",
    )


def _no_table(role: str, schema: str, wanted: Sequence[str]) -> Lack:
    return Lack(
        f"create {_list(wanted)} in the schema {schema}",
        f"GRANT USAGE, CREATE ON SCHEMA {_quoted(schema)} TO {_quoted(role)};",
    )


def _filtered(role: str, table: Table) -> Lack:
    name = f"{_quoted(table.schema)}.{_quoted(table.name)}"
    own, other = f"ALTER TABLE {name} NO FORCE ROW LEVEL SECURITY;", f"ALTER ROLE {_quoted(role)} BYPASSRLS;"
    return Lack(f"see all rows of {table.name}, because row level security hides some", own if table.is_own else other)


def _may_write(table: Table, *, delete: bool) -> bool:
    return table.may_select and table.may_insert and table.may_update and (table.may_delete or not delete)


def _may_stage(table: Table) -> bool:
    return table.may_select and table.may_insert and table.may_truncate


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _list(names: Sequence[str]) -> str:
    more = len(names) - LONGEST_LIST
    return ", ".join(names[:LONGEST_LIST]) + (f" and {more} more tables" if more > 0 else "")
