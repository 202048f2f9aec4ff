"""Orb's objects -> plain rows of tables. Knows no HTTP, no Arrow, no database. `sources/rows.py` defines rows.

Arrays that fill a table of their own are moved there; a plan keeps the ids of its prices.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sources.catalogue import Embedded, Expanded, Table
from sources.columns.coerce import MAX_KEY
from sources.columns.columns import OWN_COLUMNS
from sources.columns.conversion import conversion
from sources.columns.layout import OTHER_FIELDS, RESERVED
from sources.errors import BrokenPage
from sources.json_text import escaped
from sources.orb_api.catalogue import CATALOGUE
from sources.rows import ClosedSets, Row, Stamp

if TYPE_CHECKING:
    from sources.columns.columns import Columns
    from sources.columns.conversion_counts import ConversionCounts
    from sources.fetch.pager import Convert

TABLES = CATALOGUE.tables
_KEYS = {name: tuple(field for field in table.key if field not in OWN_COLUMNS) for name, table in TABLES.items()}
ANY_MOMENT = "1970-01-01T00:00:00Z"


def converter(account_id: str, columns: Columns, counts: ConversionCounts) -> Convert:
    """A conversion for a `Fetch`."""
    return conversion(account_id, columns, counts, explode, set_marker)


def explode(
    table: str,
    objects: Sequence[Row],
    stamp: Stamp,
    *,
    parent_id: str | None = None,
    counts: ConversionCounts | None = None,
    closed: ClosedSets | None = None,
) -> dict[str, list[Row]]:
    """Rows by table of the objects of one table and of all objects inside them. Modifies the objects, which become the
    rows.

    An array that fills a table also adds a set marker, or an entry in `closed` if that is passed. An object without a
    usable key is left out and recorded in `counts`; without `counts`, BrokenPage is raised.
    """
    rows: dict[str, list[Row]] = {}
    _explode(rows, TABLES[table], objects, stamp, parent_id, counts, closed)
    return rows


def set_marker(table: str, parent_id: str, stamp: Stamp) -> Row:
    """The set marker of a parent's children; its key columns hold the parent's id, or any timestamp."""
    kinds = CATALOGUE.fields(table)
    key = {name: parent_id if kinds[name] == "text" else ANY_MOMENT for name in _key(TABLES[table])}
    return {**key, **_own(TABLES[table], stamp, parent_id), "_source": "set"}


def gone(table: str, id: str, stamp: Stamp) -> dict[str, list[Row]]:
    """Rows of a deleted object of which only the id is known: a tombstone, and set markers without children."""
    own = _own(TABLES[table], stamp, None)
    rows = {table: [{**dict.fromkeys(_key(TABLES[table]), id), **own, "_deleted_at": stamp.as_of}]}
    return rows | {embedded.table: [set_marker(embedded.table, id, stamp)] for embedded in TABLES[table].embedded}


def take_children(obj: Row, embedded: Embedded) -> tuple[list[Row], bool] | None:
    """Removes an array from an object. Returns its entries, and whether they are the whole set; None if the object has
    no such array.

    Entries without a key, and those that share a key, stay in the object; then the rest is not the whole set.
    """
    entries = obj.get(embedded.field)
    if type(entries) is not list:
        return None
    child = TABLES[embedded.table]
    keyed = [entry for entry in entries if type(entry) is dict and key_problem(entry, child) is None]
    if len({entry[child.key[0]] for entry in keyed}) == len(entries):
        del obj[embedded.field]
        return keyed, True
    times = Counter(entry[child.key[0]] for entry in keyed)
    own = [entry for entry in keyed if times[entry[child.key[0]]] == 1]
    taken = set(map(id, own))
    obj[embedded.field] = [entry for entry in entries if id(entry) not in taken]
    return own, False


def take_expanded(obj: Row, expanded: Expanded) -> list[Row]:
    """Replaces the objects in an array of an object by their ids, and returns them. Entries without a key stay as they
    are.
    """
    entries = obj.get(expanded.field)
    if type(entries) is not list:
        return []
    table = TABLES[expanded.table]
    own = [type(entry) is dict and key_problem(entry, table) is None for entry in entries]
    obj[expanded.field] = [entry["id"] if is_own else entry for entry, is_own in zip(entries, own, strict=True)]
    return [entry for entry, is_own in zip(entries, own, strict=True) if is_own]


def key_problem(obj: Row, table: Table) -> str | None:
    """Why no row can hold an object: its key is missing, or too long for an index. None if a row can."""
    for field in _key(table):
        value = obj.get(field)
        if type(value) is not str or not value:
            return "lacks its key"
        if len(value) > MAX_KEY // 6 and len(escaped(value).encode()) > MAX_KEY:  # an escape takes six bytes
            return "has a key that is too long for an index"
    return None


def _explode(
    rows: dict[str, list[Row]],
    table: Table,
    objects: Sequence[Row],
    stamp: Stamp,
    parent_id: str | None,
    counts: ConversionCounts | None,
    closed: ClosedSets | None,
) -> None:
    out, own = rows.setdefault(table.name, []), _own(table, stamp, parent_id)
    for obj in objects:
        if (problem := key_problem(obj, table)) is not None:
            if counts is None:
                raise BrokenPage(f"an object of {table.name} {problem} ({', '.join(table.key)})")
            counts.reject(table.name, obj.get("id"), f"it {problem}, {', '.join(table.key)}")
            continue
        if not obj.keys().isdisjoint(RESERVED):
            aside = {name: obj.pop(name) for name in sorted(RESERVED & obj.keys())}
            obj[OTHER_FIELDS] = {name: value for name, value in aside.items() if value is not None} or None
        for embedded in table.embedded:
            if (taken := take_children(obj, embedded)) is not None:
                children, is_whole = taken
                if not is_whole and counts is not None:
                    left = len(obj[embedded.field])
                    why = f"{left} entries of {table.name}.{embedded.field} have no key, or share it"
                    counts.reject(embedded.table, obj["id"], why, left)
                _explode(rows, TABLES[embedded.table], children, stamp, obj["id"], counts, closed)
                if is_whole:
                    _close(rows, embedded.table, obj["id"], stamp, closed)
        for expanded in table.expanded:
            if found := take_expanded(obj, expanded):
                _explode(rows, TABLES[expanded.table], found, stamp, None, counts, closed)
        obj.update(own)
        out.append(obj)


def _close(rows: dict[str, list[Row]], table: str, parent_id: str, stamp: Stamp, closed: ClosedSets | None) -> None:
    if closed is None:
        rows.setdefault(table, []).append(set_marker(table, parent_id, stamp))
    else:
        closed.setdefault(table, []).append(parent_id)


def _own(table: Table, stamp: Stamp, parent_id: str | None) -> Row:
    own: Row = {"_account_id": stamp.account_id, "_as_of": stamp.as_of, "_source": stamp.source}
    if table.parent is not None:
        own["_parent_id"] = parent_id
    return own


def _key(table: Table) -> Sequence[str]:
    """The fields of a table's key that its objects show. All of them are text."""
    return _KEYS[table.name]
