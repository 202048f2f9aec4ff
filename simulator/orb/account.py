"""The state of a simulated Orb account: objects, their changes, and the log of events. Knows no HTTP."""

from __future__ import annotations

import random
import string
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import orjson

from simulator.account.clock import Clock
from sources.orb_api.catalogue import CATALOGUE
from sources.orb_api.catalogue.events import SUBJECTS

Object = dict[str, Any]
PRICES_OF_GROUPS = "dimensional_price_group_prices"
LISTED = {
    resource.name: resource
    for resource in CATALOGUE.resources.values()
    if resource.not_loaded is None and resource.name in (resource.table, PRICES_OF_GROUPS)
}
"""The tables of the account, each with the list that shows it."""


Style = Literal["expanded", "standard", "summary"]
Place = tuple[datetime, int]
"""An object's place in its list: the moment by which the list is ordered, then the creation number."""


@dataclass(slots=True)
class PlacedObject:
    """An object with its place in its list. `at` is the moment of the place as the object shows it.

    `owner` are parameters of the list that the object may not have as fields: its parent's id, its currency.
    """

    object: Object
    at: str
    place: Place
    owner: Mapping[str, str]


class Account:
    """Objects by table and id. A change logs an event; a deletion logs none, as with Orb.

    `style` is the style of payloads in the log: expanded, standard, or summary (incomplete without a mark, in
    deliveries too). `listeners` are called with each event and its complete object.
    """

    def __init__(self, clock: Clock, seed: int) -> None:
        self.clock, self.lock = clock, threading.RLock()
        self.tables: dict[str, dict[str, PlacedObject]] = {table: {} for table in LISTED}
        self._in_order: dict[str, dict[str, list[PlacedObject]]] = {}
        self.style: Style = "expanded"
        self.listeners: list[Callable[[Object], None]] = []
        self._random = random.Random(f"orb/{seed}")
        self._number = 0

    def new_id(self) -> str:
        """An id in Orb's format: sixteen letters and digits, without a type."""
        return "".join(self._random.choices(string.ascii_letters + string.digits, k=16))

    def now(self) -> str:
        """The present moment in Orb's format."""
        return moment(self.clock.time())

    def create(self, table: str, obj: Object, event: str | None = None, **owner: str) -> Object:
        """Adds an object, and logs an event of this type. Raises ValueError if its id exists.

        Objects without an id are identified by their creation number. `owner`: see `PlacedObject`.
        """
        with self.lock:
            self._number += 1
            id = str(obj.get("id", self._number))
            if id in self.tables[table]:
                raise ValueError(f"{id} is already there")
            own = orjson.loads(orjson.dumps(obj))
            at = self._moment_of(table, own)
            self.tables[table][id] = PlacedObject(own, at, (datetime.fromisoformat(at), self._number), owner)
            self._in_order.pop(table, None)
            self._log(event, own)
            return self.get(table, id)

    def update(
        self,
        table: str,
        id: str,
        changes: Mapping[str, Any],
        event: str | None = None,
        properties: Mapping[str, Any] | None = None,
    ) -> Object:
        """Changes fields of an object, and logs an event of this type. Raises KeyError if it does not exist."""
        with self.lock:
            row = self.tables[table][id]
            row.object = row.object | orjson.loads(orjson.dumps(changes))
            row.at = self._moment_of(table, row.object, row.at)
            row.place = (datetime.fromisoformat(row.at), row.place[1])
            self._in_order.pop(table, None)
            self._log(event, row.object, properties or {})
            return self.get(table, id)

    def delete(self, table: str, id: str) -> None:
        """Removes an object without an event. Raises KeyError if it does not exist."""
        with self.lock:
            del self.tables[table][id]
            self._in_order.pop(table, None)

    def listed(self, table: str, parent: str = "") -> list[PlacedObject]:
        """The rows of a table, or of a parent in it, ordered by place, oldest first. Do not change the list."""
        if table not in self._in_order:
            rows = sorted(self.tables[table].values(), key=lambda row: row.place)
            self._in_order[table] = found = {"": rows}
            for row in rows:
                for id in row.owner.values():
                    found.setdefault(id, []).append(row)
        return self._in_order[table].get(parent, [])

    def get(self, table: str, id: str) -> Object:
        """A copy of an object. Raises KeyError if it does not exist."""
        copy: Object = orjson.loads(orjson.dumps(self.tables[table][id].object))
        return copy

    def objects(self, table: str) -> list[Object]:
        """Copies of all objects of a table, including those that no list shows by default."""
        with self.lock:
            return [self.get(table, id) for id in self.tables[table]]

    def _moment_of(self, table: str, obj: Object, before: str | None = None) -> str:
        """The moment by which a list is ordered; for objects that do not show it, the moment of creation."""
        return str(obj.get(LISTED[table].created_field or "created_at") or before or self.now())

    def _log(self, event: str | None, obj: Object, properties: Mapping[str, Any] | None = None) -> None:
        if event is None:
            return
        told = {"id": self.new_id(), "type": event, "created_at": moment(self.clock.seconds())}
        field, _ = SUBJECTS.get(event.partition(".")[0], ("", ""))
        whole = told | ({field: orjson.loads(orjson.dumps(obj))} if field else {})
        whole["properties"] = dict(properties or {})
        own = told | {"is_delivered": False, "payload": self.payload(whole, self.style), "delivery_attempts": []}
        self.create("webhook_events", own)
        for tell in self.listeners:
            tell(whole)

    def payload(self, event: Object, style: Style) -> Object:
        """An event in a payload style. In an account with summaries, all events are incomplete without a mark."""
        style = "summary" if self.style == "summary" else style
        field, table = SUBJECTS.get(event["type"].partition(".")[0], ("", ""))
        shown = {field: cut(table, event[field])} if field and style != "expanded" else {}
        return {**event, **shown, **({} if style == "summary" else {"payload_style": style})}


def cut(table: str, obj: Object) -> Object:
    """An object as in payloads that are not expanded."""
    match table:
        case "invoices":
            return {name: value for name, value in obj.items() if name not in ("line_items", "discounts", "subtotal")}
        case "subscriptions":
            kept = ("id", "created_at", "customer", "plan", "status", "name", "start_date", "end_date", "metadata")
            return {name: obj[name] for name in kept}
        case "plans":
            return {name: obj[name] for name in ("id", "name", "external_plan_id")}
    return obj


def moment(second: float) -> str:
    """A unix second in Orb's format: RFC 3339 with the offset `+00:00`."""
    return datetime.fromtimestamp(second, UTC).isoformat()
