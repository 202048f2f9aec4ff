"""A batch: the writes that one transaction commits, and the statements that it sends for them.

A batch takes two round trips, whatever its size: record the events and merge their rows; queue the objects to read
again, and commit. Events that turn out to be known take a third: the transaction is begun again without them, because
their rows must not be merged twice. Knows no queue and no HTTP.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import orjson

from pipelines.warehouse.merge import SET_MARKER
from sources.catalogue import Table
from sources.columns.contract import ContractedColumns
from sources.errors import ConnectorError
from sources.events import Event
from sources.json_text import parse, text
from sources.privacy import Privacy
from webhook_sink.commit.connection import (
    BEGIN_BATCH,
    COMMIT,
    ROLLBACK,
    Connection,
    Pool,
    Statement,
    begin_statements,
    result_rows,
)
from webhook_sink.commit.ledger import Ledger
from webhook_sink.commit.metrics import Metrics
from webhook_sink.commit.rows import JsonRow, MergeSql, json_rows
from webhook_sink.commit.schema import SchemaChanged, SchemaState
from webhook_sink.decision import Decision, Reread

Outcome = Literal["committed", "duplicate", "failed", "unavailable"]
"""`committed`: with everything that it needs. `duplicate`: the ledger already had the event. `failed`: the ledger keeps
it as failed. `unavailable`: nothing was kept, and the provider has to send the event again."""


@dataclass(frozen=True, slots=True)
class ClaimedReread:
    """An object that this process has claimed to read again, with the ids of the events that wait for it."""

    reread: Reread
    events: Sequence[str]
    generation: int
    attempts: int


@dataclass(eq=False, slots=True)
class PendingWrite:
    """What waits for its commit: an event, or (with `claim`) an object that was read again.

    `arrived_at` is on the event loop's clock. `rows` are for the schema as it was last seen, `payload` is what the
    ledger keeps of the event: its body, as far as the privacy settings let it through. `error` says why there are
    none: `decision_error`, where the object cannot be turned into rows at all, or what the schema does not allow.
    """

    decision: Decision
    account_id: str
    outcome: asyncio.Future[Outcome]
    arrived_at: float = 0.0
    event: Event | None = None
    claim: ClaimedReread | None = None
    decision_error: ConnectorError | None = None
    error: ConnectorError | None = None
    rows: Mapping[str, list[JsonRow]] = field(default_factory=dict)
    payload: bytes | None = None
    _columns: ContractedColumns | None = None

    @property
    def event_id(self) -> str | None:
        """The event's id; None for an object that was read again."""
        return self.event.id if self.event else None

    @property
    def nbytes(self) -> int:
        """About how much memory it takes."""
        return len(self.event.body) if self.event else 0

    @property
    def status(self) -> str:
        """The event's status in the ledger once it is committed."""
        if self.decision.ignored is not None:
            return "ignored"
        return "processing" if self.decision.waits_for_reread else "processed"

    def make_rows(self, columns: ContractedColumns) -> None:
        """Makes `rows` for these columns, unless they are for them already. Sets `error` if that is impossible."""
        if self._columns is columns:
            return
        self._columns, self.error = columns, self.decision_error
        self.payload = kept_payload(self.event, columns.privacy) if self.event else None
        try:
            part_of = self.decision.part_of
            made = (
                (table, json_rows(table, rows, columns, are_parts=table == part_of))
                for table, rows in self.decision.rows.items()
                if rows
            )
            self.rows = {table: rows for table, rows in made if rows}
        except ConnectorError as error:
            self.refuse(error)

    def refuse(self, error: ConnectorError) -> None:
        """Drops the rows, because the tables cannot take them."""
        self.rows, self.error = {}, error


def kept_payload(event: Event, privacy: Privacy) -> bytes | None:
    """What the ledger keeps of an event's body. None where people's data could not be found in it to be treated."""
    if not privacy.is_on:
        return event.body
    try:
        whole = parse(event.body)
    except ValueError:
        return None
    treated = privacy.event(whole)
    return event.body if treated is whole else text(treated)


