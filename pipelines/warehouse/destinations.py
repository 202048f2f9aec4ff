"""dlt's own `postgres` and `duckdb` destinations with real primary keys and a stored schema that writers share.

Rests on these hooks of dlt 1.31 (`tests/pipelines/loading/test_dlt_contract.py` fails loudly when an upgrade moves
them): `client_class`, `_get_constraints_sql`, `_make_create_table`, `update_stored_schema`, `_commit_schema_update`,
`complete_load`. Knows no Stripe resource: tables, keys and types come with the dlt schema.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from copy import copy
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from dlt.common.destination import Destination, DestinationCapabilitiesContext
from dlt.common.destination.typing import PreparedTableSchema
from dlt.common.schema import Schema
from dlt.common.schema.typing import TColumnSchema, TSchemaTables
from dlt.destinations import duckdb as dlt_duckdb
from dlt.destinations import postgres as dlt_postgres
from dlt.destinations.impl.duckdb.duck import DuckDbClient
from dlt.destinations.impl.postgres.postgres import PostgresClient
from dlt.destinations.job_client_impl import SqlJobClientBase

from pipelines.warehouse.merge import PARENT
from pipelines.warehouse.postgres.connections import Connections, SharingSqlClient
from pipelines.warehouse.postgres.dlt_credentials import LibpqConfiguration

SCHEMA_LOCK = 0x5747_5250  # one advisory lock for every change of a dataset's tables


class _SharedTables(SqlJobClientBase):
    """What both databases have in common: the keys, and a stored schema that two writers share."""

    _prepared: dict[str, PreparedTableSchema] | None = None

    def prepare_load_table(self, table_name: str) -> PreparedTableSchema:
        """As dlt's, which asks for each table many times, and copies it whole each time: once in each schema update."""
        if self._prepared is None:
            return super().prepare_load_table(table_name)
        if table_name not in self._prepared:
            self._prepared[table_name] = super().prepare_load_table(table_name)
        return self._prepared[table_name]

    def make_tables(self, tables: Iterable[str]) -> set[str]:
        """Creates what is missing of the dataset, of these tables and of their columns; returns the tables it made."""
        if not self.is_storage_initialized():
            self.initialize_storage()
        update = self.update_stored_schema(only_tables=list(tables)) or {}
        return {
            name
            for name, added in update.items()
            if any(column.get("primary_key") for column in added["columns"].values())
        }

    def _get_constraints_sql(self, table_name: str, new_columns: Sequence[TColumnSchema], generate_alter: bool) -> str:
        key = [self.sql_client.escape_column_name(str(c["name"])) for c in new_columns if c.get("primary_key")]
        if generate_alter or not key:
            return ""
        return f",\nPRIMARY KEY ({', '.join(key)})"

    def update_stored_schema(
        self,
        only_tables: Iterable[str] | None = None,
        expected_update: TSchemaTables | None = None,
        force: bool = False,
    ) -> TSchemaTables | None:
        """Creates what is missing under one lock, and adds it to the stored schema instead of replacing that."""
        names = list(only_tables or self.schema.tables)
        self._prepared = {}
        try:
            if not self._build_schema_update_sql(self.get_storage_tables(names))[1]:
                return {}
            with self.sql_client.begin_transaction():
                self._lock_tables()
                statements, update = self._build_schema_update_sql(self.get_storage_tables(names))
                self.sql_client.execute_many(statements)
                if update:
                    self._update_schema_in_storage(self._united_schema())
            return update
        finally:
            self._prepared = None

    def _united_schema(self) -> Schema:
        """The stored schema and what it lacks of ours: of a column that both know, the database has the stored type."""
        stored = self.get_stored_schema(self.schema.name)
        if stored is None:
            return self.schema
        united = Schema.from_dict(json.loads(stored.schema), validate_schema=False)  # it was when it was stored
        for name in self.schema.data_table_names():
            known = united.tables[name]["columns"] if name in united.tables else {}
            ours = copy(self.schema.tables[name])
            ours["columns"] = {column: hint for column, hint in ours["columns"].items() if column not in known}
            united.update_table(ours, normalize_identifiers=False)
        united._bump_version()
        return united

    def _commit_schema_update(self, schema: Schema, schema_str: str) -> None:
        """As dlt's, but dated after every version that is stored: the newest counts, and writers' clocks differ."""
        versions = self.sql_client.make_qualified_table_name(self.schema.version_table_name)
        newest = self.sql_client.execute_sql(f"SELECT max(inserted_at) FROM {versions}")
        stored = newest[0][0] if newest else None
        now = datetime.now(UTC)
        self.sql_client.execute_sql(
            f"INSERT INTO {versions} ({self.version_table_schema_columns}) VALUES (%s, %s, %s, %s, %s, %s)",
            schema.version,
            schema.ENGINE_VERSION,
            now if stored is None else max(now, stored + timedelta(microseconds=1)),
            schema.name,
            schema.stored_version_hash,
            schema_str,
        )

    def _lock_tables(self) -> None:
        """Holds every other change of tables off until the transaction ends."""


class GuardedPostgresClient(_SharedTables, PostgresClient):
    """Postgres: one lock for changes of tables, an index on children's parents."""

    def _lock_tables(self) -> None:
        self.sql_client.execute_sql(
            "SELECT pg_advisory_xact_lock(%s, hashtext(%s))", SCHEMA_LOCK, self.sql_client.dataset_name
        )

    def _get_table_post_update_sql(self, partial_table: Any) -> list[str]:
        table = self.sql_client.make_qualified_table_name(partial_table["name"])
        if PARENT not in partial_table["columns"]:
            return []
        return [f"CREATE INDEX ON {table} ({PARENT})"]


class GuardedDuckDbClient(_SharedTables, DuckDbClient):
    """DuckDB: one process has the file, so that a process-wide lock is lock enough."""


class _Guarded(Destination[Any, Any]):
    """dlt asks for the capabilities with each client, and reads the whole configuration for the answer: here once."""

    _explicit: Any = None

    def capabilities(self, config: Any = None, naming: Any = None) -> DestinationCapabilitiesContext:
        """As dlt's; without a `config` of the caller's, the one that was given to the destination is read once."""
        if config is None:
            if self._explicit is None:
                self._explicit = self.configuration(self.spec(), accept_partial=True)
            config = self._explicit
        return super().capabilities(config, naming)


class postgres(_Guarded, dlt_postgres):
    """dlt's `postgres` destination with our clients. Same configuration, same name."""

    spec = LibpqConfiguration  # type: ignore[assignment]  # dlt means the very class, a subclass serves

    def __init__(self, *args: Any, connections: Connections | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self._connections = connections or Connections()

    def client(self, schema: Schema, initial_config: Any = None) -> GuardedPostgresClient:
        """A client that shares connections with those before it."""
        made = cast("GuardedPostgresClient", super().client(schema, initial_config))
        made.sql_client = SharingSqlClient(made.sql_client, self._connections)
        return made

    @property
    def client_class(self) -> type[GuardedPostgresClient]:
        """The client that dlt makes for each step."""
        return GuardedPostgresClient


class duckdb(_Guarded, dlt_duckdb):
    """dlt's `duckdb` destination with our clients. Same configuration, same name."""

    @property
    def client_class(self) -> type[GuardedDuckDbClient]:
        """The client that dlt makes for each step."""
        return GuardedDuckDbClient
