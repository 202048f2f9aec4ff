"""Reads /v1/events in pieces, newest first as Stripe lists them. Knows no row and no position."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sources.catalogue import LAST_SECOND
from sources.errors import BrokenPage, ConnectorError, ObjectMissing, SkipResource
from sources.fetch.event_log import NoEvents, Piece
from sources.fetch.values import Object, Page
from sources.fetch.windows import window
from sources.stripe_api.catalogue import RESOURCES
from sources.stripe_api.client.client import Client
from sources.stripe_api.objects.embedded import has_key
from sources.stripe_api.paging.conventions import created_params

EVENTS = RESOURCES["events"]
PIECE = 5_000  # events whose changes are decided and stored together


class EventsDenied(NoEvents):
    """The key lacks the permission to read events. `denied` is the error of the request."""

    def __init__(self, denied: SkipResource) -> None:
        self.refusal = denied
        super().__init__(
            "The key may not read events, so this run does not see changes and deletions of objects that are"
            " already stored. New objects come from their lists, daily unless SYNC__CADENCE_HOURS sets"
            " another interval. Give the key the permission to read events (rak_event_read); the next run"
            f" then catches up on thirty days. Until then only stripe_check.py finds such changes. {denied}",
            request_id=denied.request_id,
            status=denied.status,
        )


def pieces(client: Client, gte: int, lt: int | None, lag: int, clock: Callable[[int], None]) -> Iterator[Piece]:
    """The events created in `[gte, lt)`, unix seconds; without `lt`, up to `lag` seconds ago. `clock` is called with
    Stripe's time for each page.

    Events read before an error are yielded before it is raised. Raises EventsDenied, and the client's errors.
    """
    events: list[Object] = []
    unusable: list[Object] = []
    top, bottom, last, as_of = lt, None, None, 0
    while True:
        try:
            page = _page(client, gte, lt, last)
        except ConnectorError:
            if bottom is not None and top is not None:  # what was read before the error counts
                yield Piece(events, as_of, window(bottom, top), unusable)
            raise
        as_of = page.as_of
        clock(as_of)
        if top is None:
            top = as_of - lag
        usable = [obj for obj in page.objects if _is_usable(obj, gte)]
        unusable += [obj for obj in page.objects if not _is_usable(obj, gte)]
        events += [obj for obj in usable if int(obj["created"]) < top]
        if not page.has_more:
            yield Piece(events, as_of, window(gte, top), unusable)
            return
        named = usable or [obj for obj in page.objects if has_key(obj, "events")]
        if not named:
            if bottom is not None:
                yield Piece(events, as_of, window(bottom, top), unusable)
            raise BrokenPage("No event on a page of /v1/events has an id.", request_id=page.request_id)
        last = named[-1]
        if usable:
            bottom = int(last["created"]) + 1
        if bottom is not None and len(events) >= PIECE:
            yield Piece(events, as_of, window(bottom, top), unusable)
            events, unusable, top = [], [], min(top, bottom)


def _is_usable(event: Object, gte: int) -> bool:
    """Whether it has an id, and was created in the requested range."""
    return has_key(event, "events") and type(event.get("created")) is int and gte <= event["created"] <= LAST_SECOND


def _page(client: Client, gte: int, lt: int | None, after: Object | None) -> Page:
    bounds = created_params("unix", gte, lt) if lt is not None else (("created[gte]", str(gte)),)
    cursor = (("starting_after", str(after["id"])),) if after is not None else ()
    try:
        return client.page(EVENTS.path, (("limit", "100"), *bounds, *cursor))
    except SkipResource as denied:
        raise EventsDenied(denied) from denied
    except ObjectMissing:  # the event has expired meanwhile, and so have all older ones
        if after is None or not _is_usable(after, gte):
            raise
        bounds = created_params("unix", gte, int(after["created"]) + 1)
        return client.page(EVENTS.path, (("limit", "100"), *bounds))
