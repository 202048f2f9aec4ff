"""Takes embedded lists and expanded objects out of Stripe's objects, and checks keys. Pure; knows no row, column,
HTTP."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from sources.columns.coerce import MAX_KEY
from sources.columns.columns import OWN_COLUMNS
from sources.json_text import escaped
from sources.stripe_api.catalogue import TABLES
from sources.stripe_api.catalogue.fields import fields_of

if TYPE_CHECKING:
    from sources.catalogue import Embedded, Expanded, Table


class Taken(NamedTuple):
    """An embedded list that was taken out: its objects, and whether they are the whole list (`has_more` is false).

    `left` entries stayed in the object, because they lack a key of their own.
    """

    objects: list[dict[str, Any]]
    whole: bool
    left: int = 0


_NONE_AT_ALL, _NONE_HERE = Taken([], whole=True), Taken([], whole=False)


def take(obj: dict[str, Any], embedded: Embedded) -> Taken | None:
    """Removes the list from the object (which is modified) and returns it; returns None if the object has no such list.

    Only a list object whose entries are objects with their table's key is taken. Anything else (null, a list of ids, an
    unknown shape) stays in the object, so that nothing is lost. Entries without a key, and those that share a key, stay
    too: then the rest is taken, and the list is not whole.
    """
    holder: Any = obj
    field = embedded.field
    if "." in field:
        *path, field = field.split(".")
        for step in path:
            holder = holder.get(step) if type(holder) is dict else None
    listed = holder.get(field) if type(holder) is dict else None
    if type(listed) is not dict or listed.get("object") != "list" or type(listed.get("data")) is not list:
        return None
    entries = listed["data"]
    if not entries:
        del holder[field]
        return _NONE_AT_ALL if listed.get("has_more") is False else _NONE_HERE
    child = TABLES[embedded.table]
    keyed = [entry for entry in entries if type(entry) is dict and has_key(entry, child.name)]
    times = Counter([id_in(entry, child) for entry in keyed])
    if len(times) == len(entries):
        del holder[field]
        return Taken(entries, listed.get("has_more") is False)
    own = [entry for entry in keyed if times[id_in(entry, child)] == 1]
    taken = set(map(id, own))
    listed["data"] = [entry for entry in entries if id(entry) not in taken]
    return Taken(own, whole=False, left=len(listed["data"]))


def take_expanded(obj: dict[str, Any], expanded: Expanded) -> list[dict[str, Any]]:
    """Replaces the objects in an array of an object (which is modified) by their ids, and returns them.

    Entries without a key, and objects of other tables, stay as they are.
    """
    entries = obj.get(expanded.field)
    if type(entries) is not list or not any(type(entry) is dict for entry in entries):
        return []
    kinds = TABLES[expanded.table].objects
    own = [type(entry) is dict and entry.get("object") in kinds and has_key(entry, expanded.table) for entry in entries]
    obj[expanded.field] = [entry["id"] if is_own else entry for entry, is_own in zip(entries, own, strict=True)]
    return [entry for entry, is_own in zip(entries, own, strict=True) if is_own]


SHORT_KEY = MAX_KEY // 6
"""A key of this many characters always fits: an escaped character takes six bytes."""


def key_problem(obj: dict[str, Any], table: str) -> str | None:
    """Why no row can hold an object: its key is missing, or too long for an index. None if a row can."""
    for field, expected in _key_types(table):
        value = obj.get(field)
        if type(value) is not expected or value == "":
            return "lacks its key"
        if isinstance(value, str) and len(value) > SHORT_KEY and len(escaped(value).encode()) > MAX_KEY:
            return "has a key that is too long for an index"
    return None


def id_in(obj: dict[str, Any], table: Table) -> Any:
    """The value that identifies an object within a list: the first field of its key, or its present id
    (`Table.unique_id`).
    """
    own = obj.get(table.unique_id) if table.unique_id is not None else None
    return own if type(own) is str and own else obj[table.key[0]]


def has_key(obj: dict[str, Any], table: str) -> bool:
    """Whether the object has every field of its table's key: a non-empty string, or an integer for numbers and
    timestamps.
    """
    for field, expected in _key_types(table):
        value = obj.get(field)
        if type(value) is not expected or value == "":
            return False
    return True


@cache
def _key_types(table: str) -> tuple[tuple[str, type], ...]:
    """Stripe's fields in a table's key, with the type that values need; without our own columns."""
    kinds = fields_of(table)
    fields = [field for field in TABLES[table].key if field not in OWN_COLUMNS]
    return tuple((field, str if kinds[field] == "text" else int) for field in fields)


def key_columns_of(table: str, id: str, parent_id: str | None) -> dict[str, Any]:
    """The key columns of a row that is not an object: the id, then the parent's id for further texts, 0 for numbers and
    timestamps.
    """
    ids = (id, *[parent_id or id] * len(TABLES[table].key))
    return {field: ids[place] if expected is str else 0 for place, (field, expected) in enumerate(_key_types(table))}
