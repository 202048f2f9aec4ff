"""One Stripe account: its objects in all tables, every change to them, and the events of the changes.

Tests compare databases with it: `objects` and `truth` return what Stripe would show. Thread-safe: the server reads
under the same lock as a test writes. Knows no HTTP.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import orjson

from simulator import truth
from simulator.account.clock import Clock
from simulator.account.event_types import EventTypes
from simulator.account.events import Events
from simulator.account.ids import Ids
from simulator.account.objects import Object, difference, key_of, split
from simulator.account.store import Collection as Rows
from simulator.account.store import StoredObject
from simulator.account.views import Views
from simulator.truth import Held, Truth
from sources.catalogue import Embedded
from sources.stripe_api.catalogue import TABLES

# Fields that name the object below which another is also listed.
LINKS: Mapping[str, str] = {
    "invoice_payments": "invoice",
    "payment_methods": "customer",
    "refunds": "charge",
    "subscriptions": "customer",
} | {name: table.parent_field for name, table in TABLES.items() if table.parent_field}


@dataclass(frozen=True, slots=True)
class Deleted:
    """A deleted object; `last` is its last JSON."""

    id: str
    object: str
    at: int
    parent: str | None
    last: str = "{}"


@dataclass(frozen=True, slots=True)
class State:
    """An immutable copy of an account's content at one moment."""

    tables: Mapping[str, Rows]
    deleted: Mapping[str, Mapping[str, Deleted]]
    place: int
    ids: object