class BatchTransactions:
    """Commits each batch in one transaction. `timeout` is how many seconds to wait for a connection.

    `reread_delay`: objects with two states of one second are read again after so many seconds.
    """

    def __init__(
        self,
        pool: Pool,
        schema: SchemaState,
        ledger: Ledger,
        metrics: Metrics,
        *,
        timeout: float,
        reread_delay: float,
    ) -> None:
        self._pool, self._schema, self._ledger, self._metrics = pool, schema, ledger, metrics
        self._timeout, self._reread_delay = timeout, reread_delay

    async def commit(self, batch: Sequence[PendingWrite]) -> list[tuple[PendingWrite, Outcome]]:
        """Commits the batch, or nothing of it: then it raises psycopg's errors, or SchemaChanged."""
        writes, duplicates = _without_duplicates(batch)
        async with self._pool.connection(self._timeout) as connection:
            while writes:
                new_events, tied = await self._merge(connection, writes)
                new = [write for write in writes if write.event is None or write.event.id in new_events]
                if len(new) == len(writes):
                    rereads = _reread_statements(writes, tied, self._ledger, self._reread_delay)
                    related = _related_statements(writes, self._ledger, self._schema)
                    await connection.run_pipeline([*rereads, *related, COMMIT])
                    self._metrics.ties.inc(len(tied))
                    break
                await connection.run_pipeline([ROLLBACK])
                duplicates += [write for write in writes if write.event and write.event.id not in new_events]
                writes = new
        return [*((write, "committed") for write in writes), *((write, "duplicate") for write in duplicates)]

    async def _merge(
        self, connection: Connection, writes: Sequence[PendingWrite]
    ) -> tuple[set[str | None], list[PendingWrite]]:
        """Begins a transaction and merges. Returns the ids of events that are new or failed before, and the ties."""
        started, *properties = begin_statements(connection, BEGIN_BATCH)
        begin = [started, self._schema.lock_forgotten, *properties, self._schema.version_query]
        record = _record_statements(writes, self._ledger)
        merges = list(_table_merges(writes, self._schema))
        results = await connection.run_pipeline([*begin, *record, *(merge.statement for merge in merges)])
        version, recorded, merged = (
            results[len(begin) - 1],
            results[len(begin) : len(begin) + len(record)],
            results[len(begin) + len(record) :],
        )
        if result_rows(version) != self._schema.version:
            raise SchemaChanged
        new_events = {row[0] for result in recorded for row in result_rows(result)}
        tied = list(_ties_within(writes, self._schema.catalogue.tables)) if len(writes) > 1 else []
        for merge, result in zip(merges, merged, strict=True):
            tied += [merge.writes[int(place) - 1] for (place,) in result_rows(result) if place is not None]
        return new_events, list(dict.fromkeys(tied))

    async def record_failure(self, write: PendingWrite, reason: str) -> None:
        """Keeps an event that cannot be merged. Its body is kept as text if the database does not take it as JSON."""
        for payload in (None, orjson.dumps(write.payload.decode()) if write.payload else None):
            try:
                async with self._pool.connection(self._timeout) as connection:
                    record = _record_statements([write], self._ledger, status="failed", error=reason, payload=payload)
                    await connection.run_pipeline([*begin_statements(connection), *record, COMMIT])
                return
            except Exception:
                if payload is not None:
                    raise


def _without_duplicates(batch: Sequence[PendingWrite]) -> tuple[list[PendingWrite], list[PendingWrite]]:
    """The writes with each event once, and the further copies of the events."""
    seen: set[str] = set()
    unique: list[PendingWrite] = []
    duplicates: list[PendingWrite] = []
    for write in batch:
        if write.event is None:
            unique.append(write)
        elif write.event.id in seen:
            duplicates.append(write)
        else:
            seen.add(write.event.id)
            unique.append(write)
    return unique, duplicates


# --- the ledger -------------------------------------------------------------------------------------------------------


def _record_statements(
    writes: Iterable[PendingWrite],
    ledger: Ledger,
    *,
    status: str | None = None,
    error: str | None = None,
    payload: bytes | None = None,
) -> list[Statement]:
    """Records the events, with `status`, `error` and `payload` in place of their own. Returns the ids of new events."""
    records = [
        (
            event.id,
            event.type,
            event.object_id,
            event.object_type,
            write.account_id,
            "t" if event.livemode else "f",
            event.api_version,
            str(event.created),
            status or write.status,
            error or write.decision.ignored or write.decision.left_out,
            payload or write.payload,
        )
        for write in writes
        if (event := write.event) is not None
    ]
    if not records:
        return []
    return [Statement(ledger.record_events, [list(column) for column in zip(*records, strict=True)])]


def _reread_statements(
    writes: Sequence[PendingWrite], tied: Iterable[PendingWrite], ledger: Ledger, delay: float
) -> list[Statement]:
    """Finishes rereads that are merged now, and queues new ones: at once, or for ties after `delay` seconds."""
    statements: list[Statement] = []
    for write in writes:
        if (claim := write.claim) is not None:
            statements.append(Statement(ledger.finish_reread, (*reread_key(claim.reread), claim.generation)))
            if claim.events:
                statements.append(Statement(ledger.settle_events, (list(claim.events), write.decision.left_out)))
        if write.decision.reread is not None:
            waiting = [write.event.id] if write.event and write.decision.waits_for_reread else []
            statements.append(_queue_reread(write.decision.reread, waiting, 0.0, ledger))
    for write in tied:
        if write.decision.tie_reread is not None:
            statements.append(_queue_reread(write.decision.tie_reread, [], delay, ledger))
    return statements


