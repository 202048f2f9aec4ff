"""One Stripe account: its objects in all tables, every change to them, and the events that tell of it.

The truth that tests compare with: `objects`, `rows` and `truth` give what Stripe would show. Thread-safe: the server
reads under the same lock as a test writes. Knows no HTTP.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from simulator.clock import Clock
from simulator.event_types import EventTypes
from simulator.ids import Ids
from simulator.store import Collection, Row
from sources.stripe_api.catalogue import TABLES, Embedded, Table

Object = dict[str, Any]
KEPT_EVENTS = 30 * 86400

# Fields that name the object below which another is also listed.
LINKS: Mapping[str, str] = {
    "invoice_payments": "invoice",
    "payment_methods": "customer",
    "refunds": "charge",
    "subscriptions": "customer",
} | {name: table.parent_field for name, table in TABLES.items() if table.parent_field}


@dataclass(frozen=True, slots=True)
class Held:
    """An object of the account: its key in its table, its parent (child tables), itself without its embedded lists."""

    key: tuple[str, ...]
    parent: str | None
    object: Object


@dataclass(frozen=True, slots=True)
class Deleted:
    """What is left of a deleted object."""

    id: str
    object: str
    at: int
    parent: str | None


class Account:
    """The state of one account. `id` is its acct_ id, `clock` Stripe's; `lock` holds it still for several calls."""

    def __init__(self, id: str, clock: Clock, ids: Ids, types: EventTypes, *, livemode: bool, api_version: str) -> None:
        self.id, self.clock, self.ids, self.types = id, clock, ids, types
        self.livemode, self.api_version = livemode, api_version
        self.lock = threading.RLock()
        self.tables = {name: Collection(scoped=table.key != ("id",)) for name, table in TABLES.items()}
        self.deleted: dict[str, dict[str, Deleted]] = {name: {} for name in TABLES}
        self._seq = 0
        self._holders = _holders(TABLES)

    # --- reading -----------------------------------------------------------------------------------------------------

    def get(self, table: str, id: str, parent: str | None = None) -> Object | None:
        """An object without its embedded lists, None where there is none."""
        with self.lock:
            row = self.tables[table].get(id, parent)
            return orjson.loads(row.own) if row else None

    def show(self, table: str, id: str, parent: str | None = None) -> Object:
        """An object as Stripe shows it, with its embedded lists. KeyError where there is none."""
        with self.lock:
            row = self._row(table, id, parent)
            shown: Object = orjson.loads(self.view(table, row))
            return shown

    def rows(self, table: str, *, hidden: bool = False) -> Iterator[Held]:
        """The objects of a table, oldest first; `hidden` adds those that are in no list.

        The account itself is among the accounts: no list shows it, /v1/account does.
        """
        key = TABLES[table].key
        with self.lock:
            held = [
                (row.parent, row.own) for row in self.tables[table] if hidden or not row.hidden or row.id == self.id
            ]
        child = TABLES[table].parent is not None
        for parent, own in held:
            object = orjson.loads(own)
            yield Held(_key(object, key), parent if child else None, object)

    def objects(self, table: str, *, hidden: bool = False) -> list[Object]:
        """The objects of a table, oldest first, without their embedded lists (those fill tables of their own)."""
        return [held.object for held in self.rows(table, hidden=hidden)]

    def truth(self, *, hidden: bool = False) -> dict[str, dict[tuple[str, ...], Held]]:
        """Every table: its objects by key. A child's key has its parent's id in front where ids are not unique."""
        found = {}
        for table in TABLES:
            scoped = self.tables[table].scoped
            found[table] = {
                (held.parent or "", *held.key) if scoped else held.key: held for held in self.rows(table, hidden=hidden)
            }
        return found

    def view(self, table: str, row: Row) -> bytes:
        """The JSON that lists and retrieves show of a row, kept until it changes."""
        if row.view is None:
            embedded = [e for e in TABLES[table].embedded if not e.expand]
            row.view = self._with_lists(row, embedded) if embedded else row.own
        return row.view

    def embedded(self, row: Row, embedded: Embedded) -> Object:
        """The list of a row's children as it is embedded."""
        query = "&".join(f"{name}={value.format(id=row.id)}" for name, value in embedded.params)
        url = embedded.path.format(id=row.id) + (f"?{query}" if query else "")
        return self.listed(embedded.table, row.id, url)

    def listed(self, table: str, parent: str, url: str) -> Object:
        """A list inside an object: the first ten of those below it, and whether there are more."""
        children = list(self.tables[table].of(parent).newest())
        return {
            "object": "list",
            "data": [orjson.Fragment(self.view(table, child)) for child in children[:10]],
            "has_more": len(children) > 10,
            "total_count": len(children),
            "url": url,
        }

    # --- changing ----------------------------------------------------------------------------------------------------

    def create(
        self,
        table: str,
        object: Object,
        *,
        at: int | None = None,
        parent: str | None = None,
        hidden: bool = False,
        event: bool | str = True,
    ) -> Object:
        """Adds an object; lists of children under the fields of embedded lists go to their own tables.

        `at` is the second of its creation (default now), `parent` the id that it is listed below. `event` is the type of
        the event to emit, True for the usual one. Returns the object without its lists.
        """
        with self.lock:
            at = self.clock.seconds() if at is None else at
            own, lists = _split(dict(object), TABLES[table].embedded)
            link = LINKS.get(table)
            if parent is None and link and isinstance(own.get(link), str):
                parent = own[link]
            id = str(own.get("id") or "/".join(_key(own, TABLES[table].key)))
            row = Row(id, at, self._next(), orjson.dumps(own), parent, hidden)
            self.tables[table].add(row)
            for embedded, children in lists:
                for child in reversed(children):
                    self.create(embedded.table, child, at=at, parent=id, hidden=hidden, event=False)
            self._touched(table, row)
            if event and not hidden:
                self._emit(table, row, own, "created", event, at)
            return own

    def update(
        self,
        table: str,
        id: str,
        changes: Object,
        *,
        at: int | None = None,
        parent: str | None = None,
        event: bool | str = True,
    ) -> Object:
        """Changes fields of an object; a list under the field of an embedded list becomes the whole new list."""
        with self.lock:
            at = self.clock.seconds() if at is None else at
            row = self._row(table, id, parent)
            old: Object = orjson.loads(row.own)
            fields, lists = _split(dict(changes), TABLES[table].embedded)
            before = {embedded.field: self._list_bytes(row, embedded) for embedded, _ in lists}
            for embedded, children in lists:
                self._replace(embedded, row, children, at)
            new = old | fields
            row.own = orjson.dumps(new)
            self._touched(table, row)
            previous = difference(old, new) | {field: orjson.Fragment(value) for field, value in before.items()}
            if event and previous and not row.hidden:
                self._emit(table, row, new, "updated", event, at, previous)
            return new

    def delete(
        self, table: str, id: str, *, at: int | None = None, parent: str | None = None, event: bool | str = True
    ) -> Deleted:
        """Deletes an object and the children that are embedded in it."""
        with self.lock:
            at = self.clock.seconds() if at is None else at
            row = self._row(table, id, parent)
            own: Object = orjson.loads(row.own)
            if event and not row.hidden:
                self._emit(table, row, own, "deleted", event, at)
            for embedded in TABLES[table].embedded:
                if TABLES[embedded.table].parent == table:
                    for child in list(self.tables[embedded.table].of(id).rows()):
                        self._remove(embedded.table, child, at)
            self._touched(table, row)
            return self._remove(table, row, at)

    def emit(self, type: str, data: Object, *, at: int | None = None, previous: Object | None = None) -> Object:
        """Adds an event (`invoice.upcoming`, `balance.available`, another version's…) that no change brings about."""
        with self.lock:
            return self._event(type, orjson.dumps(data), at if at is not None else self.clock.seconds(), previous)

    # --- inside ------------------------------------------------------------------------------------------------------

    def _next(self) -> int:
        self._seq += 1
        return self._seq

    def _row(self, table: str, id: str, parent: str | None) -> Row:
        row = self.tables[table].get(id, parent)
        if row is None:
            raise KeyError(f"{table} has no {id}")
        return row

    def _remove(self, table: str, row: Row, at: int) -> Deleted:
        own = orjson.loads(row.own)
        self.tables[table].remove(row)
        gone = Deleted(row.id, own["object"], at, row.parent)
        self.deleted[table][row.id] = gone
        return gone

    def _replace(self, embedded: Embedded, row: Row, children: Sequence[Object], at: int) -> None:
        """Makes `children` the whole set below a row: those that stay keep their place."""
        collection = self.tables[embedded.table]
        wanted = {str(child["id"]): child for child in children}
        for child in list(collection.of(row.id).rows()):
            if child.id in wanted:
                child.own, child.view = orjson.dumps(wanted.pop(child.id)), None
            else:
                self._remove(embedded.table, child, at)
        for object in reversed(list(wanted.values())):
            self.create(embedded.table, object, at=at, parent=row.id, event=False)

    def _touched(self, table: str, row: Row) -> None:
        """Forgets what was rendered of a row and of the objects that embed it."""
        row.view = None
        for holder in self._holders.get(table, ()):
            above = self.tables[holder].get(row.parent) if row.parent else None
            if above is not None and above.view is not None:
                self._touched(holder, above)

    def _with_lists(self, row: Row, embedded: Iterable[Embedded]) -> bytes:
        object: Object = orjson.loads(row.own)
        for one in embedded:
            place(object, one.field, self.embedded(row, one))
        return orjson.dumps(object)

    def _list_bytes(self, row: Row, embedded: Embedded) -> bytes:
        return orjson.dumps(self.embedded(row, embedded))

    def _emit(
        self, table: str, row: Row, own: Object, change: str, event: bool | str, at: int, previous: Object | None = None
    ) -> None:
        type = event if isinstance(event, str) else self.types.of(own, change)
        if type is not None and at > self.clock.seconds() - KEPT_EVENTS and table != "events":
            self._event(type, self.view(table, row), at, previous)

    def _event(self, type: str, data: bytes, at: int, previous: Object | None) -> Object:
        inner: Object = {"object": orjson.Fragment(data)}
        if previous is not None:
            inner["previous_attributes"] = previous
        event = {
            "id": self.ids.of("event"),
            "object": "event",
            "api_version": self.api_version,
            "created": at,
            "data": inner,
            "livemode": self.livemode,
            "pending_webhooks": 0,
            "request": {"id": None, "idempotency_key": None},
            "type": type,
        }
        body = orjson.dumps(event)
        self.tables["events"].add(Row(event["id"], at, self._next(), body))
        loaded: Object = orjson.loads(body)
        return loaded


