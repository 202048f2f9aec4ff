"""Objects that are read from the API again: what ties, what came cut, thin, in another version, or is never believed.

They wait in the ledger's table, so that a killed sink forgets none; a claim that ends unfinished is taken by the next.
The rows go through the writer like everything else. Knows no HTTP server and no SQL text.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from sources.columns.conversion_counts import ConversionCounts
from sources.errors import StripeSourceError
from sources.stripe_api.client.client import Client
from sources.stripe_api.objects.retrieve import ObjectRef, Retrieved, retrieve_one
from webhook_sink.commit.batch import key_of
from webhook_sink.commit.connection import Pool, describe_error, transaction
from webhook_sink.commit.entry import Claim, Entry
from webhook_sink.commit.ledger import LedgerStatements
from webhook_sink.commit.writer import QueueFull, Writer
from webhook_sink.decision import Decision, Reread, left_out
from webhook_sink.metrics import Metrics

log = logging.getLogger("stripe_elt.sink")

CLAIM_SECONDS = 600.0
POLL_SECONDS = 1.0
TOO_EARLY_SECONDS = 1.0
LONGEST_PAUSE = 900.0


class Rereader:
    """Reads what is due, `workers` at a time. `client_of` gives the client for a connected account, or for our own."""

    def __init__(
        self,
        pool: Pool,
        ledger: LedgerStatements,
        writer: Writer,
        metrics: Metrics,
        client_of: Callable[[str | None], Client],
        *,
        workers: int,
        attempts: int,
    ) -> None:
        self._pool, self._ledger, self._writer, self._metrics = pool, ledger, writer, metrics
        self._client_of, self._workers, self._attempts = client_of, workers, attempts
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="reread")
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Says that something may be due now."""
        self._wake.set()

    async def run(self) -> None:
        """Works until it is cancelled; what is under way then is due again when its claim ends."""
        while True:
            try:
                busy = await self.work()
            except Exception as error:
                log.warning("objects to read again cannot be asked for: %s", describe_error(error))
                busy = False
            if not busy:
                await self._rest()

    async def work(self) -> bool:
        """Takes what is due, reads it, and returns when it is merged. False when there was nothing."""
        claims = await self._claim()
        await asyncio.gather(*(self._read(claim) for claim in claims))
        return bool(claims)

    def close(self) -> None:
        """Gives the threads back."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _rest(self) -> None:
        try:
            await asyncio.wait_for(self._wake.wait(), POLL_SECONDS)
        except TimeoutError:
            return
        self._wake.clear()

    async def _claim(self) -> list[Claim]:
        async with transaction(self._pool) as connection:
            cursor = await connection.execute(self._ledger.claim, (CLAIM_SECONDS, self._workers))
            return [_claim_of(row) for row in await cursor.fetchall()]

    async def _read(self, claim: Claim) -> None:
        """Reads one object and has it merged, or puts it off, or gives it up. Raises nothing but cancellation."""
        reread = claim.reread
        loop = asyncio.get_running_loop()
        try:
            client = self._client_of(reread.context)
            found = await loop.run_in_executor(
                self._threads, retrieve_one, client, reread.ref, reread.account_id, entries := ConversionCounts()
            )
            if found.state == "failed":
                await self._put_off(claim, found.why)
            elif found.state in ("unreadable", "broken"):
                await self._give_up(claim, found.why)
            elif not _is_late_enough(found, reread):
                await self._postpone(claim, TOO_EARLY_SECONDS, claim.attempts - 1, "the answer is of the same second")
            else:
                await self._merge(claim, found, left_out(entries))
        except StripeSourceError as error:
            await self._give_up(claim, str(error))
        except QueueFull:
            await self._put_off(claim, "the queue was full")
        except Exception as error:
            log.warning("an object could not be read again: %s", describe_error(error))
            with suppress(Exception):  # the database is away: the claim ends by itself
                await self._put_off(claim, describe_error(error))

    async def _merge(self, claim: Claim, found: Retrieved, left_out: str | None) -> None:
        loop = asyncio.get_running_loop()
        decision = Decision(found.rows, left_out=left_out)
        entry = Entry(decision, claim.reread.account_id, loop.create_future(), loop.time(), claim=claim)
        fate = await self._writer.submit(entry)
        if fate == "committed":
            self._count(claim.reread, found.state)
        elif fate == "failed":
            await self._give_up(claim, "the database refuses its rows")
        else:
            await self._put_off(claim, "the database was away")

    async def _put_off(self, claim: Claim, why: str) -> None:
        if claim.attempts >= self._attempts:
            await self._give_up(claim, why)
            return
        self._count(claim.reread, "later")
        await self._postpone(claim, min(LONGEST_PAUSE, 2.0**claim.attempts), claim.attempts, why)

    async def _postpone(self, claim: Claim, seconds: float, attempts: int, why: str) -> None:
        async with transaction(self._pool) as connection:
            parameters = (seconds, attempts, why, *key_of(claim.reread))
            await connection.execute(self._ledger.postpone, parameters)

    async def _give_up(self, claim: Claim, why: str) -> None:
        log.error("gave up reading an object of %s again: %s", claim.reread.ref.table, why)
        self._count(claim.reread, "given up")
        async with transaction(self._pool) as connection:
            parameters = (*key_of(claim.reread), claim.generation, why)
            await connection.execute(self._ledger.give_up, parameters)

    def _count(self, reread: Reread, outcome: str) -> None:
        self._metrics.rereads.labels(reread.reason, outcome).inc()


def _is_late_enough(found: Retrieved, reread: Reread) -> bool:
    """Whether the answer shows a moment past the one that is in doubt. No such object: no moment needed."""
    moments = [row["_as_of"] for row in found.rows.get(reread.ref.table, ())]
    return found.object is None or not moments or max(moments) > reread.ref.at


def _claim_of(row: tuple[Any, ...]) -> Claim:
    table, key, account_id, context, parent_id, created, at, reason, events, generation, attempts = row
    ref = ObjectRef(table, tuple(key), parent_id, created, at)
    return Claim(Reread(ref, account_id, context, reason), events, generation, attempts)
