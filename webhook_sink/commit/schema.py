"""The tables and columns that the database has. Adds those that it lacks, under the same lock as a batch run.

A batch run may add columns at any time. Each of the sink's transactions therefore reads the version of dlt's stored
schema in its own snapshot, and if the version has changed, the columns are read again before anything is merged. What
the sink adds goes through the same stored schema, so that the next batch run agrees with it. Knows no event, no HTTP.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from contextlib import closing

from pipelines.models.live import LiveViews
from pipelines.privacy.forgotten import create_forgotten, read_forgotten
from pipelines.warehouse.database import has_table, stored_columns
from pipelines.warehouse.postgres_database import PostgresDatabase
from pipelines.warehouse.problems import advice_on_rights, database_error_of, state_of
from pipelines.warehouse.verdict import verdict_of
from sources.catalogue import ColumnType
from sources.columns.columns import OWN_COLUMNS, own_columns
from sources.columns.contract import Contract, ContractedColumns
from sources.errors import ConnectorError
from sources.privacy import Privacy
from sources.provider import Provider
from webhook_sink.commit.connection import Statement
from webhook_sink.commit.rows import JsonRow, MergeSql, merge_sql, part_sql

log = logging.getLogger("stripe_elt.sink")

VERSION_QUERY = """
SELECT version_hash, (SELECT extract(epoch FROM max(forgotten_at))::text FROM "{dataset}".sync_forgotten)
FROM "{dataset}"._dlt_version WHERE schema_name = '{schema}' ORDER BY inserted_at DESC LIMIT 1"""
LOCK_FORGOTTEN = 'LOCK TABLE "{dataset}".sync_forgotten IN ACCESS SHARE MODE'
"""Before a transaction's first query: its snapshot then shows everybody who is forgotten until its end."""

DLT_TABLES = ("_dlt_version", "_dlt_loads")
"""dlt's own tables, which every writer needs."""

REFUSED_SECONDS, MOST_REFUSALS = 30.0, 100
MOST_PART_SQL = 200
"""Statements for parts of objects that are kept, one for each table and set of columns."""

TableColumns = Mapping[str, Set[str]]
"""Names of tables, each with names of its columns."""


class SchemaChanged(Exception):
    """The stored schema is not the one that the rows were made for, or another writer is changing it."""


class SchemaRefused(ConnectorError):
    """The database refuses to add these tables and columns. The message names them, and holds no value."""

    def __init__(self, needed: TableColumns, error: BaseException) -> None:
        found = database_error_of(error) or error
        tables = "; ".join(f"{name}: {', '.join(sorted(columns))}"[:500] for name, columns in sorted(needed.items()))
        advice = advice_on_rights(found) or "The server's log says why."
        super().__init__(
            f"Postgres refuses to add the columns that the event needs ({state_of(found) or type(found).__name__}):"
            f" {tables}. {advice} Replay the event when the cause is gone."
        )


