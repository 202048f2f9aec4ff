"""Group commit: what has arrived together is committed in one transaction, and each event is answered by its own fate.

One transaction at a time: the next batch is whatever arrived while the last one was committed. Transactions are
REPEATABLE READ, so that a tie cannot slip in between the look at the stored row and the merge. A batch that the
database refuses for what is in it is halved until the poisonous event stands alone. Knows no HTTP and no Stripe.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Sequence

from pipelines.warehouse.verdict import verdict_of
from webhook_sink.commit.connection import describe_error
from webhook_sink.commit.entry import Entry, Fate
from webhook_sink.commit.schema import SchemaMoved
from webhook_sink.commit.stager import Stager
from webhook_sink.commit.transaction import Transactions
from webhook_sink.metrics import Metrics

log = logging.getLogger("stripe_elt.sink")

ATTEMPTS, LOOKS = 6, 2
"""How often a transaction is begun again for conflicts, and for tables that were not as expected."""
OUTAGE_PAUSE = 0.05  # seconds between attempts while the database is away


class QueueFull(Exception):
    """More waits for its commit than may."""


class Writer:
    """Commits entries in the order of their arrival. `submit` is for the event loop that `run` runs in.

    `timeout` are the seconds after its arrival for which an entry is tried again while the database is away.
    """

    def __init__(
        self,
        transactions: Transactions,
        stager: Stager,
        metrics: Metrics,
        *,
        queue_events: int,
        queue_bytes: int,
        batch_events: int,
        timeout: float,
    ) -> None:
        self._transactions, self._stager, self._metrics = transactions, stager, metrics
        self._queue_events, self._queue_bytes, self._batch_events = queue_events, queue_bytes, batch_events
        self._timeout = timeout
        self._queue: deque[Entry] = deque()
        self._bytes = 0
        self._filled, self._idle = asyncio.Event(), asyncio.Event()
        self._idle.set()

    @property
    def waiting(self) -> int:
        """Entries that wait for their commit."""
        return len(self._queue)

    @property
    def is_full(self) -> bool:
        """Whether no more events are taken."""
        return len(self._queue) >= self._queue_events or self._bytes >= self._queue_bytes

    def submit(self, entry: Entry) -> asyncio.Future[Fate]:
        """Puts an entry into the queue. Raises QueueFull.

        Its rows are made now, while the database is busy with other ones, for the schema as it is now.
        """
        if self.is_full:
            raise QueueFull
        self._stager.stage(entry)
        self._queue.append(entry)
        self._bytes += entry.nbytes
        self._filled.set()
        self._idle.clear()
        return entry.done

    async def run(self) -> None:
        """Commits until it is cancelled; what is under way then is finished by nobody: see `drained`."""
        while True:
            await self._filled.wait()
            batch = [self._queue.popleft() for _ in range(min(len(self._queue), self._batch_events))]
            self._bytes -= sum(entry.nbytes for entry in batch)
            await self._commit(batch)
            if not self._queue:
                self._filled.clear()
                self._idle.set()

    async def drained(self) -> None:
        """Returns when nothing waits and nothing is under way."""
        await self._idle.wait()

    async def _commit(self, batch: Sequence[Entry]) -> None:
        """Gives every entry of the batch its fate. Raises nothing."""
        conflicts, looks, moved = 0, 0, False
        while conflicts < ATTEMPTS:
            try:
                if moved:
                    await self._stager.refresh(batch)
                await self._stager.fit(batch)
                batch = await self._without_refused(batch)
                if batch:
                    await self._try(batch)
                return
            except Exception as error:
                verdict = verdict_of(error)
                if isinstance(error, SchemaMoved) or verdict == "conflict":
                    conflicts += 1
                elif verdict == "moved" and looks < LOOKS:
                    looks += 1
                elif verdict != "outage":
                    await self._isolate(batch, error)
                    return
                elif not await self._outlived(batch, error):
                    return
                moved = isinstance(error, SchemaMoved) or verdict == "moved"
                if verdict != "outage":
                    self._metrics.retries.labels("schema" if moved else "conflict").inc()
        if len(batch) > 1:
            await self._halve(batch)
        else:
            log.warning("other writers of the same rows or tables were in the way: an event is to be sent again")
            self._settle(batch, "unavailable")

    async def _outlived(self, batch: Sequence[Entry], error: Exception) -> bool:
        """Waits a little while the database is away; False when the oldest entry has waited long enough."""
        self._metrics.retries.labels("outage").inc()
        if asyncio.get_running_loop().time() < min(entry.arrived for entry in batch) + self._timeout:
            await asyncio.sleep(OUTAGE_PAUSE)
            return True
        log.warning("the database is away (%s): %d events are to be sent again", describe_error(error), len(batch))
        self._settle(batch, "unavailable")
        return False

    async def _try(self, batch: Sequence[Entry]) -> None:
        started = time.perf_counter()
        fates = await self._transactions.commit(batch)
        self._metrics.transaction.observe(time.perf_counter() - started)
        self._metrics.batch.observe(len(batch))
        for entry, fate in fates:
            self._settle([entry], fate)

    async def _without_refused(self, batch: Sequence[Entry]) -> Sequence[Entry]:
        """The entries that have rows to merge; the others are failed one by one."""
        for entry in batch:
            if entry.refused is not None:
                await self._fail(entry, entry.refused)
        return [entry for entry in batch if entry.refused is None]

    async def _isolate(self, batch: Sequence[Entry], error: Exception) -> None:
        if len(batch) > 1:
            await self._halve(batch)
        else:
            await self._fail(batch[0], error)

    async def _fail(self, entry: Entry, error: Exception) -> None:
        reason = describe_error(error)
        log.error("an event failed: %s", reason, extra={"event": entry.event.id if entry.event else None})
        try:
            if entry.event is not None:
                await self._transactions.record_failure(entry, reason)
            self._settle([entry], "failed")
        except Exception as second:
            log.error("a failed event could not be kept: %s", describe_error(second))
            self._settle([entry], "unavailable")

    async def _halve(self, batch: Sequence[Entry]) -> None:
        middle = len(batch) // 2
        for half in (batch[:middle], batch[middle:]):
            await self._commit(half)

    def _settle(self, batch: Sequence[Entry], fate: Fate) -> None:
        for entry in batch:
            if not entry.done.done():
                entry.done.set_result(fate)
            if fate == "committed" and (left_out := entry.decision.left_out) is not None:
                named = {"event": entry.event.id if entry.event else None}
                log.warning("embedded objects were left out, the others are stored: %s", left_out, extra=named)
            if entry.event is not None:
                status = entry.status if fate == "committed" else fate
                self._metrics.event(entry.event.type, status)
