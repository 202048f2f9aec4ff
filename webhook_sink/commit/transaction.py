"""One transaction: the ledger, the tables, and the objects to read again. All of it, or nothing.

Two round trips, whatever the size of the batch: record the events and merge their rows; queue what is to be read again,
and commit. An event that turns out to be known takes a third: its batch is begun again without it, because its rows
must not be merged twice. Knows no queue and no HTTP.
"""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from webhook_sink.commit.batch import asked, by_event, merges, recorded, ties_within
from webhook_sink.commit.connection import (
    BEGIN_BATCH,
    COMMIT,
    ROLLBACK,
    Connection,
    Pool,
    begin_statements,
    result_rows,
)
from webhook_sink.commit.entry import Entry, Fate
from webhook_sink.commit.ledger import LedgerStatements
from webhook_sink.commit.schema import SchemaMoved, SchemaState
from webhook_sink.metrics import Metrics


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
        entries, known = by_event(batch)
        async with self._pool.connection(self._timeout) as connection:
            while entries:
                new, tied = await self._merge(connection, entries)
                fresh = [entry for entry in entries if entry.event is None or entry.event.id in new]
                if len(fresh) == len(entries):
                    await connection.run_pipeline([*asked(entries, tied, self._ledger, self._delay), COMMIT])
                    self._metrics.ties.inc(len(tied))
                    break
                await connection.run_pipeline([ROLLBACK])
                known += [entry for entry in entries if entry.event is not None and entry.event.id not in new]
                entries = fresh
        return [*((entry, "committed") for entry in entries), *((entry, "duplicate") for entry in known)]

    async def _merge(self, connection: Connection, entries: Sequence[Entry]) -> tuple[set[str | None], list[Entry]]:
        """Begins a transaction and merges. Ids of the events that are new, or failed before; the entries that tie."""
        record = recorded(entries, self._ledger)
        merged = list(merges(entries, self._schema))
        begun = [*begin_statements(connection, BEGIN_BATCH), self._schema.newest]
        answers = await connection.run_pipeline([*begun, *record, *(merge.statement for merge in merged)])
        newest, *results = answers[len(begun) - 1 :]
        if result_rows(newest) != self._schema.version:
            raise SchemaMoved
        new = {row[0] for result in results[: len(record)] for row in result_rows(result)}
        tied = list(ties_within(entries)) if len(entries) > 1 else []
        for merge, result in zip(merged, results[len(record) :], strict=True):
            tied += [merge.entries[int(place) - 1] for (place,) in result_rows(result) if place is not None]
        return new, list(dict.fromkeys(tied))

    async def record_failure(self, entry: Entry, reason: str) -> None:
        """Keeps an event whose rows the database refuses. Its body goes in as text where it cannot go in as JSON."""
        for payload in (None, orjson.dumps(entry.event.body.decode()) if entry.event else None):
            try:
                async with self._pool.connection(self._timeout) as connection:
                    failed = recorded([entry], self._ledger, status="failed", error=reason, payload=payload)
                    await connection.run_pipeline([*begin_statements(connection), *failed, COMMIT])
                return
            except Exception:
                if payload is not None:
                    raise
