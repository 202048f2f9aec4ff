"""The tables and columns that the database has, and adding those that it lacks, under the batch path's own lock.

The sink notices what the batch path adds: the newest version of dlt's stored schema is read in the snapshot of every
transaction, and when it is another one, the columns are read again before anything is merged. What the sink adds goes
through the same stored schema, so that the next batch run agrees with it. Knows no event and no HTTP.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Set

import pyarrow as pa
from dlt.common.destination.exceptions import DestinationException
from dlt.common.schema import Schema
from dlt.common.schema.utils import new_table
from dlt.dataset.utils import get_destination_clients

from pipelines.loading.dlt_configuration import own_configuration
from pipelines.loading.loader import Loader
from pipelines.warehouse.postgres_database import PostgresDatabase
from pipelines.warehouse.problems import advice_on_rights, database_error_of, state_of
from pipelines.warehouse.stored_schema import SCHEMA, stored_columns
from pipelines.warehouse.verdict import RACES, verdict_of
from sources.columns.arrow import ARROW_TYPES
from sources.columns.coerce import VARIANT_MARK
from sources.columns.columns import OWN_COLUMNS, ColumnType, all_columns
from sources.columns.contract import Contract, ContractedColumns
from sources.errors import StripeSourceError
from sources.stripe_api.catalogue import TABLES
from webhook_sink.commit.connection import Statement
from webhook_sink.commit.rows import MergeSql, merge_sql

NEWEST = f"""
SELECT version_hash FROM "{{dataset}}"._dlt_version WHERE schema_name = '{SCHEMA}' ORDER BY inserted_at DESC LIMIT 1"""

REFUSED_SECONDS, MOST_REFUSALS = 30.0, 100


class SchemaMoved(Exception):
    """The stored schema is not the one that the rows were made for, or another writer is changing it."""


class SchemaRefused(StripeSourceError):
    """The database will not have these tables and columns. The message names them and no value."""

    def __init__(self, needed: Mapping[str, Set[str]], error: BaseException) -> None:
        found = database_error_of(error) or error
        tables = "; ".join(f"{name}: {', '.join(sorted(columns))}"[:500] for name, columns in sorted(needed.items()))
        advice = advice_on_rights(found) or "The server's log says why."
        super().__init__(
            f"Postgres refuses to add the columns that the event needs ({state_of(found) or type(found).__name__}):"
            f" {tables}. {advice} Replay the event when the cause is gone."
        )


class SchemaState:
    """What is known of one dataset's tables. Used by one writer; the blocking parts run in threads, one at a time.

    `newest` asks for the newest version of the stored schema; `version` is the answer of when it was read last. `clock`
    gives seconds.
    """

    def __init__(
        self, conninfo: str, dataset: str, contract: Contract, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._conninfo, self._contract = conninfo, contract
        self.dataset = dataset
        self.newest = Statement(NEWEST.format(dataset=dataset).encode())
        self.version: list[tuple[str | None, ...]] = []
        self.columns = ContractedColumns({}, contract)
        self._stored: Mapping[str, Mapping[str, ColumnType]] = {}
        self._known: Mapping[str, Set[str]] = {}
        self._merge_sql: dict[str, MergeSql] = {}
        self._refusals: deque[tuple[float, Mapping[str, Set[str]], SchemaRefused]] = deque(maxlen=MOST_REFUSALS)
        self._clock = clock
        self._lock = threading.Lock()

    def missing(self, table: str, columns: Set[str]) -> Set[str]:
        """Which of these columns the table is not known to have; all of them where there is no such table."""
        return columns - self._known.get(table, frozenset())

    def lacks(self, table: str, columns: Set[str]) -> bool:
        """Whether a table, or one of these columns of it, is not known to be in the database."""
        known = self._known.get(table)
        return known is None or not columns <= known

    def merge_sql(self, table: str) -> MergeSql:
        """The SQL that merges rows into a table, with all columns that the table has."""
        sql = self._merge_sql.get(table)
        if sql is None:
            own = {name: kind for name, kind in OWN_COLUMNS.items() if name != "_parent_id" or TABLES[table].parent}
            sql = self._merge_sql[table] = merge_sql(self.dataset, table, {**own, **self._stored[table]}, self._stored)
        return sql

    async def create(self) -> None:
        """Makes the dataset and dlt's own tables where they are missing, and reads what is there."""
        await asyncio.to_thread(self._change, {})

    async def refresh(self) -> None:
        """Reads the stored schema again."""
        await asyncio.to_thread(self._read)

    async def add(self, needed: Mapping[str, Set[str]]) -> None:
        """Adds tables, with all columns that are known of them, and these columns to tables that are there.

        Raises SchemaRefused where the database will never have them, and its errors where it is away or busy.
        """
        wanted = {name: tuple(columns) for name, columns in needed.items()}
        for _ in range(2):  # a race for one table also undoes what was made of the others
            try:
                await asyncio.to_thread(self._change, wanted)
                return
            except SchemaMoved as moved:
                # Another writer's change shows in the stored schema: what lacks then was not made by one.
                await self.refresh()
                if not any(self.lacks(name, columns) for name, columns in needed.items()):
                    return
                refusal = SchemaRefused(needed, moved)
            except Exception as error:
                if verdict_of(error) != "refused":
                    raise
                raise SchemaRefused(needed, error) from None
        raise refusal

    def refuse(self, needed: Mapping[str, Set[str]], refusal: SchemaRefused) -> None:
        """Remembers for a while that the database will not have these, so that not every event asks again."""
        self._refusals.append((self._clock() + REFUSED_SECONDS, needed, refusal))

    def refusal(self, needed: Mapping[str, Set[str]]) -> SchemaRefused | None:
        """Why the database will not have these, where that is remembered of some of them."""
        while self._refusals and self._refusals[0][0] <= self._clock():
            self._refusals.popleft()
        for _, refused, refusal in self._refusals:
            if all(columns <= needed.get(name, frozenset()) for name, columns in refused.items()):
                return refusal
        return None

    def _change(self, needed: Mapping[str, Iterable[str]]) -> None:
        with self._lock:
            database = PostgresDatabase(self._conninfo)
            try:
                with own_configuration():
                    self._update(database, needed)
            finally:
                database.close()
        self._read()

    def _update(self, database: PostgresDatabase, needed: Mapping[str, Iterable[str]]) -> None:
        """One change of dlt's stored schema and of the tables, in one transaction under the schema's lock."""
        loader = Loader(database, self.dataset, self.columns)
        schema = Schema(SCHEMA)
        for name, columns in needed.items():
            variants = [(column, _variant(column)) for column in columns if VARIANT_MARK in column]
            # Not what else was learned meanwhile: another event's column may be one that the database refuses.
            wanted = {*columns, *OWN_COLUMNS, *all_columns(name), *self._stored.get(name, ())}
            hints = [hint for column, hint in loader.hints(name, pa.schema(variants)).items() if column in wanted]
            schema.update_table(new_table(name, write_disposition="merge", columns=hints))
        schema._bump_version()
        client, _ = get_destination_clients(
            schema, destination=database.destination(), destination_dataset_name=self.dataset
        )
        loader.refuse_another_target(client)
        said: BaseException | None = None
        try:
            with client:
                if not client.is_storage_initialized():
                    client.initialize_storage()
                client.update_stored_schema(only_tables=[*needed, *schema.dlt_table_names()])
        except DestinationException as error:
            said = database_error_of(error)
            if said is None or verdict_of(said) == "moved" or state_of(said) in RACES:
                # Two writers that make the same dataset or column at once: the second one looks again.
                raise SchemaMoved from error
        if said is not None:  # outside the handler, so that the chain of exceptions has no cycle
            raise said

    def _read(self) -> None:
        with self._lock:
            database = PostgresDatabase(self._conninfo)
            try:
                version = database.execute(self.newest.sql.decode())
                stored = stored_columns(database, self.dataset)
            finally:
                database.close()
            self.version = version
            self._stored = {name: columns for name, columns in stored.items() if name in TABLES}
            self._known = {name: columns.keys() | OWN_COLUMNS.keys() for name, columns in stored.items()}
            self._merge_sql = {}
            self.columns = ContractedColumns(stored, self._contract)


def _variant(column: str) -> pa.DataType:
    kinds: Mapping[str, ColumnType] = {"text": "text", "bigint": "bigint", "double": "double", "bool": "bool"}
    return ARROW_TYPES[kinds.get(column.rpartition(VARIANT_MARK)[2], "json")]
