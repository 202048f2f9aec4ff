"""One transaction: the ledger, the tables, and the objects to read again. All of it, or nothing.

Three round trips, whatever the size of the batch: record the events and learn which are new; merge the rows of those;
queue what is to be read again, and commit. Knows no queue and no HTTP.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import orjson
from psycopg import AsyncConnection, IsolationLevel
from psycopg_pool import AsyncConnectionPool

from sources.stripe_api.catalogue import TABLES
from webhook_sink.decision import Reread
from webhook_sink.entry import Claim, Entry, Fate, ties_within
from webhook_sink.ledger import LedgerStatements
from webhook_sink.metrics import Metrics
from webhook_sink.schema import SchemaMoved, SchemaState
from webhook_sink.staging import StagedRow

KEYS = {name: (*table.key, "_account_id") for name, table in TABLES.items()}
Pool = AsyncConnectionPool[AsyncConnection[tuple[Any, ...]]]


PLANS = (
    "plan_cache_mode = force_generic_plan",
    "jit = off",
    "enable_hashjoin = off",
    "enable_mergejoin = off",
    "enable_seqscan = off",
)
"""Every statement here finds a few rows by their keys, whatever the statistics of a table say that was just loaded or
grew by updates: nested loops over indexes, planned once."""


async def configure(connection: AsyncConnection[Any]) -> None:
    """How the pool's connections begin."""
    for setting in PLANS:
        await connection.execute(f"SET {setting}".encode())
    await connection.commit()


async def reset(connection: AsyncConnection[Any]) -> None:
    """What the pool does with a connection that comes back: batches alone are REPEATABLE READ."""
    await connection.set_isolation_level(None)


