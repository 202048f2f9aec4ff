"""The events of an account's changes, kept for thirty days and passed on to listeners.

https://docs.stripe.com/api/events. `data.object` is what a retrieve would show at that moment, `api_version` the
account's at that moment.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from simulator.account.clock import Clock
from simulator.account.event_types import EventTypes
from simulator.account.ids import Ids
from simulator.account.objects import Object, iso
from simulator.account.old_versions import in_version
from simulator.account.store import Collection, StoredObject
from sources.stripe_api.catalogue import CATALOGUE, TABLES

KEPT = 30 * 86400


class Events:
    """The events of one account, in its tables of events and thin (v2) events.

    `api_version` may be changed at any time; it applies to later events. `listeners` are called with the JSON of every
    event, under the account's lock.
    """

    def __init__(
        self,
        snapshots: Collection,
        thin: Collection,
        clock: Clock,
        ids: Ids,
        types: EventTypes,
        place: Callable[[], int],
        *,
        livemode: bool,
        api_version: str,
    ) -> None:
        self._snapshots, self._thin, self._clock, self._ids, self._types = snapshots, thin, clock, ids, types
        self._place = place
        self._livemode = livemode
        self.api_version = api_version
        self.listeners: list[Callable[[bytes], None]] = []

    def changed(
        self, own: Object, view: bytes, change: str, event: bool | str, at: int, previous: Object | None = None
    ) -> None:
        """Adds the event of an object that was created, updated or deleted, if Stripe has a type for it."""
        type = event if isinstance(event, str) else self._types.of(own, change)
        if type is None or not self.kept(at):
            return
        if type.startswith("v2."):
            self._tell_thin(type, own, at)
        else:
            self.tell(type, view, at, previous)

    def tell(self, type: str, data: bytes, at: int, previous: Object | None = None) -> Object:
        """Adds an event and returns it; `data` is the JSON of its object in the current API version."""
        inner: Object = {"object": orjson.Fragment(in_version(data, self.api_version))}
        if previous is not None:
            inner["previous_attributes"] = previous
        event = {
            "id": self._ids.of("event"),
            "object": "event",
            "api_version": self.api_version,
            "created": at,
            "data": inner,
            "livemode": self._livemode,
            "pending_webhooks": 0,
            "request": {"id": None, "idempotency_key": None},
            "type": type,
        }
        return self._add(self._snapshots, event, at)

    def kept(self, at: int) -> bool:
        """Whether an event of this second is still kept."""
        return at > self._clock.seconds() - KEPT

    def _tell_thin(self, type: str, own: Object, at: int) -> None:
        """Adds a thin event, which has the object's id but not its content."""
        name = str(own["object"])
        table = CATALOGUE.table_of_object(name)
        path = (TABLES[table].retrieve if table else None) or ""
        url = path.format(id=own["id"], _parent_id=own.get("account", ""))
        event = {
            "id": self._ids.of("v2.core.event"),
            "object": "v2.core.event",
            "changes": None,
            "context": None,
            "created": iso(at),
            "livemode": self._livemode,
            "reason": None,
            "related_object": {"id": own["id"], "type": name, "url": url},
            "snapshot_event": None,
            "type": type,
        }
        self._add(self._thin, event, at)

    def _add(self, collection: Collection, event: dict[str, Any], at: int) -> Object:
        body = orjson.dumps(event)
        collection.add(StoredObject(event["id"], at, self._place(), body))
        for listen in self.listeners:
            listen(body)
        loaded: Object = orjson.loads(body)
        return loaded
