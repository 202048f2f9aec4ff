"""Receives events without a public address: `python -m webhook_sink follow` polls the provider's log of events.

Stripe's log goes back thirty days (https://docs.stripe.com/api/events/list). Events that are read twice do no harm: the
ledger treats them as duplicates.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from sources.errors import BrokenPage, ConnectorError, RetryLater
from sources.events import BadEvent, Event
from sources.fetch.event_log import NoEvents
from sources.fetch.values import Object
from sources.json_text import storable
from webhook_sink.commit.connection import transaction
from webhook_sink.sink import Sink

log = logging.getLogger("stripe_elt.sink")

OVERLAP_SECONDS = 60
NO_LAG = -(2**31)  # every event that the list shows is merged at once, whatever its time
CHUNK = 500
MOST_SEEN = 100_000


async def follow(sink: Sink, *, since: int | None, interval: float, once: bool = False) -> None:
    """Merges the events created at or after `since`, in unix seconds, and polls for more every `interval` seconds.

    Without `since` it begins at the newest event in the ledger, or now if there is none. With `once` it returns after
    the first poll. A request with a temporary failure is repeated after the interval.
    """
    client = sink.client_of(None)
    seen: set[str] = set()
    start = since if since is not None else await _newest_in_ledger(sink)
    while True:
        try:
            start, new_events = await poll(sink, client, start, seen)
        except RetryLater as error:
            log.warning("the events could not be read: %s", error)
            new_events = 0
        if once:
            return
        if new_events:
            log.info("%d events", new_events)
        await asyncio.sleep(interval)


async def poll(sink: Sink, client: Any, start: int | None, seen: set[str]) -> tuple[int, int]:
    """Merges the events since `start`. Returns where the next poll begins, and how many events were new to `seen`.

    An event that failed counts as seen: the ledger keeps it, and it can be replayed. Events are read again only if the
    database was not available.
    """
    objects, now = await asyncio.to_thread(_list_events, sink, client, start)
    new = [obj for obj in objects if str(obj.get("id")) not in seen]
    was_away, newest = False, start if start is not None else now
    for first in range(0, len(new), CHUNK):
        chunk = new[first : first + CHUNK]
        events = [event for obj in chunk if (event := _event(sink, obj)) is not None]
        newest = max(newest, *(event.created for event in events)) if events else newest
        outcomes = await asyncio.gather(*(sink.take(event) for event in events))
        unavailable = {event.id for event, outcome in zip(events, outcomes, strict=True) if outcome == "unavailable"}
        seen.update(id for obj in chunk if (id := str(obj.get("id"))) not in unavailable)
        was_away = was_away or bool(unavailable)
    if was_away:
        return (start or now), len(new)
    if len(seen) > MOST_SEEN:
        seen.clear()
    return max(start or 0, newest - OVERLAP_SECONDS) if newest else now, len(new)


def _event(sink: Sink, obj: Object) -> Event | None:
    """The event in an object of the list. Counts and logs an object that is not a readable event, and returns None."""
    try:
        return sink.provider.read_event(storable(obj)[0])
    except (BadEvent, BrokenPage) as error:
        sink.metrics.count_refusal("body")
        log.warning("an event of the list was left out: %s", error)
        return None


def _list_events(sink: Sink, client: Any, start: int | None) -> tuple[list[Object], int]:
    """The events since `start` (unix seconds), oldest first, and the provider's time; without `start` only the time."""
    since = int(sink.clock()) if start is None else start
    read: list[Object] = []
    clock = [0]
    try:
        for piece in sink.provider.pieces(client, since, None, NO_LAG, clock.append):
            read += [*piece.events, *piece.unusable]
    except NoEvents as denied:
        # The advice is for syncs, which also read lists.
        raise denied.__cause__ if isinstance(denied.__cause__, ConnectorError) else denied from None
    return read[::-1] if start is not None else [], clock[-1]


async def _newest_in_ledger(sink: Sink) -> int | None:
    """The unix second of the newest event in the ledger, less the overlap; None if the ledger is empty."""
    async with transaction(sink.pool) as connection:
        row = await (await connection.execute(sink.ledger.newest_created)).fetchone()
    return int(row[0]) - OVERLAP_SECONDS if row and row[0] is not None else None
