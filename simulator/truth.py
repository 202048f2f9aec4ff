"""The rows that a complete read of an account must produce: those that the lists of the chosen resources show, in all
passes.

Independent of how lists are served: it reads the stored rows. Tests compare tables with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from simulator.account.events import KEPT
from simulator.account.objects import Object, key_of
from simulator.account.store import StoredObject
from simulator.api.gates import lacking
from sources.catalogue import Resource
from sources.stripe_api.catalogue import RESOURCES, TABLES

if TYPE_CHECKING:
    from simulator.account.account import Account

# Rows that the list of their table never shows, whatever the parameters.
UNLISTED: Mapping[str, Callable[[StoredObject], bool]] = {
    "reviews": lambda row: not orjson.loads(row.own)["open"],
    "apps_secrets": lambda row: orjson.loads(row.own)["scope"]["type"] != "account",
    "tax_ids": lambda row: row.parent is not None,
}


@dataclass(frozen=True, slots=True)
class Held:
    """An object of the account: its key in its table, its parent (child tables), itself without embedded lists."""

    key: tuple[str, ...]
    parent: str | None
    object: Object


Truth = dict[str, dict[tuple[str, ...], Held]]


def truth(account: Account, resources: Iterable[str] | None = None) -> Truth:
    """table -> key -> object, as after a load of the named resources (default: all)."""
    names = [r.name for r in RESOURCES.values() if r.not_loaded is None] if resources is None else list(resources)
    shown: dict[str, dict[int, StoredObject]] = {table: {} for table in TABLES}
    for resource in RESOURCES.values():
        if resource.name in names and not lacking(resource, account.lacks, livemode=account.livemode):
            for row in _listed(account, resource, shown):
                _show(account, resource.table, row, shown)
    return {table: dict(_held(table, rows.values())) for table, rows in shown.items()}


def held(account: Account, table: str, *, hidden: bool = False) -> list[Held]:
    """The objects of a table that are not deleted, oldest first; `hidden` adds those that no list shows by default."""
    rows = [row for row in account.tables[table] if hidden or not row.hidden or row.id == account.id]
    return [row for _, row in _held(table, rows)]


def _listed(
    account: Account, resource: Resource, shown: Mapping[str, Mapping[int, StoredObject]]
) -> Iterable[StoredObject]:
    """The rows that a resource's lists show, given those of the resources before it."""
    collection = account.tables[resource.table]
    if resource.kind == "singleton":
        row = collection.get(account.id if resource.table == "accounts" else "")
        return [row] if row is not None else []
    if resource.kind == "root":
        since = account.clock.seconds() - KEPT if resource.table in ("events", "v2_core_events") else 0
        unlisted = UNLISTED.get(resource.table)
        rows = [row for row in collection.shelf.rows() if row.created >= since]
        return [row for row in rows if not unlisted(row)] if unlisted else rows
    parent = next((p for p in resource.parents if p.table == TABLES[resource.table].parent), resource.parents[0])
    others = [p for p in resource.parents if p is not parent]
    if any(not shown[other.table] for other in others):
        return []
    above = [row for row in shown[parent.table].values() if row.id.startswith(parent.prefix)]
    if parent.also:
        columns = [column for _, column in parent.also]
        above = [row for row in above if all(orjson.loads(row.own).get(column) is not None for column in columns)]
    return [row for parent in above for row in collection.of(parent.id).rows()]


def _show(account: Account, table: str, row: StoredObject, shown: dict[str, dict[int, StoredObject]]) -> None:
    """Adds a row, the rows embedded in it, and the objects of its expanded ids."""
    shown[table][row.seq] = row
    for expanded in TABLES[table].expanded:
        if f'"{expanded.field}":["'.encode() in row.own:
            for id in orjson.loads(row.own)[expanded.field]:
                if (named := account.tables[expanded.table].get(id)) is not None:
                    _show(account, expanded.table, named, shown)
    for embedded in TABLES[table].embedded:
        for child in account.tables[embedded.table].of(row.id).rows():
            _show(account, embedded.table, child, shown)


def _held(table: str, rows: Iterable[StoredObject]) -> Iterable[tuple[tuple[str, ...], Held]]:
    child, key = TABLES[table].parent is not None, TABLES[table].key
    for row in rows:
        object = orjson.loads(row.own)
        found = key_of(object, key, row.parent)
        yield found, Held(found, row.parent if child else None, object)
