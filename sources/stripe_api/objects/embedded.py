"""Keys of Stripe's objects, and what is taken out of them. Pure; knows nothing of rows, columns, HTTP."""

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
    """An embedded list that was taken out: its objects, and whether they are all (`has_more` is false).

    `left` entries stayed in the object, for want of a key of their own.
    """

    objects: list[dict[str, Any]]
    whole: bool
    left: int = 0


_NONE_AT_ALL, _NONE_HERE = Taken([], whole=True), Taken([], whole=False)


def take(obj: dict[str, Any], embedded: Embedded) -> Taken | None:
    """Remove the list from the object (which is changed) and return it; None, and no change, where it has none.

    Only a list object whose entries are objects with the key of their table is taken: anything else (null, a list of
    ids, a shape that Stripe does not have today) stays in the object, so that nothing is lost. So do entries without a
    key, and those that have one together: the others are taken, and the list is not whole.
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
    """Put ids into an object (which is changed) for the objects in an array of it, and return these.

    What has no key, or is no object of that table, stays as it is.
    """
    entries = obj.get(expanded.field)
    if type(entries) is not list or not any(type(entry) is dict for entry in entries):
        return []
    kinds = TABLES[expanded.table].objects
    own = [type(entry) is dict and entry.get("object") in kinds and has_key(entry, expanded.table) for entry in entries]
    obj[expanded.field] = [entry["id"] if is_own else entry for entry, is_own in zip(entries, own, strict=True)]
    return [entry for entry, is_own in zip(entries, own, strict=True) if is_own]


SHORT_KEY = MAX_KEY // 6
"""Characters that are short enough whatever they are: an escape takes six bytes."""


def key_problem(obj: dict[str, Any], table: str) -> str | None:
    """Why no row can hold an object: it lacks its table's key, or no index can hold that. None where one can."""
    for field, expected in _key_types(table):
        value = obj.get(field)
        if type(value) is not expected or value == "":
            return "came without its key"
        if isinstance(value, str) and len(value) > SHORT_KEY and len(escaped(value).encode()) > MAX_KEY:
            return "came with a key that is too long for an index"
    return None


def id_in(obj: dict[str, Any], table: Table) -> Any:
    """What tells an object from its neighbours in a list: the first field of its key, or its id of today."""
    own = obj.get(table.unique_id) if table.unique_id is not None else None
    return own if type(own) is str and own else obj[table.key[0]]


def has_key(obj: dict[str, Any], table: str) -> bool:
    """Whether the object has all of its table's key: strings, not empty, or integers where the key is a number or a
    time.
    """
    for field, expected in _key_types(table):
        value = obj.get(field)
        if type(value) is not expected or value == "":
            return False
    return True


@cache
def _key_types(table: str) -> tuple[tuple[str, type], ...]:
    """Key fields of Stripe's, with the type that a value needs; our own columns are not the object's to have."""
    kinds = fields_of(table)
    fields = [field for field in TABLES[table].key if field not in OWN_COLUMNS]
    return tuple((field, str if kinds[field] == "text" else int) for field in fields)


def key_columns_of(table: str, id: str, parent_id: str | None) -> dict[str, Any]:
    """Key columns for a row that is no object: the id, then the parent's for further fields, 0 for numbers and
    times.
    """
    ids = (id, *[parent_id or id] * len(TABLES[table].key))
    return {field: ids[place] if expected is str else 0 for place, (field, expected) in enumerate(_key_types(table))}
