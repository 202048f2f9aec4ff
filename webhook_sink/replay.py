"""Merges events of the ledger again: `python -m webhook_sink replay`. Knows no HTTP server."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from sources.events import BadEvent, Event
from webhook_sink.commit.connection import transaction
from webhook_sink.sink import Sink

PAGE = 500


@dataclass(frozen=True, slots=True)
class Selection:
    """Which events to replay: their statuses, received at or after `since`, of one type. None means any."""

    statuses: Sequence[str] = ("failed",)
    since: datetime | None = None
    type: str | None = None


async def replay(sink: Sink, selection: Selection) -> Counter[str]:
    """Merges the selected events again, in the order of their ids. Returns the number of events by outcome.

    An event whose payload is not a readable event is counted as "unreadable". The order does not matter: the merge
    keeps the newest state.
    """
    outcomes: Counter[str] = Counter()
    last_id = ""
    while page := await _page(sink, selection, last_id):
        last_id = page[-1][0]
        events = [event for _, payload in page if (event := _event(sink, payload)) is not None]
        outcomes["unreadable"] += len(page) - len(events)
        await _reopen(sink, [event.id for event in events])
        for start in range(0, len(events), sink.batch_events):
            batch = events[start : start + sink.batch_events]
            outcomes.update(await asyncio.gather(*(sink.take(event) for event in batch)))
    if sink.can_read:
        while await sink.rereader.read_due():
            pass
    return +outcomes


async def _page(sink: Sink, selection: Selection, last_id: str) -> list[tuple[Any, ...]]:
    since, type = selection.since, selection.type
    async with transaction(sink.pool) as connection:
        parameters = (list(selection.statuses), since, since, type, type, last_id, PAGE)
        cursor = await connection.execute(sink.ledger.events_to_replay, parameters)
        return list(await cursor.fetchall())


async def _reopen(sink: Sink, ids: list[str]) -> None:
    """Marks the events as failed, because processed ones would count as duplicates."""
    async with transaction(sink.pool) as connection:
        await connection.execute(sink.ledger.reopen_events, (ids,))


def _event(sink: Sink, payload: str) -> Event | None:
    """The event in a payload. A payload that the database refused as JSON is stored as a JSON string."""
    try:
        body = orjson.loads(payload) if payload.startswith('"') else payload
        return sink.provider.read_event(body.encode())
    except (BadEvent, ValueError, AttributeError):
        return None
