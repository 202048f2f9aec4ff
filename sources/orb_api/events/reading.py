"""Reads Orb's log of events in pieces, newest first as Orb lists them. Knows no row and no position.

Orb documents the log, but its SDK lacks it. How long Orb keeps events is not documented; `reaches` finds out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sources.errors import BrokenPage, ConnectorError, RequestRefused, SkipResource
from sources.fetch.event_log import NoEvents, Piece
from sources.fetch.values import Object, Page
from sources.fetch.windows import window
from sources.orb_api.catalogue import CATALOGUE
from sources.orb_api.client.client import Client
from sources.orb_api.objects.changes import second_of
from sources.orb_api.paging.pages import Query, bounds

LOG = CATALOGUE.resources["webhook_events"]
PIECE = 5_000  # events whose changes are decided and stored together


def pieces(client: Client, gte: int, lt: int | None, lag: int, clock: Callable[[int], None]) -> Iterator[Piece]:
    """The payloads of events created in `[gte, lt)`, unix seconds; without `lt`, up to `lag` seconds ago. `clock` is
    called with Orb's time.

    Events read before an error are yielded before it is raised. Raises NoEvents, and the client's errors.
    """
    query = Query(LOG, bounds(LOG, gte, lt))
    events: list[Object] = []
    unusable: list[Object] = []
    top, bottom, as_of = lt, None, 0
    while True:
        try:
            page = _page(client, query)
            seconds = [second_of(obj) for obj in page.objects]
        except ConnectorError:
            if bottom is not None and top is not None:  # what was read before the error counts
                yield Piece(events, as_of, window(bottom, top), unusable)
            raise
        as_of = page.as_of
        clock(as_of)
        top = as_of - lag if top is None else top
        for obj, second in zip(page.objects, seconds, strict=True):
            payload = obj.get("payload")
            if second is None or second < gte or not isinstance(payload, dict):
                unusable.append(obj)
            elif second < top:
                events.append(payload)
        if not page.has_more:
            yield Piece(events, as_of, window(gte, top), unusable)
            return
        if (last := seconds[-1]) is None:
            raise BrokenPage(f"The last event on a page of {LOG.path} has no time.")
        bottom = last + 1
        query.go_on(page)
        if len(events) >= PIECE:
            yield Piece(events, as_of, window(bottom, top), unusable)
            events, unusable, top = [], [], min(top, bottom)


def reaches(client: Client, second: int) -> bool:
    """Whether the log still has an event from before `second` (unix). Sends one request. Raises like `pieces`."""
    query = Query(LOG, bounds(LOG, 0, second), limit=1)
    return bool(_page(client, query).objects)


def _page(client: Client, query: Query) -> Page:
    request = query.request()
    try:
        return client.page(request.path, request.params, endpoint=request.endpoint)
    except (SkipResource, RequestRefused) as refused:
        if query.cursor is not None and not isinstance(refused, SkipResource):
            raise
        raise NoEvents(f"The log of events cannot be read, so this run only reads lists. {refused}") from refused
