"""Group commit: events that arrive together are committed in one transaction, and each one gets its own outcome.

There is one transaction at a time, and the next batch is whatever arrived during the last one. A transaction is
REPEATABLE READ, so that no tie can slip in between the check of the stored row and the merge. If the database refuses a
batch because of what is in it, the batch is halved until the event at fault stands alone. Knows no HTTP and no Stripe.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Sequence

from pipelines.warehouse.verdict import verdict_of
from sources.columns.contract import SchemaFrozen
from webhook_sink.commit.batch import BatchTransactions, Outcome, PendingWrite
from webhook_sink.commit.connection import describe_error
from webhook_sink.commit.metrics import Metrics
from webhook_sink.commit.schema import SchemaChanged, SchemaState, TableColumns

log = logging.getLogger("stripe_elt.sink")

MOST_CONFLICTS, MOST_SCHEMA_ERRORS = 6, 2
"""How often a batch may meet other writers before it is halved, and missing tables or columns before it is isolated."""
OUTAGE_PAUSE = 0.05  # seconds between attempts while the database is away


class QueueFull(Exception):
    """The queue takes no more events."""


class Writer:
    """Commits writes in the order of their arrival. Call `submit` in the event loop that `run` runs in.

    While the database is away, a write is retried until `timeout` seconds after its arrival.
    """

    def __init__(
        self,
        transactions: BatchTransactions,
        schema: SchemaState,
        metrics: Metrics,
        *,
        queue_events: int,
        queue_bytes: int,
        batch_events: int,
        timeout: float,
    ) -> None:
        self._transactions, self._schema, self._metrics = transactions, schema, metrics
        self._queue_events, self._queue_bytes, self._batch_events = queue_events, queue_bytes, batch_events
        self._timeout = timeout
        self._queue: deque[PendingWrite] = deque()
        self._bytes = 0
        self._filled, self._idle = asyncio.Event(), asyncio.Event()
        self._idle.set()

    @property
    def queue_length(self) -> int:
        """How many writes wait for their commit."""
        return len(self._queue)

    @property
    def is_full(self) -> bool:
        """Whether the queue takes no more events."""
        return len(self._queue) >= self._queue_events or self._bytes >= self._queue_bytes

    def submit(self, write: PendingWrite) -> asyncio.Future[Outcome]:
        """Puts a write into the queue. Raises QueueFull.

        Makes its rows now, for the schema as it is now, while the database is busy with the batch before.
        """
        if self.is_full:
            raise QueueFull
        write.make_rows(self._schema.columns)
        self._queue.append(write)
        self._bytes += write.nbytes
        self._filled.set()
        self._idle.clear()
        return write.outcome

    async def run(self) -> None:
        """Commits until it is cancelled. Await `drained` first: a cancelled batch gets no outcome."""
        while True:
            await self._filled.wait()
            batch = [self._queue.popleft() for _ in range(min(len(self._queue), self._batch_events))]
            self._bytes -= sum(write.nbytes for write in batch)
            await self._commit(batch)
            if not self._queue:
                self._filled.clear()
                self._idle.set()

    async def drained(self) -> None:
        """Returns when the queue is empty and no transaction is under way."""
        await self._idle.wait()

    # --- one batch ----------------------------------------------------------------------------------------------------

    async def _commit(self, batch: Sequence[PendingWrite]) -> None:
        """Gives every write of the batch an outcome. Raises nothing."""
        conflicts, schema_errors, is_schema_stale = 0, 0, False
        while conflicts < MOST_CONFLICTS:
            try:
                if is_schema_stale:
                    await self._refresh_schema(batch)
                await self._extend_schema(batch)
                batch = await self._without_failed(batch)
                if batch:
                    await self._transact(batch)
                return
            except Exception as error:
                verdict = verdict_of(error)
                if isinstance(error, SchemaChanged) or verdict == "conflict":
                    conflicts += 1
                elif verdict == "moved" and schema_errors < MOST_SCHEMA_ERRORS:
                    schema_errors += 1
                elif verdict != "outage":
                    await self._isolate(batch, error)
                    return
                elif not await self._wait_out_outage(batch, error):
                    return
                is_schema_stale = isinstance(error, SchemaChanged) or verdict == "moved"
                if verdict != "outage":
                    self._metrics.retries.labels("schema" if is_schema_stale else "conflict").inc()
        if len(batch) > 1:
            await self._halve(batch)
        else:
            log.warning("other writers kept changing the same rows or tables: the provider has to send an event again")
            self._settle(batch, "unavailable")

    async def _transact(self, batch: Sequence[PendingWrite]) -> None:
        started = time.perf_counter()
        outcomes = await self._transactions.commit(batch)
        self._metrics.transaction.observe(time.perf_counter() - started)
        self._metrics.batch.observe(len(batch))
        for write, outcome in outcomes:
            self._settle([write], outcome)

    async def _wait_out_outage(self, batch: Sequence[PendingWrite], error: Exception) -> bool:
        """Pauses, and returns True; if the oldest write has waited too long, gives the batch up, and returns False."""
        self._metrics.retries.labels("outage").inc()
        if asyncio.get_running_loop().time() < min(write.arrived_at for write in batch) + self._timeout:
            await asyncio.sleep(OUTAGE_PAUSE)
            return True
        reason = describe_error(error)
        log.warning("the database is away (%s): the provider has to send %d events again", reason, len(batch))
        self._settle(batch, "unavailable")
        return False

    async def _isolate(self, batch: Sequence[PendingWrite], error: Exception) -> None:
        if len(batch) > 1:
            await self._halve(batch)
        else:
            await self._fail(batch[0], error)

    async def _halve(self, batch: Sequence[PendingWrite]) -> None:
        middle = len(batch) // 2
        for half in (batch[:middle], batch[middle:]):
            await self._commit(half)

    async def _without_failed(self, batch: Sequence[PendingWrite]) -> Sequence[PendingWrite]:
        """Fails the writes that have an error. Returns the others."""
        for write in batch:
            if write.error is not None:
                await self._fail(write, write.error)
        return [write for write in batch if write.error is None]

    async def _fail(self, write: PendingWrite, error: Exception) -> None:
        reason = describe_error(error)
        log.error("an event failed: %s", reason, extra={"event": write.event_id})
        try:
            if write.event is not None:
                await self._transactions.record_failure(write, reason)
            self._settle([write], "failed")
        except Exception as second:
            log.error("a failed event could not be kept: %s", describe_error(second))
            self._settle([write], "unavailable")

    def _settle(self, writes: Sequence[PendingWrite], outcome: Outcome) -> None:
        for write in writes:
            if not write.outcome.done():
                write.outcome.set_result(outcome)
            if outcome == "committed" and (left_out := write.decision.left_out) is not None:
                log.warning(
                    "embedded objects were left out, the others are stored: %s",
                    left_out,
                    extra={"event": write.event_id},
                )
            if write.event is not None:
                self._metrics.count_event(write.event.type, write.status if outcome == "committed" else outcome)

    # --- its schema ---------------------------------------------------------------------------------------------------

    async def _extend_schema(self, batch: Sequence[PendingWrite]) -> None:
        """Makes the batch's rows, and adds the tables and columns that they need. Sets `error` if that is impossible.

        Before anything is added, the schema is read again: another writer may have added it, with another type. Raises
        the database's errors.
        """
        self._make_rows(batch)
        if any(isinstance(write.error, SchemaFrozen) for write in batch):
            await self._refresh_schema(batch)
        while self._missing(batch):
            await self._refresh_schema(batch)
            if missing := self._missing(batch):
                self._metrics.schema_changes.inc(await self._schema.add_for_each(missing))
                self._make_rows(batch)

    def _missing(self, batch: Sequence[PendingWrite]) -> list[TableColumns]:
        """What each write needs and the schema lacks. Writes that need what the database refused get an `error`."""
        needs: list[TableColumns] = []
        for write in batch:
            if missing := self._schema.missing(write.rows):
                if (refusal := self._schema.refusal(missing)) is not None:
                    write.refuse(refusal)
                else:
                    needs.append(missing)
        return needs

    async def _refresh_schema(self, batch: Sequence[PendingWrite]) -> None:
        """Reads the schema again, and makes the rows for it."""
        await self._schema.refresh()
        self._make_rows(batch)

    def _make_rows(self, batch: Sequence[PendingWrite]) -> None:
        for write in batch:
            write.make_rows(self._schema.columns)