def difference(old: Object, new: Object) -> Object:
    """`previous_attributes`: the old values of what changed, inside nested objects only of what changed there."""
    found: Object = {}
    for name in new.keys() | old.keys():
        before, after = old.get(name), new.get(name)
        if before == after:
            continue
        nested = isinstance(before, dict) and isinstance(after, dict)
        found[name] = difference(before, after) if nested else before  # type: ignore[arg-type]
    return found


def place(object: Object, field: str, value: object) -> None:
    """Puts a value at a dotted field; where an object on the way is missing, nothing happens."""
    *way, last = field.split(".")
    holder: Any = object
    for part in way:
        holder = holder.get(part) if isinstance(holder, dict) else None
    if isinstance(holder, dict):
        holder[last] = value


def _split(object: Object, embedded: Iterable[Embedded]) -> tuple[Object, list[tuple[Embedded, list[Object]]]]:
    """An object and, apart, the children given under the fields of its embedded lists."""
    lists = []
    for one in embedded:
        *way, last = one.field.split(".")
        holder: Any = object
        for part in way:
            holder = holder.get(part) if isinstance(holder, dict) else None
        if isinstance(holder, dict) and last in holder:
            children = holder.pop(last)
            if children is not None:
                lists.append((one, children["data"] if isinstance(children, dict) else children))
    return object, lists


def _holders(tables: Mapping[str, Table]) -> dict[str, list[str]]:
    """For each table, those whose rows embed its rows."""
    found: dict[str, list[str]] = {}
    for name, table in tables.items():
        for embedded in table.embedded:
            found.setdefault(embedded.table, []).append(name)
    return found


def _key(object: Mapping[str, Any], names: Iterable[str]) -> tuple[str, ...]:
    return tuple(str(object.get(name)) for name in names)
