"""Pure functions on Stripe's objects as dicts: dotted fields, embedded lists, the changes of an update."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from sources.catalogue import Embedded

Object = dict[str, Any]


def iso(second: int) -> str:
    """A second in the time format of v2."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> Object:
    """`previous_attributes`: the old values of the fields that changed; of nested objects, only the changed fields."""
    found: Object = {}
    for name in sorted(new.keys() | old.keys()):
        before, after = old.get(name), new.get(name)
        if before == after:
            continue
        nested = isinstance(before, dict) and isinstance(after, dict)
        found[name] = difference(before or {}, after or {}) if nested else before
    return found


def holder_of(object: Object, field: str) -> tuple[Object | None, str]:
    """The object that contains a dotted field (None if an object on its path is missing), and the field's last name."""
    *way, last = field.split(".")
    holder: Any = object
    for part in way:
        holder = holder.get(part) if isinstance(holder, dict) else None
    return (holder if isinstance(holder, dict) else None), last


def place(object: Object, field: str, value: object) -> None:
    """Sets a dotted field; does nothing if an object on its path is missing."""
    holder, name = holder_of(object, field)
    if holder is not None:
        holder[name] = value


def split(object: Object, embedded: Iterable[Embedded]) -> tuple[Object, list[tuple[Embedded, list[Object]]]]:
    """Splits an object from the children in the fields of its embedded lists (each an array or a list object)."""
    lists = []
    for child in embedded:
        holder, name = holder_of(object, child.field)
        if holder is None or name not in holder:
            continue
        children = holder.pop(name)
        if children is not None:
            lists.append((child, children["data"] if isinstance(children, dict) else children))
    return object, lists


def key_of(object: Mapping[str, Any], names: Iterable[str], parent: str | None) -> tuple[str, ...]:
    """The values of a table's key columns."""
    return tuple(str(parent if name == "_parent_id" else object.get(name)) for name in names)
