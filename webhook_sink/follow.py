"""Events without a public address: `python -m webhook_sink follow` asks `/v1/events` again and again.

https://docs.stripe.com/api/events/list: newest first, thirty days. What is read twice is known to the ledger already.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

from sources.errors import BrokenPage, RetryLater
from sources.fetch.values import Object
from sources.json_text import storable
from sources.stripe_api.client.client import Client
from sources.stripe_api.paging.conventions import cursor_after
from webhook_sink.commit.connection import transaction
from webhook_sink.event import BadEvent, Event, read_event
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
            start, told = await read_round(sink, client, start, seen)
        except RetryLater as error:
            log.warning("the events could not be read: %s", error)
            told = 0
        if once:
            return
        if told:
            log.info("%d events", told)
        await asyncio.sleep(interval)


async def read_round(sink: Sink, client: Client, start: int | None, seen: set[str]) -> tuple[int, int]:
    """One pass over what lies at or after `start`; where the next begins, and how many events were new to `seen`.

    An event that failed is kept too, in the ledger, from where it can be replayed; only where the database was away
    they are read again.
    """
    objects, now = await asyncio.to_thread(_events, client, start)
    fresh = [one for one in objects if str(one.get("id")) not in seen]
    is_complete = True
    for some in _pieces(fresh):
        events = [event for one in some if (event := _event(sink, one)) is not None]
        fates = await asyncio.gather(*(sink.take(event) for event in events))
        away = {event.id for event, fate in zip(events, fates, strict=True) if fate == "unavailable"}
        seen.update(id for one in some if (id := str(one.get("id"))) not in away)
        is_complete = is_complete and not away
    if not is_complete:
        return (start or now), len(fresh)
    newest = max(
        (one["created"] for one in objects if type(one.get("created")) is int),
        default=start if start is not None else now,
    )
    if len(seen) > 100_000:
        seen.clear()
    return newest - OVERLAP_SECONDS if newest else now, len(fresh)


def _event(sink: Sink, shown: Object) -> Event | None:
    """The event of what Stripe shows; None, counted and said, where it is none that can be read."""
    try:
        return read_event(storable(shown)[0])
    except (BadEvent, BrokenPage) as error:
        sink.metrics.refused.labels("body").inc()
        log.warning("an event of the list was left out: %s", error)
        return None


def _events(client: Client, start: int | None) -> tuple[list[Object], int]:
    """Events since a second, oldest first, and Stripe's clock. Without a second only the clock is asked."""
    bounds = (("created[gte]", str(start)),) if start is not None else ()
    page = client.page(PATH, (("limit", "100" if start is not None else "1"), *bounds))
    objects, now = list(page.objects), page.as_of
    after = None
    while page.has_more and start is not None:
        after = cursor_after(page, after)
        page = client.page(PATH, (("limit", "100"), *bounds, ("starting_after", after)))
        objects += page.objects
    return (objects[::-1] if start is not None else []), now


async def _newest(sink: Sink) -> int | None:
    """Where the ledger ends, less the overlap; None where it is empty."""
    query = f'SELECT extract(epoch FROM max(created)) FROM "{sink.settings.dataset}".stripe_webhook_events'
    async with transaction(sink.pool) as connection:
        row = await (await connection.execute(query.encode())).fetchone()
    return int(row[0]) - OVERLAP_SECONDS if row and row[0] is not None else None


def _pieces(objects: list[Object]) -> Iterator[list[Object]]:
    for start in range(0, len(objects), PARALLEL):
        yield objects[start : start + PARALLEL]