class SchemaState:
    """What is known of one dataset's tables. Used by one writer; the blocking parts run in threads, one at a time.

    `version_query` asks for the newest version of the stored schema, and for when somebody was forgotten last;
    `version` is the answer when it was last read. `lock_forgotten` comes before it, see `LOCK_FORGOTTEN`.
    `clock` gives seconds.
    """

    def __init__(
        self,
        conninfo: str,
        dataset: str,
        provider: Provider,
        contract: Contract,
        privacy: Privacy | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._conninfo, self._contract = conninfo, contract
        self.dataset, self._schema, self.catalogue = dataset, provider.name, provider.catalogue
        self.version_query = Statement(VERSION_QUERY.format(dataset=dataset, schema=provider.name).encode())
        self.lock_forgotten = Statement(LOCK_FORGOTTEN.format(dataset=dataset).encode())
        self._views = LiveViews(dataset, provider.name, provider.catalogue)
        self.version: list[tuple[str | None, ...]] = []
        self.columns = ContractedColumns(self.catalogue, {}, contract, privacy)
        self._stored: Mapping[str, Mapping[str, ColumnType]] = {}
        self._known: TableColumns = {}
        self._merge_sql: dict[str, MergeSql] = {}
        self._part_sql: dict[tuple[str, frozenset[str]], bytes] = {}
        self._refusals: deque[tuple[float, TableColumns, SchemaRefused]] = deque(maxlen=MOST_REFUSALS)
        self._clock = clock
        self._lock = threading.Lock()

    def lacks(self, table: str, columns: Set[str]) -> bool:
        """Whether the table, or one of these columns of it, is not known to be in the database."""
        known = self._known.get(table)
        return known is None or not columns <= known

    def missing(self, rows: Mapping[str, Sequence[JsonRow]]) -> TableColumns:
        """Tables and columns that these rows need, and that are not known to be in the database."""
        needed: dict[str, set[str]] = {}
        for table, table_rows in rows.items():
            for row in table_rows:
                if self.lacks(table, row.columns):
                    needed.setdefault(table, set()).update(row.columns)
        return self._missing(needed)

    def merge_sql(self, table: str) -> MergeSql:
        """The SQL that merges rows into a table, with all columns that the table has."""
        sql = self._merge_sql.get(table)
        if sql is None:
            columns = {**own_columns(self.catalogue.tables[table]), **self._stored[table]}
            sql = self._merge_sql[table] = merge_sql(self.catalogue, self.dataset, table, columns, self._stored)
        return sql

    def part_sql(self, table: str, shown: frozenset[str]) -> bytes:
        """The SQL that merges parts of objects into a table: rows that speak for these columns alone."""
        sql = self._part_sql.get((table, shown))
        if sql is None:
            if len(self._part_sql) >= MOST_PART_SQL:
                self._part_sql.clear()
            columns = {**own_columns(self.catalogue.tables[table]), **self._stored[table]}
            sql = part_sql(self.catalogue, self.dataset, table, columns, shown)
            self._part_sql[table, shown] = sql
        return sql

    async def create(self) -> None:
        """Creates the dataset and dlt's own tables if they are missing, and reads the stored schema."""
        await asyncio.to_thread(self._change, {})

    async def refresh(self) -> None:
        """Reads the stored schema again."""
        await asyncio.to_thread(self._read)

    async def add(self, needed: TableColumns) -> None:
        """Adds these columns to tables that exist, and tables that do not, with all that the provider publishes.

        Raises SchemaRefused if the database will never accept them, and psycopg's errors if it is away or busy.
        """
        for _ in range(2):  # a race for one table also undoes what was added of the others
            try:
                await asyncio.to_thread(self._change, needed)
                failure = SchemaChanged("the stored schema does not have them")
            except SchemaChanged as changed:
                # Another writer's change is in the stored schema now. What is still missing, no other writer has added.
                await self.refresh()
                failure = changed
            except Exception as error:
                if verdict_of(error) != "refused":
                    raise
                raise SchemaRefused(needed, error) from None
            if not any(self.lacks(table, columns) for table, columns in needed.items()):
                return
        raise SchemaRefused(needed, failure)

    async def add_for_each(self, needs: Sequence[TableColumns]) -> int:
        """Adds what each of several events needs, together if possible. Returns how many changes succeeded.

        If the database refuses what all of them need, each one's needs are added alone. What the database refuses then
        is remembered for a while, so that not every event asks for it again: see `refusal`.
        """
        together: dict[str, set[str]] = {}
        for needed in needs:
            for table, columns in needed.items():
                together.setdefault(table, set()).update(columns)
        try:
            return await self._add_and_log(together)
        except SchemaRefused as refusal:
            alone = [missing for needed in needs if (missing := self._missing(needed))]
            if all(missing == together for missing in alone):
                self._remember(together, refusal)
                return 0
        changes = 0
        for missing in alone:
            if self.refusal(missing) is None:
                try:
                    changes += await self._add_and_log(missing)
                except SchemaRefused as refusal:
                    self._remember(missing, refusal)
        return changes

    def refusal(self, needed: TableColumns) -> SchemaRefused | None:
        """Why the database refused all or some of these a short while ago; None if it did not."""
        while self._refusals and self._refusals[0][0] <= self._clock():
            self._refusals.popleft()
        for _, refused, refusal in self._refusals:
            if all(columns <= needed.get(table, frozenset()) for table, columns in refused.items()):
                return refusal
        return None

    def _remember(self, needed: TableColumns, refusal: SchemaRefused) -> None:
        self._refusals.append((self._clock() + REFUSED_SECONDS, needed, refusal))

    def _missing(self, needed: TableColumns) -> TableColumns:
        return {
            table: columns - self._known.get(table, frozenset())
            for table, columns in needed.items()
            if self.lacks(table, columns)
        }

    async def _add_and_log(self, needed: TableColumns) -> int:
        await self.add(needed)
        log.info("added to the schema: %s", ", ".join(sorted(needed)))
        return 1

    def _change(self, needed: Mapping[str, Iterable[str]]) -> None:
        with self._lock, closing(PostgresDatabase(self._conninfo)) as database:
            create_forgotten(database, self.dataset)
            if needed or not all(has_table(database, self.dataset, table) for table in DLT_TABLES):
                from webhook_sink.commit.schema_change import change

                race = change(database, self.dataset, self._schema, self.columns, self._stored, needed)
                if race is not None:
                    raise SchemaChanged from race
            self._views.keep(database, self._read_from(database))

    def _read(self) -> None:
        with self._lock, closing(PostgresDatabase(self._conninfo)) as database:
            self._read_from(database)

    def _read_from(self, database: PostgresDatabase) -> Mapping[str, Mapping[str, ColumnType]]:
        """Reads all that this object knows. Returns the stored columns of every table."""
        version = database.execute(self.version_query.sql.decode())
        stored = stored_columns(database, self.dataset, self._schema)
        privacy = self.columns.privacy.with_forgotten(read_forgotten(database, self.dataset))
        self.version = version
        self._stored = {table: columns for table, columns in stored.items() if table in self.catalogue.tables}
        self._known = {table: columns.keys() | OWN_COLUMNS.keys() for table, columns in stored.items()}
        self._merge_sql, self._part_sql = {}, {}
        self.columns = ContractedColumns(self.catalogue, stored, self._contract, privacy)
        return stored