def _related_statements(writes: Sequence[PendingWrite], ledger: Ledger, schema: SchemaState) -> Iterator[Statement]:
    """Queues the objects that the merged ones name and that no table has, in the order of their tables."""
    by_table: dict[str, dict[tuple[str, str, str | None], None]] = {}
    for write in writes:
        if (event := write.event) is None:
            continue
        for ref in write.decision.related:
            by_table.setdefault(ref.table, {})[ref.key[0], write.account_id, event.account] = None
    for table, named in sorted(by_table.items()):
        sql = ledger.queue_related(table, is_there=not schema.lacks(table, {"id"}))
        yield Statement(sql, [list(column) for column in zip(*sorted(named, key=repr), strict=True)])


def _queue_reread(reread: Reread, waiting_events: list[str], delay: float, ledger: Ledger) -> Statement:
    ref = reread.ref
    values = (*reread_key(reread), reread.context, ref.parent_id, ref.created, ref.at, reread.reason)
    return Statement(ledger.queue_reread, (*values, waiting_events, delay))


def reread_key(reread: Reread) -> tuple[str, str, str]:
    """The primary key of a reread in the ledger: table, the object's key as JSON, account."""
    return reread.ref.table, orjson.dumps(reread.ref.key).decode(), reread.account_id


# --- the tables -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TableMerge:
    """A statement that merges rows into one table, and for each row the write that it belongs to.

    The statement returns the places of the rows that tie, counted from 1.
    """

    statement: Statement
    writes: Sequence[PendingWrite]


WriteRow = tuple[PendingWrite, JsonRow]


def _table_merges(writes: Sequence[PendingWrite], schema: SchemaState) -> Iterator[TableMerge]:
    """Merges table by table, children first and then by name.

    The order is the same in all transactions, so that two of them wait for each other instead of deadlocking.
    """
    by_table: dict[str, list[WriteRow]] = {}
    for write in writes:
        for table, rows in write.rows.items():
            by_table.setdefault(table, []).extend((write, row) for row in rows)
    for table in sorted(by_table, key=lambda table: (schema.catalogue.tables[table].parent is None, table)):
        found = by_table[table]
        parts: dict[frozenset[str], list[WriteRow]] = {}
        for write, row in found:
            if row.kind == "part":
                parts.setdefault(row.shown, []).append((write, row))
        if parts:
            found = [(write, row) for write, row in found if row.kind != "part"]
        yield from _merges_of_table(schema.catalogue.tables[table], found, schema.merge_sql(table))
        for shown, own in parts.items():
            yield _table_merge(schema.part_sql(table, shown), own)


def _merges_of_table(table: Table, rows: Sequence[WriteRow], sql: MergeSql) -> Iterator[TableMerge]:
    whole = [(write, row) for write, row in rows if row.kind == "whole"]
    tombstones = [(write, row) for write, row in rows if row.kind == "tombstone"]
    if whole:
        yield _table_merge(sql.upsert, whole)
    if tombstones:
        yield _table_merge(sql.tombstones, rows if table.chosen_id else tombstones)
    if len(whole) + len(tombstones) < len(rows):
        yield _table_merge(sql.absent_children, [(write, row._replace(json=row.key)) for write, row in rows])


def _table_merge(sql: bytes, rows: Sequence[WriteRow]) -> TableMerge:
    json = b"[" + b",".join([row.json for _, row in rows]) + b"]"
    return TableMerge(Statement(sql, (json,)), [write for write, _ in rows])


def _ties_within(writes: Sequence[PendingWrite], tables: Mapping[str, Table]) -> Iterator[PendingWrite]:
    """The writes whose object, or set of children, has another state of the same second earlier in the batch."""
    states: dict[tuple[object, ...], object] = {}
    for write in writes:
        for table, rows in write.decision.rows.items():
            known = tables[table]
            for row in rows:
                is_set = row["_source"] == SET_MARKER
                is_whole = row.get(known.witness) is not None
                if is_whole or (not is_set and known.chosen_id):
                    state: object = row
                    key = (table, row["_as_of"], *[row[column] for column in (*known.key, "_account_id")])
                elif is_set:
                    parent = row["_parent_id"]
                    state = {
                        child[known.key[0]]
                        for child in rows
                        if child.get(known.witness) and child["_parent_id"] == parent
                    }
                    key = (SET_MARKER, table, row["_as_of"], row["_account_id"], parent)
                else:
                    continue
                if states.setdefault(key, state) != state:
                    yield write
                states[key] = state
