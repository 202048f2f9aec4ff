"""Stripe's objects -> plain rows of tables.

Lists that fill a table of their own are moved there. Knows no HTTP, no Arrow, no database.

Two kinds of rows are not objects:
- a *tombstone* has the key, `_deleted_at` and no `object`: the merge sets `_deleted_at` and keeps the rest of the row;
- a *set marker*, `_source` = "set", says that at `_as_of` the children of `_parent_id` were exactly the rows that
  came along: the merge deletes older ones that are missing and never stores the marker.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sources.columns.conversion import conversion
from sources.columns.layout import OTHER_FIELDS, RESERVED
from sources.errors import BrokenPage
from sources.rows import ClosedSets, Row, Stamp
from sources.stripe_api.catalogue import TABLES
from sources.stripe_api.catalogue.fields import fields_of
from sources.stripe_api.objects.embedded import id_in, key_columns_of, key_problem, take, take_expanded

if TYPE_CHECKING:
    from sources.catalogue import Table
    from sources.columns.columns import Columns
    from sources.columns.conversion_counts import ConversionCounts
    from sources.fetch.pager import Convert

_STUB_FIELDS = 5
"""The most fields of a deletion stub: `id`, `object`, `deleted` and at most two more (`currency`; `device_type` and
`serial_number`)."""


def explode(
    table: str,
    objects: Sequence[Row],
    stamp: Stamp,
    *,
    parent_id: str | None = None,
    counts: ConversionCounts | None = None,
    entries: ConversionCounts | None = None,
    closed: ClosedSets | None = None,
) -> dict[str, list[Row]]:
    """Rows by table of the objects of one table and of all objects inside them. Modifies the objects, which become the
    rows.

    Embedded lists are removed from their object; expanded objects are replaced by their ids.

    A whole embedded list also adds a set marker; a list with `has_more` does not. Objects with `deleted: true` become
    tombstones if they are stubs, otherwise rows with `_deleted_at`. `parent_id` is stored if the table has parents. An
    object's `id` is replaced by its present id if it shows both (`Table.unique_id`). An object without a usable key is
    left out and recorded in `counts`; without `counts`, BrokenPage is raised. Embedded objects are recorded in
    `entries` if that is passed. With `closed`, parents are added to it instead of set markers to the rows: most
    embedded lists are empty, and a marker costs as much as a row.
    """
    rows: dict[str, list[Row]] = {}
    _explode(rows, TABLES[table], objects, stamp, parent_id, counts, entries or counts, closed)
    return rows


def converter(account_id: str, columns: Columns, counts: ConversionCounts) -> Convert:
    """A conversion for a `Fetch`."""
    return conversion(account_id, columns, counts, explode, set_marker)


def set_marker(table: str, parent_id: str, stamp: Stamp) -> Row:
    """The set marker of a parent's children; its key columns hold the parent's id."""
    return {**key_columns_of(table, parent_id, parent_id), **_own(TABLES[table], stamp, parent_id), "_source": "set"}


def _explode(
    rows: dict[str, list[Row]],
    table: Table,
    objects: Sequence[Row],
    stamp: Stamp,
    parent_id: str | None,
    counts: ConversionCounts | None,
    entries: ConversionCounts | None,
    closed: ClosedSets | None,
) -> None:
    out = rows.setdefault(table.name, [])
    own = _own(table, stamp, parent_id)
    below_parent = "_parent_id" in table.key
    for obj in objects:
        problem = key_problem(obj, table.name)
        if problem is None and below_parent and not (parent_id or _parent_of(table, obj)):
            problem = "does not name its parent"
        if problem is not None:
            _reject(table, obj, problem, counts)
            continue
        if not obj.keys().isdisjoint(RESERVED):
            aside = {name: obj.pop(name) for name in sorted(RESERVED & obj.keys())}
            obj[OTHER_FIELDS] = {name: value for name, value in aside.items() if value is not None} or None
        if table.unique_id is not None and (own_id := id_in(obj, table)) != obj["id"]:
            obj[OTHER_FIELDS] = {**(obj.get(OTHER_FIELDS) or {}), "id": obj["id"]}
            obj["id"] = own_id
        if type(deleted := obj.get("deleted")) is bool:
            if deleted and _is_stub(table, obj):
                _delete(rows, table, obj, stamp, parent_id, closed)
                continue
            del obj["deleted"]
            if deleted:
                obj["_deleted_at"] = stamp.as_of
        if table.embedded:
            _take_children(rows, table, obj, stamp, entries, closed)
        for expanded in table.expanded:
            if found := take_expanded(obj, expanded):
                _explode(rows, TABLES[expanded.table], found, stamp, None, entries, entries, closed)
        obj.update(own)
        if parent_id is None and table.parent_field is not None:
            obj["_parent_id"] = _parent_of(table, obj)
        out.append(obj)


def _reject(table: Table, obj: Row, what: str, counts: ConversionCounts | None) -> None:
    """Leaves out an object that no row can hold, and records it in `counts`. Raises BrokenPage without `counts`."""
    if counts is None:
        raise BrokenPage(f"an object of {table.name} {what} ({', '.join(table.key)})")
    counts.reject(table.name, obj.get("id"), f"it {what}, {', '.join(table.key)}")


def _take_children(
    rows: dict[str, list[Row]],
    table: Table,
    obj: Row,
    stamp: Stamp,
    counts: ConversionCounts | None,
    closed: ClosedSets | None,
) -> None:
    """Moves the embedded lists to their tables. Only tables with a parent get set markers."""
    id = obj[table.key[0]] if table.key else None
    for embedded in table.embedded:
        taken = take(obj, embedded)
        if taken is None:
            continue
        child = TABLES[embedded.table]
        if taken.left and counts is not None:
            why = f"entries of {table.name}.{embedded.field} have no key, or share it"
            counts.reject(child.name, id, f"{taken.left} {why}", taken.left)
        if taken.objects:
            _explode(rows, child, taken.objects, stamp, id, counts, counts, closed)
        if taken.whole and child.parent is not None and id is not None:
            _close(rows, child.name, id, stamp, closed)


def _close(rows: dict[str, list[Row]], table: str, parent_id: str, stamp: Stamp, closed: ClosedSets | None) -> None:
    if closed is None:
        rows.setdefault(table, []).append(set_marker(table, parent_id, stamp))
    else:
        closed.setdefault(table, []).append(parent_id)


def _delete(
    rows: dict[str, list[Row]],
    table: Table,
    stub: Row,
    stamp: Stamp,
    parent_id: str | None,
    closed: ClosedSets | None,
) -> None:
    """Adds a tombstone, and an empty set for each child table, because a deleted object has no children left."""
    key = {field: value for field, value in stub.items() if field in table.key}
    own = _own(table, stamp, parent_id or _parent_of(table, stub))
    rows[table.name].append({**key, **own, "_deleted_at": stamp.as_of})
    for embedded in table.embedded:
        if TABLES[embedded.table].parent is not None:
            _close(rows, embedded.table, stub[table.key[0]], stamp, closed)


def _is_stub(table: Table, obj: Row) -> bool:
    """Whether a deleted object is only a stub. In small tables, an object with half of the fields counts as whole."""
    return bool(table.key) and len(obj) <= _STUB_FIELDS and 2 * (len(obj) - 1) <= len(fields_of(table.name))


def _parent_of(table: Table, obj: Row) -> str | None:
    """The parent's id, if the object itself shows it, expanded or not."""
    parent = obj.get(table.parent_field or "")
    id = parent.get("id") if type(parent) is dict else parent
    return id if type(id) is str else None


def _own(table: Table, stamp: Stamp, parent_id: str | None) -> Row:
    own: Row = {"_account_id": stamp.account_id, "_as_of": stamp.as_of, "_source": stamp.source}
    if table.parent is not None:
        own["_parent_id"] = parent_id
    return own
