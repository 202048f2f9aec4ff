"""Events without a public address: `python -m webhook_sink follow` asks `/v1/events` again and again.

https://docs.stripe.com/api/events/list: newest first, thirty days. What is read twice is known to the ledger already.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

import orjson

from sources.stripe_api.client import Client
from sources.stripe_api.errors import RetryLater
from sources.stripe_api.replies import Object
from webhook_sink.event import read_event
from webhook_sink.sink import Sink

log = logging.getLogger("stripe_elt.sink")

OVERLAP_SECONDS = 60
PATH = "/v1/events"
PARALLEL = 500


async def follow(sink: Sink, *, since: int | None, interval: float, once: bool = False) -> None:
    """Merges the events created at or after `since` (unix seconds; None: the newest of the ledger, or now), for ever.

    With `once` until there is no more. A request that fails for a passing reason is made again after the interval.
    """
    client = sink.client_of(None)
    seen: set[str] = set()
    start = since if since is not None else await _newest(sink)
    while True:
        try:
            start, told = await _round(sink, client, start, seen)
        except RetryLater as error:
            log.warning("the events could not be read: %s", error)
            told = 0
        if once:
            return
        if told:
            log.info("%d events", told)
        await asyncio.sleep(interval)


async def _round(sink: Sink, client: Client, start: int | None, seen: set[str]) -> tuple[int, int]:
    """One pass; where the next begins, and how many events were new."""
    objects, now = await asyncio.to_thread(_events, client, start)
    fresh = [one for one in objects if str(one["id"]) not in seen]
    for some in _pieces(fresh):
        fates = await asyncio.gather(*(sink.submit(read_event(orjson.dumps(one))) for one in some))
        seen.update(str(one["id"]) for one, fate in zip(some, fates, strict=True) if fate in ("committed", "duplicate"))
    if len(seen.intersection(str(one["id"]) for one in fresh)) < len(fresh):
        return (start or now), len(fresh)  # not all are kept: they are read again
    newest = max((int(one["created"]) for one in objects), default=start if start is not None else now)
    if len(seen) > 100_000:
        seen.clear()
    return newest - OVERLAP_SECONDS if newest else now, len(fresh)


def _events(client: Client, start: int | None) -> tuple[list[Object], int]:
    """Events since a second, oldest first, and Stripe's clock. Without a second only the clock is asked."""
    bounds = (("created[gte]", str(start)),) if start is not None else ()
    page = client.page(PATH, (("limit", "100" if start is not None else "1"), *bounds))
    objects, now = list(page.objects), page.as_of
    while page.has_more and start is not None:
        page = client.page(PATH, (("limit", "100"), *bounds, ("starting_after", str(objects[-1]["id"]))))
        objects += page.objects
    return (objects[::-1] if start is not None else []), now


async def _newest(sink: Sink) -> int | None:
    """Where the ledger ends, less the overlap; None where it is empty."""
    query = f'SELECT extract(epoch FROM max(created)) FROM "{sink.settings.dataset}".stripe_webhook_events'
    async with sink.pool.connection() as connection:
        row = await (await connection.execute(query.encode())).fetchone()
    return int(row[0]) - OVERLAP_SECONDS if row and row[0] is not None else None


def _pieces(objects: list[Object]) -> Iterator[list[Object]]:
    for start in range(0, len(objects), PARALLEL):
        yield objects[start : start + PARALLEL]
