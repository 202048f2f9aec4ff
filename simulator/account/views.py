"""The JSON of rows in lists, retrieves and events, with embedded lists, cached until something changes."""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from simulator.account.objects import Object, place
from simulator.account.store import Collection, StoredObject
from sources.catalogue import Embedded, Table
from sources.stripe_api.catalogue import TABLES

EMBEDDED = 10
NOTHING = '{"object":"list","data":[],"has_more":false,"total_count":0,"url":"'


class Views:
    """Renders the rows of an account's tables."""

    def __init__(self, tables: Mapping[str, Collection]) -> None:
        self._tables = tables
        self._holders = _holders(TABLES)

    def of(self, table: str, row: StoredObject) -> bytes:
        """The JSON of a row."""
        if row.view is None:
            row.view = self._made(TABLES[table], row)
        return row.view

    def embedded(self, row: StoredObject, embedded: Embedded) -> Object:
        """The embedded list of a row's children."""
        return self.listed(embedded.table, row.id, _url(embedded, row.id))

    def listed(self, table: str, parent: str, url: str) -> Object:
        """An embedded list: the first ten children, and whether there are more."""
        children = list(self._tables[table].of(parent).newest())
        return {
            "object": "list",
            "data": [orjson.Fragment(self.of(table, child)) for child in children[:EMBEDDED]],
            "has_more": len(children) > EMBEDDED,
            "total_count": len(children),
            "url": url,
        }

    def forget(self, table: str, row: StoredObject) -> None:
        """Drops the cached JSON of a changed row and of the objects that embed it."""
        row.view = None
        for holder in self._holders.get(table, ()):
            above = self._tables[holder].get(row.parent) if row.parent else None
            if above is not None and above.view is not None:
                self.forget(holder, above)

    def _made(self, table: Table, row: StoredObject) -> bytes:
        embedded = [child for child in table.embedded if not child.expand]
        if not embedded and not table.shown_on_request:
            return row.own
        object: Object = orjson.loads(row.own)
        for child in embedded:
            place(object, child.field, self.embedded(row, child))
        for field in table.shown_on_request:
            object.pop(field, None)
        return orjson.dumps(object)


def _url(embedded: Embedded, id: str) -> str:
    query = "&".join(f"{name}={value.format(id=id)}" for name, value in embedded.params)
    return embedded.path.format(id=id) + (f"?{query}" if query else "")


def empty_list(embedded: Embedded) -> tuple[bytes, bytes]:
    """The JSON of an embedded list without entries, before and after its parent's id."""
    before, _, after = _url(embedded, "\0").partition("\0")
    return (NOTHING + before).encode(), (after + '"}').encode()


def _holders(tables: Mapping[str, Table]) -> dict[str, list[str]]:
    """table -> the tables whose rows embed its rows."""
    found: dict[str, list[str]] = {}
    for name, table in tables.items():
        for embedded in table.embedded:
            found.setdefault(embedded.table, []).append(name)
    return found
