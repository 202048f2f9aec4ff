"""The schemas in which packages are staged, and the removal of abandoned tables in them.

These tables hold copies of customers' data, and clients such as Metabase show them next to the real tables. The schemas
stay, because a role may be allowed to use a schema but not to create it. Knows no provider.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable

from pipelines.warehouse.database import Database
from pipelines.warehouse.problems import is_database_error, state_of
from pipelines.warehouse.rights import may_remake

LOG = logging.getLogger("stripe_elt")

_POSTGRES = """
SELECT n.nspname::text, c.relname::text, pg_has_role(c.relowner, 'USAGE')
FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE (n.nspname = %s OR starts_with(n.nspname, %s)) AND c.relkind = 'r'"""
_DUCKDB = """
SELECT table_schema, table_name, true FROM information_schema.tables
WHERE table_schema = %s OR starts_with(table_schema, %s)"""


def scope_of(part: str, account: str | None) -> str:
    """A name for the lock and the staging schema of a part of a run: lower case, at most 26 characters."""
    digest = hashlib.sha256(account.encode()).hexdigest()[:12] if account else "own"
    return f"{part}_{digest}"


def staging_dataset(dataset: str, scope: str) -> str:
    """The name of the schema in which the sessions of a scope stage their packages."""
    return f"{dataset}_staging_{scope}" if scope else f"{dataset}_staging"


def lock_name(dataset: str, scope: str) -> str:
    """The name of the run lock that the sessions of a scope take."""
    return f"{dataset}/{scope}" if scope else dataset


def drop_staged(database: Database, dataset: str, schema: str) -> None:
    """Drops the tables that a session has staged in a schema, at its end. If the database refuses, the next session
    tries again.
    """
    try:
        with database.transaction():
            _drop(database, schema, _staged(database, dataset).get(schema, []))
    except Exception as error:
        if not is_database_error(error):
            raise
        LOG.debug("staging tables were not dropped (%s)", state_of(error) or type(error).__name__)


def drop_staging(database: Database, dataset: str, scope: str) -> None:
    """Drops the staging schema of a finished part, which no other part may need again.

    If the role may not drop it, or could not create it again, drops only the tables that it owns.
    """
    schema = staging_dataset(dataset, scope)
    if may_remake(database, schema):
        database.execute(f'DROP SCHEMA IF EXISTS "{schema}" CASCADE')
    else:
        drop_staged(database, dataset, schema)


def drop_abandoned(database: Database, dataset: str, scope: str, *, others: bool) -> None:
    """Drops the staging tables of killed sessions of this scope, whose lock the caller holds.

    With `others`, also those of other scopes, unless a session has their lock. Raises the driver's errors.
    """
    for schema, tables in _staged(database, dataset).items():
        of = schema.removeprefix(staging_dataset(dataset, "")).removeprefix("_")
        if of != scope and not others:
            continue
        with database.transaction():
            if of == scope or _is_free(database, lock_name(dataset, of)):
                _drop(database, schema, tables)


def _staged(database: Database, dataset: str) -> dict[str, list[tuple[str, bool]]]:
    """schema -> its staged tables, and whether the role owns them."""
    sql = _POSTGRES if database.dialect == "postgres" else _DUCKDB
    found: dict[str, list[tuple[str, bool]]] = {}
    for schema, table, is_own in database.execute(sql, (staging_dataset(dataset, ""), f"{dataset}_staging_")):
        found.setdefault(schema, []).append((table, is_own))
    return found


def _is_free(database: Database, lock: str) -> bool:
    """Whether no session has this lock. If so, none can get it before the transaction ends."""
    if database.dialect != "postgres":
        return True  # only one process can open the file
    from pipelines.warehouse.postgres.run_lock import RUN_LOCK

    return bool(database.execute("SELECT pg_try_advisory_xact_lock(%s, hashtext(%s))", (RUN_LOCK, lock))[0][0])


def _drop(database: Database, schema: str, tables: Iterable[tuple[str, bool]]) -> None:
    """Drops the role's own tables, and empties those of another owner, for which staging needs the right anyway."""
    for table, is_own in tables:
        name = f'"{schema}"."{table}"'
        database.execute(f"DROP TABLE IF EXISTS {name}" if is_own else f"TRUNCATE {name}")
