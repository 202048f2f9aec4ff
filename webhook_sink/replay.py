"""Events of the ledger once more: `python -m webhook_sink replay`. Knows no HTTP server."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from webhook_sink.commit import ledger
from webhook_sink.commit.connection import transaction
from webhook_sink.event import BadEvent, Event, read_event
from webhook_sink.sink import Sink

PAGE = 500


@dataclass(frozen=True, slots=True)
class Selection:
    """Which events: their statuses, received at or after `since`, of one type; None is any."""

    statuses: Sequence[str] = ("failed",)
    since: datetime | None = None
    type: str | None = None


async def replay(sink: Sink, selection: Selection) -> Counter[str]:
    """Merges the selected events again, in the order of their ids; returns how many came to which fate.

    An event whose payload is gone, or is none that can be read, is counted as "unreadable". Order does not matter: the
    merge keeps the newest state whenever it comes.
    """
    fates: Counter[str] = Counter()
    last = ""
    while page := await _page(sink, selection, last):
        last = page[-1][0]
        events = [event for id, payload in page if (event := _event(payload)) is not None]
        fates["unreadable"] += len(page) - len(events)
        await _reopen(sink, [event.id for event in events])
        for start in range(0, len(events), sink.options.batch_events):
            some = events[start : start + sink.options.batch_events]
            fates.update(await asyncio.gather(*(sink.take(event) for event in some)))
    if sink.can_read:
        while await sink.rereader.work():
            pass
    return +fates


async def _page(sink: Sink, selection: Selection, last: str) -> list[tuple[Any, ...]]:
    statements = ledger.statements(sink.settings.dataset)
    since, type = selection.since, selection.type
    async with transaction(sink.pool) as connection:
        parameters = (list(selection.statuses), since, since, type, type, last, PAGE)
        cursor = await connection.execute(statements.replayed, parameters)
        return list(await cursor.fetchall())


async def _reopen(sink: Sink, ids: list[str]) -> None:
    """An event that is done is recorded no more; one that failed is."""
    async with transaction(sink.pool) as connection:
        await connection.execute(ledger.statements(sink.settings.dataset).reopen, (ids,))


def _event(payload: str) -> Event | None:
    """The event of a payload, which stands as text where the database refused it as JSON."""
    try:
        return read_event(orjson.loads(payload).encode() if payload.startswith('"') else payload.encode())
    except (BadEvent, ValueError, AttributeError):
        return None