class Transactions:
    """Commits batches through a pool. `timeout` are seconds to wait for a connection."""

    def __init__(
        self,
        pool: Pool,
        schema: SchemaState,
        ledger: LedgerStatements,
        metrics: Metrics,
        *,
        timeout: float,
        reread_delay: float,
    ) -> None:
        self._pool, self._schema, self._ledger, self._metrics = pool, schema, ledger, metrics
        self._timeout, self._delay = timeout, reread_delay

    async def commit(self, batch: Sequence[Entry]) -> list[tuple[Entry, Fate]]:
        """Commits the batch. Raises psycopg's errors, or SchemaMoved; nothing is committed then."""
        unique, copies = _by_event(batch)
        async with self._pool.connection(self._timeout) as connection:
            await connection.set_isolation_level(IsolationLevel.REPEATABLE_READ)
            new, fresh = await self._in_one_transaction(connection, unique)
        known: list[Entry] = [e for e in unique if e.event is not None and e.event.id not in new]
        return [*((e, "committed") for e in fresh), *((e, "duplicate") for e in (*known, *copies))]

    async def _in_one_transaction(
        self, connection: AsyncConnection[Any], entries: Sequence[Entry]
    ) -> tuple[set[str], list[Entry]]:
        """Ids of the events that are new, and the entries that were merged."""
        async with connection.pipeline():
            new = await self._record(connection, entries)
            fresh = [entry for entry in entries if entry.event is None or entry.event.id in new]
            tied = await self._merge(connection, fresh)
            await self._queue(connection, fresh, tied)
            await connection.commit()
        return new, fresh

    async def record_failure(self, entry: Entry, reason: str) -> None:
        """Keeps an event whose rows the database refuses. Its body goes in as text where it cannot go in as JSON."""
        for payload in (None, orjson.dumps(entry.event.body.decode()).decode() if entry.event else None):
            try:
                async with self._pool.connection(self._timeout) as connection:
                    await self._insert(connection, [entry], "failed", reason, payload)
                return
            except Exception:
                if payload is not None:
                    raise

    async def _record(self, connection: AsyncConnection[Any], entries: Sequence[Entry]) -> set[str]:
        """Ids of the events that are new, or come again after they failed."""
        events = [entry for entry in entries if entry.event is not None]
        version = await connection.execute(self._schema.version_query, self._schema.version_parameters, prepare=True)
        recorded = await self._insert(connection, events) if events else None
        found = await version.fetchone()
        if (found[0] if found else None) != self._schema.version:
            raise SchemaMoved
        return {row[0] for row in await recorded.fetchall()} if recorded else set()

    async def _insert(
        self,
        connection: AsyncConnection[Any],
        entries: Sequence[Entry],
        status: str | None = None,
        error: str | None = None,
        payload: str | None = None,
    ) -> Any:
        rows = [
            (
                event.id,
                event.type,
                event.object_id,
                event.object_type,
                entry.account_id,
                event.livemode,
                event.api_version,
                event.created,
                status or entry.status,
                error or entry.decision.ignored,
                payload or event.body.decode(),
            )
            for entry in entries
            if (event := entry.event) is not None
        ]
        columns = [list(column) for column in zip(*rows, strict=True)]
        return await connection.execute(self._ledger.record.encode(), columns, prepare=True)

    async def _merge(self, connection: AsyncConnection[Any], entries: Sequence[Entry]) -> list[Entry]:
        """Merges the rows, table by table, children first and then by name; returns the entries that tie."""
        looks = []
        for name in sorted({name for entry in entries for name in entry.rows}, key=_place):
            rows = [(entry, row) for entry in entries for row in entry.rows.get(name, ())]
            sql = self._schema.statements(name)
            whole = [pair for pair in rows if pair[1].kind == "whole"]
            if whole:
                parameters = (_array(row for _, row in whole),)
                looks.append((whole, await connection.execute(sql.upsert.encode(), parameters, prepare=True)))
            if gone := [row for _, row in rows if row.kind == "tombstone"]:
                await connection.execute(sql.tombstones.encode(), (_array(gone),), prepare=True)
            if any(row.kind == "set" for _, row in rows):
                parameters = (_array(row for _, row in rows),)
                looks.append((rows, await connection.execute(sql.absent_children.encode(), parameters, prepare=True)))
        tied = list(ties_within(entries, KEYS)) if len(entries) > 1 else []
        for staged, cursor in looks:
            tied += [staged[place - 1][0] for (place,) in await cursor.fetchall()]
        return list(dict.fromkeys(tied))

    async def _queue(self, connection: AsyncConnection[Any], entries: Sequence[Entry], tied: Sequence[Entry]) -> None:
        """What is to be read again, and what has been."""
        for entry in entries:
            if entry.claim is not None:
                await self._finish(connection, entry.claim)
            if entry.decision.reread is not None:
                waits = [entry.event.id] if entry.event and entry.decision.waits else []
                await self._ask(connection, entry.decision.reread, waits, 0.0)
        for entry in tied:
            self._metrics.ties.inc()
            if entry.decision.again is not None:
                await self._ask(connection, entry.decision.again, [], self._delay)

    async def _ask(self, connection: AsyncConnection[Any], r: Reread, events: Sequence[str], delay: float) -> None:
        w = r.wanted
        values = (*key_of(r), r.context, w.parent_id, w.created, w.at, r.reason)
        await connection.execute(self._ledger.queue.encode(), (*values, list(events), delay), prepare=True)

    async def _finish(self, connection: AsyncConnection[Any], claim: Claim) -> None:
        key = (*key_of(claim.reread), claim.generation)
        await connection.execute(self._ledger.finish.encode(), key, prepare=True)
        if claim.events:
            await connection.execute(self._ledger.settle.encode(), (list(claim.events),), prepare=True)


def key_of(reread: Reread) -> tuple[str, str, str]:
    """What names an object to read again in the ledger's table: table, key as JSON, account."""
    return reread.wanted.table, orjson.dumps(reread.wanted.key).decode(), reread.account_id


def _place(table: str) -> tuple[bool, str]:
    """Where a table comes in a transaction, the same in all of them, so that two wait for one another in order."""
    return TABLES[table].parent is None, table


def _array(rows: Iterable[StagedRow]) -> str:
    return (b"[" + b",".join(row.raw for row in rows) + b"]").decode()


def _by_event(batch: Sequence[Entry]) -> tuple[list[Entry], list[Entry]]:
    """Entries of which no event stands twice, and the copies."""
    seen: set[str] = set()
    unique: list[Entry] = []
    copies: list[Entry] = []
    for entry in batch:
        if entry.event is None or entry.event.id not in seen:
            unique.append(entry)
            if entry.event is not None:
                seen.add(entry.event.id)
        else:
            copies.append(entry)
    return unique, copies
