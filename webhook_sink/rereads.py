"""Reads objects from the API again: after ties, for payloads that are cut, thin or of another version, and for
revalidated tables.

They wait in a table of the ledger, so that a killed sink loses none. If a claim ends before its object is merged,
another process claims it. The rows go through the writer like all others. Knows no HTTP server and no SQL text.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from sources.changes import ObjectRef, Retrieved
from sources.columns.conversion_counts import ConversionCounts
from sources.errors import ConnectorError
from sources.provider import Retriever
from webhook_sink.commit.batch import ClaimedReread, PendingWrite, reread_key
from webhook_sink.commit.connection import Pool, describe_error, transaction
from webhook_sink.commit.ledger import RELATED, Ledger
from webhook_sink.commit.metrics import Metrics
from webhook_sink.commit.writer import QueueFull, Writer
from webhook_sink.decision import Decision, Reread, describe_left_out

log = logging.getLogger("stripe_elt.sink")

CLAIM_SECONDS = 600.0
POLL_SECONDS = 1.0
TOO_EARLY_SECONDS = 1.0
LONGEST_PAUSE = 900.0
MOST_UNREADABLE = 10_000


class Rereader:
    """Reads objects that are due, `workers` at a time, and tries each at most `attempts` times.

    `client_of` gives the client for a connected account, or for our own account (None).
    """

    def __init__(
        self,
        pool: Pool,
        ledger: Ledger,
        writer: Writer,
        metrics: Metrics,
        retrieve: Retriever,
        client_of: Callable[[str | None], Any],
        *,
        workers: int,
        attempts: int,
    ) -> None:
        self._pool, self._ledger, self._writer, self._metrics = pool, ledger, writer, metrics
        self._retrieve, self._client_of, self._workers, self._attempts = retrieve, client_of, workers, attempts
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="reread")
        self._wake = asyncio.Event()
        self._unreadable: set[ObjectRef] = set()

    def wake(self) -> None:
        """Wakes `run`, because an object may be due now."""
        self._wake.set()

    async def run(self) -> None:
        """Reads until it is cancelled. Objects being read then are due again when their claim ends."""
        while True:
            try:
                found_any = await self.read_due()
            except Exception as error:
                log.warning("the objects to read again could not be looked up: %s", describe_error(error))
                found_any = False
            if not found_any:
                await self._wait_for_work()

    async def read_due(self) -> bool:
        """Claims objects that are due, reads them, and returns when they are merged. False if none was due."""
        claims = await self._claim()
        await asyncio.gather(*(self._read(claim) for claim in claims))
        return bool(claims)

    def readable(self, related: Iterable[ObjectRef]) -> tuple[ObjectRef, ...]:
        """The objects that this process has not given up."""
        return tuple(ref for ref in related if ref not in self._unreadable)

    def close(self) -> None:
        """Stops the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _wait_for_work(self) -> None:
        try:
            await asyncio.wait_for(self._wake.wait(), POLL_SECONDS)
        except TimeoutError:
            return
        self._wake.clear()

    async def _claim(self) -> list[ClaimedReread]:
        async with transaction(self._pool) as connection:
            cursor = await connection.execute(self._ledger.claim_rereads, (CLAIM_SECONDS, self._workers))
            return [_claimed(row) for row in await cursor.fetchall()]

    async def _read(self, claim: ClaimedReread) -> None:
        """Reads one object, then merges it, postpones it or gives it up. Raises only on cancellation."""
        reread = claim.reread
        loop = asyncio.get_running_loop()
        try:
            client, counts = self._client_of(reread.context), ConversionCounts()
            found = await loop.run_in_executor(self._threads, self._retrieved, client, reread, counts)
            if found.state == "failed":
                await self._retry_later(claim, found.why)
            elif found.state in ("unreadable", "broken"):
                await self._give_up(claim, found.why)
            elif not _is_late_enough(found, reread):
                await self._postpone(
                    claim, TOO_EARLY_SECONDS, claim.attempts - 1, "the answer has the same second as the event"
                )
            else:
                await self._merge(claim, found, describe_left_out(counts))
        except ConnectorError as error:
            await self._give_up(claim, str(error))
        except QueueFull:
            await self._retry_later(claim, "the queue was full")
        except Exception as error:
            log.warning("an object could not be read again: %s", describe_error(error))
            with suppress(Exception):  # if the database is not available, the claim ends by itself
                await self._retry_later(claim, describe_error(error))

    def _retrieved(self, client: Any, reread: Reread, counts: ConversionCounts) -> Retrieved:
        ((found,),) = self._retrieve(client, [reread.ref], reread.account_id, workers=1, entries=counts)
        return found

    async def _merge(self, claim: ClaimedReread, found: Retrieved, left_out: str | None) -> None:
        loop = asyncio.get_running_loop()
        decision = Decision(found.rows, left_out=left_out)
        write = PendingWrite(decision, claim.reread.account_id, loop.create_future(), loop.time(), claim=claim)
        outcome = await self._writer.submit(write)
        if outcome == "committed":
            self._count(claim.reread, found.state)
        elif outcome == "failed":
            await self._give_up(claim, "the database refuses its rows")
        else:
            await self._retry_later(claim, "the database was not available")

    async def _retry_later(self, claim: ClaimedReread, why: str) -> None:
        """Postpones the object, longer after each attempt; gives it up after the last one."""
        if claim.attempts >= self._attempts:
            await self._give_up(claim, why)
            return
        self._count(claim.reread, "later")
        await self._postpone(claim, min(LONGEST_PAUSE, 2.0**claim.attempts), claim.attempts, why)

    async def _postpone(self, claim: ClaimedReread, seconds: float, attempts: int, why: str) -> None:
        async with transaction(self._pool) as connection:
            parameters = (seconds, attempts, why, *reread_key(claim.reread))
            await connection.execute(self._ledger.postpone_reread, parameters)

    async def _give_up(self, claim: ClaimedReread, why: str) -> None:
        if claim.reread.reason == RELATED:  # nothing is wrong with the event
            if len(self._unreadable) >= MOST_UNREADABLE:
                self._unreadable.clear()
            self._unreadable.add(claim.reread.ref)
            log.warning("an object of %s that others refer to cannot be read: %s", claim.reread.ref.table, why)
        else:
            log.error("gave up reading an object of %s again: %s", claim.reread.ref.table, why)
        self._count(claim.reread, "given up")
        async with transaction(self._pool) as connection:
            parameters = (*reread_key(claim.reread), claim.generation, why)
            await connection.execute(self._ledger.give_up_reread, parameters)

    def _count(self, reread: Reread, outcome: str) -> None:
        self._metrics.rereads.labels(reread.reason, outcome).inc()


def _is_late_enough(found: Retrieved, reread: Reread) -> bool:
    """Whether the answer shows a later second than the event. A deleted object needs no later second."""
    moments = [row["_as_of"] for row in found.rows.get(reread.ref.table, ())]
    return found.object is None or not moments or max(moments) > reread.ref.at


def _claimed(row: tuple[Any, ...]) -> ClaimedReread:
    """The claim in a row of `claim_rereads`."""
    table, key, account_id, context, parent_id, created, at, reason, events, generation, attempts = row
    ref = ObjectRef(table, tuple(key), parent_id, created, at)
    return ClaimedReread(Reread(ref, account_id, context, reason), events, generation, attempts)
