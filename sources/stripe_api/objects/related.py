"""Finds the objects that an object refers to by their ids. Pure; knows no HTTP."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sources.changes import ObjectRef
from sources.stripe_api.catalogue import TABLES
from sources.stripe_api.catalogue.prefixes import prefix_of, tables_of_id


def related(obj: Mapping[str, Any]) -> list[ObjectRef]:
    """References to the objects whose ids occur anywhere in this object, each once, itself excluded.

    Only ids whose prefix determines the table, and objects that can be retrieved by their id alone.
    """
    refs: dict[tuple[str, str], ObjectRef] = {}
    for id in _ids(obj):
        tables = tables_of_id(id) or ()
        if id == obj.get("id") or (len(tables) != 1 and tables[:1] != ("accounts",)):
            continue
        table = TABLES[tables[0]]
        if table.retrieve is not None and "{_parent_id}" not in table.retrieve and table.key == ("id",):
            refs.setdefault((table.name, id), ObjectRef(table.name, (id,), None, None, 0))
    return list(refs.values())


def _ids(value: object) -> Iterator[str]:
    """Every string in an object that looks like an id: a known prefix, followed by letters and digits."""
    if isinstance(value, str):
        rest = value.removeprefix(prefix_of(value) or value)
        if len(rest) >= 8 and not rest.islower():  # "in_progress" is not an invoice
            yield value
    elif isinstance(value, list):
        for item in value:
            yield from _ids(item)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _ids(item)
