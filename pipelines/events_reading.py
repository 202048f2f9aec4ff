"""Reading /v1/events from a second on, newest first as Stripe lists them, in pieces. Knows no row and no position."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sources.stripe_api.catalogue import RESOURCES
from sources.stripe_api.client import Client
from sources.stripe_api.errors import ObjectMissing, SkipResource, StripeSourceError
from sources.stripe_api.replies import Object, Page
from sources.stripe_api.windows import Window, window
from sources.stripe_api.work import created_params

EVENTS = RESOURCES["events"]
PIECE = 5_000  # events whose changes are decided and stored together


class EventsDenied(StripeSourceError):
    """The key may not read events."""

    def __init__(self, denied: SkipResource) -> None:
        super().__init__(
            "The key may not read events, so that changes and deletions of objects that are stored already are not"
            " seen; new ones come from their lists, daily unless SYNC__CADENCE_HOURS says otherwise. Give the key the"
            " permission to read events (rak_event_read), and the next run makes up for thirty days. Until then"
            f" only stripe_check.py finds such changes. {denied}",
            request_id=denied.request_id,
            status=denied.status,
        )


@dataclass(frozen=True, slots=True)
class Piece:
    """Events, newest first, as they were at `as_of`, unix seconds: all of those created in `done`, if that is any."""

    events: list[Object]
    as_of: int
    done: Window | None


def pieces(client: Client, gte: int, lt: int | None, lag: int, clock: Callable[[int], None]) -> Iterator[Piece]:
    """The events created in `[gte, lt)`; without `lt` up to `lag` seconds ago. `clock` is told Stripe's, at each page.

    What was read before an error is given before that is raised. Raises EventsDenied, and what the client raises.
    """
    events: list[Object] = []
    top, bottom, last, as_of = lt, 0, None, 0
    while True:
        try:
            page = _page(client, gte, lt, last)
        except StripeSourceError:
            if last is not None and top is not None:  # what was read counts
                yield Piece(events, as_of, window(bottom, top))
            raise
        as_of = page.as_of
        clock(as_of)
        if top is None:
            top = as_of - lag
        events += [one for one in page.objects if int(one["created"]) < top]
        last = page.objects[-1] if page.has_more else None
        if last is None:
            yield Piece(events, as_of, window(gte, top))
            return
        bottom = int(last["created"]) + 1
        if len(events) >= PIECE:
            yield Piece(events, as_of, window(bottom, top))
            events, top = [], min(top, bottom)


def _page(client: Client, gte: int, lt: int | None, after: Object | None) -> Page:
    bounds = created_params("unix", gte, lt) if lt is not None else (("created[gte]", str(gte)),)
    cursor = (("starting_after", str(after["id"])),) if after is not None else ()
    try:
        return client.page(EVENTS.path, (("limit", "100"), *bounds, *cursor))
    except SkipResource as denied:
        raise EventsDenied(denied) from denied
    except ObjectMissing:  # the event has expired meanwhile, and with it all that are older
        if after is None:
            raise
        bounds = created_params("unix", gte, int(after["created"]) + 1)
        return client.page(EVENTS.path, (("limit", "100"), *bounds))