class Account:
    """The state of one account. `id` is its acct_ id, `clock` is Stripe's clock; hold `lock` to make several calls
    atomic.

    `lacks` names products, resources or tables that the account lacks; `events` are its events.
    """

    def __init__(
        self,
        id: str,
        clock: Clock,
        ids: Ids,
        types: EventTypes,
        *,
        livemode: bool,
        api_version: str,
        lacks: Collection[str] = (),
    ) -> None:
        self.id, self.clock, self.ids, self.livemode, self.lacks = id, clock, ids, livemode, set(lacks)
        self.lock = threading.RLock()
        self.tables = {name: Rows(scoped=table.key != ("id",)) for name, table in TABLES.items()}
        self.deleted: dict[str, dict[str, Deleted]] = {name: {} for name in TABLES}
        self.views = Views(self.tables)
        self._seq = 0
        snapshots, thin = self.tables["events"], self.tables["v2_core_events"]
        self.events = Events(
            snapshots, thin, clock, ids, types, self.next_place, livemode=livemode, api_version=api_version
        )

    # --- reading -----------------------------------------------------------------------------------------------------

    def get(self, table: str, id: str, parent: str | None = None) -> Object | None:
        """An object without its embedded lists; None if it does not exist."""
        with self.lock:
            row = self.tables[table].get(id, parent)
            return orjson.loads(row.own) if row else None

    def show(self, table: str, id: str, parent: str | None = None) -> Object:
        """An object as Stripe shows it, with its embedded lists. Raises KeyError if it does not exist."""
        with self.lock:
            shown: Object = orjson.loads(self.views.of(table, self._row(table, id, parent)))
            return shown

    def rows(self, table: str, *, hidden: bool = False) -> list[Held]:
        """The objects of a table with their keys and parents, oldest first; `hidden` adds those that no list shows."""
        with self.lock:
            return truth.held(self, table, hidden=hidden)

    def objects(self, table: str, *, hidden: bool = False) -> list[Object]:
        """The objects of a table, oldest first, without their embedded lists, which are tables of their own."""
        return [held.object for held in self.rows(table, hidden=hidden)]

    def truth(self, resources: Iterable[str] | None = None) -> Truth:
        """table -> key -> object, as after a load of the named resources (default: all)."""
        with self.lock:
            return truth.truth(self, resources)

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
        """Adds an object; children in the fields of embedded lists are added to their own tables.

        `at` is the second of creation (default: the object's `created`, or now), `parent` the id of its parent, `event`
        the type of the event to emit (True: the usual type). Returns the object without its lists.
        """
        with self.lock:
            own, lists = split(dict(object), TABLES[table].embedded)
            if at is None:
                at = own["created"] if isinstance(own.get("created"), int) else self.clock.seconds()
            link = LINKS.get(table)
            if parent is None and link and isinstance(own.get(link), str):
                parent = own[link]
            id = str(own.get("id") or "/".join(key_of(own, TABLES[table].key, parent)))
            row = StoredObject(id, at, self.next_place(), orjson.dumps(own), parent, hidden)
            self.tables[table].add(row)
            for embedded, children in lists:
                for child in reversed(children):
                    self.create(embedded.table, child, at=at, parent=id, hidden=hidden, event=False)
            self.views.forget(table, row)
            if event and not hidden:
                self.events.changed(own, self.views.of(table, row), "created", event, at)
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
        """Changes fields of an object. A value for the field of an embedded list replaces the whole list."""
        with self.lock:
            at = self.clock.seconds() if at is None else at
            row = self._row(table, id, parent)
            old: Object = orjson.loads(row.own)
            fields, lists = split(dict(changes), TABLES[table].embedded)
            before = {embedded.field: orjson.dumps(self.views.embedded(row, embedded)) for embedded, _ in lists}
            for embedded, children in lists:
                self._replace(embedded, row, children, at)
            new = old | fields
            row.own = orjson.dumps(new)
            self._relink(table, row, old, new)
            self.views.forget(table, row)
            previous = difference(old, new) | {field: orjson.Fragment(value) for field, value in before.items()}
            if event and previous and not row.hidden:
                self.events.changed(new, self.views.of(table, row), "updated", event, at, previous)
            return new

    def delete(
        self, table: str, id: str, *, at: int | None = None, parent: str | None = None, event: bool | str = True
    ) -> Deleted:
        """Deletes an object and its embedded children."""
        with self.lock:
            at = self.clock.seconds() if at is None else at
            row = self._row(table, id, parent)
            own: Object = orjson.loads(row.own)
            if event and not row.hidden:
                self.events.changed(own, self.views.of(table, row), "deleted", event, at)
            for embedded in TABLES[table].embedded:
                if TABLES[embedded.table].parent == table:
                    for child in list(self.tables[embedded.table].of(id).rows()):
                        self._remove(embedded.table, child, at)
            self.views.forget(table, row)
            return self._remove(table, row, at)

    def emit(self, type: str, data: Object, *, at: int | None = None, previous: Object | None = None) -> Object:
        """Adds an event that does not come from a change (`invoice.upcoming`, `balance.available`…), and returns it."""
        with self.lock:
            return self.events.tell(type, orjson.dumps(data), self.clock.seconds() if at is None else at, previous)

    def tell(self, table: str, id: str, type: str, *, at: int | None = None) -> None:
        """Adds an event of a type with the current state of an object."""
        with self.lock:
            row, at = self._row(table, id, None), self.clock.seconds() if at is None else at
            if self.events.kept(at):
                self.events.tell(type, self.views.of(table, row), at)

    # --- keeping -----------------------------------------------------------------------------------------------------

    def state(self) -> State:
        """A copy of the account's content: objects, deletions, and the positions of ids and insertion order."""
        with self.lock:
            tables = {name: Rows(scoped=rows.scoped) for name, rows in self.tables.items()}
            for name, rows in tables.items():
                rows.become(self.tables[name])
            deleted = {name: dict(gone) for name, gone in self.deleted.items()}
            return State(tables, deleted, self._seq, self.ids.place())

    def become(self, state: State) -> None:
        """Replaces the content with that of another account of the same id. Later changes of one do not affect the
        other.
        """
        with self.lock:
            for name, rows in self.tables.items():
                rows.become(state.tables[name])
                self.deleted[name] = dict(state.deleted[name])
            self._seq = state.place
            self.ids.go_to(state.ids)

    # --- inside ------------------------------------------------------------------------------------------------------

    def next_place(self) -> int:
        """The next number in the order of insertion."""
        self._seq += 1
        return self._seq

    def _row(self, table: str, id: str, parent: str | None) -> StoredObject:
        row = self.tables[table].get(id, parent)
        if row is None:
            raise KeyError(f"{table} has no {id}")
        return row

    def _remove(self, table: str, row: StoredObject, at: int) -> Deleted:
        own = orjson.loads(row.own)
        self.tables[table].remove(row)
        gone = Deleted(row.id, own["object"], at, row.parent, row.own.decode())
        self.deleted[table][row.id] = gone
        return gone

    def _relink(self, table: str, row: StoredObject, old: Object, new: Object) -> None:
        """Moves an object that names another parent now to that parent."""
        link = LINKS.get(table)
        if link and old.get(link) != new.get(link) and row.parent == old.get(link):
            self.views.forget(table, row)
            self.tables[table].move(row, new.get(link))

    def _replace(self, embedded: Embedded, row: StoredObject, children: Sequence[Object], at: int) -> None:
        """Makes `children` the complete set of a row's children; those that existed keep their place."""
        collection = self.tables[embedded.table]
        wanted = {str(child["id"]): child for child in children}
        for child in list(collection.of(row.id).rows()):
            if child.id in wanted:
                child.own, child.view = orjson.dumps(wanted.pop(child.id)), None
            else:
                self._remove(embedded.table, child, at)
        for object in reversed(list(wanted.values())):
            self.create(embedded.table, object, at=at, parent=row.id, event=False)
