"""Stripe's events -> the changes that they report, and whether their payloads can be used. Pure.

A payload shows the object in the API version of the event, with embedded lists cut at about ten entries. It is used if
the version is the project's and every list is whole. Otherwise the object has to be retrieved, so that no row has
another version's shape, or ten of twenty lines (https://docs.stripe.com/api/events/object). The newest event of an
object decides; if its newest second has two different states, the object has to be retrieved too.

Knows no HTTP, no Arrow and no database.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal
from urllib.parse import unquote

from sources.catalogue import LAST_SECOND, Embedded, Table
from sources.changes import THIN, Change, Ignored
from sources.columns.conversion_counts import ConversionCounts
from sources.errors import BrokenPage
from sources.rows import Row, Stamp
from sources.stripe_api.catalogue import CATALOGUE, RESOURCES, TABLES
from sources.stripe_api.objects.embedded import has_key, take
from sources.stripe_api.objects.rows import explode, set_marker

Doubt = Literal["version", "cut list", "list not shown", "field not shown", "tie"]
"""Why a payload cannot be used: another API version; an incomplete embedded list; a list that no payload shows and no
event reports; a field that no payload shows; another state in the same second."""


_TOLD: frozenset[str] = frozenset(kind.table for kind in CATALOGUE.types.values())
LISTED_LATER: frozenset[str] = frozenset({"payment_intents"})
"""Tables whose objects are not retrieved for lists that payloads lack, because the sync reads these lists: nearly every
event of an account is about an intent, and the line items of its amount are fixed when it is created."""


def change_of(event: Mapping[str, Any], api_version: str, account_id: str) -> Change | Ignored:
    """What an event reports. The change takes over the event's object, which `rows_of` modifies. Raises BrokenPage for
    an event without an object.

    Events of connected accounts are ignored, because their objects belong to loads of those accounts; only events about
    the accounts themselves count, which the platform lists too.
    """
    if event.get("object") == "v2.core.event":
        return _thin_change(event)
    data = event.get("data")
    shown = data.get("object") if isinstance(data, dict) else None
    if not isinstance(event.get("type"), str) or not isinstance(shown, dict):
        raise BrokenPage("the event has no type, or no object")
    type = str(event["type"])
    if (known := CATALOGUE.types.get(type)) is not None and known.ignored:
        return Ignored(type, known.ignored)
    obj = dict(unwrapped(shown))
    name = table_of_event(type, obj)
    if name is None:
        return Ignored(type, "its object has no table")
    table = TABLES[name]
    if not has_key(obj, name):
        return Ignored(type, f"its object has no {' and '.join(table.key)}")
    if event.get("account") not in (None, account_id) and "accounts" not in (name, table.parent):
        return Ignored(type, "it belongs to a connected account")
    parent = obj.get(table.parent_field) if table.parent_field else None
    parent_id = parent.get("id") if isinstance(parent, dict) else parent
    parent_id = parent_id if isinstance(parent_id, str) and parent_id else None
    if "_parent_id" in table.key and parent_id is None:
        return Ignored(type, "its object does not name its parent")
    is_gone = is_deletion(type) or obj.get("deleted") is True
    return Change(
        table=name,
        key=tuple([str(parent_id if field == "_parent_id" else obj[field]) for field in table.key]),
        parent_id=parent_id,
        at=int(event["created"]),
        created=_created(name, obj),
        is_deletion=is_gone,
        object=obj,
        doubt="version" if event.get("api_version") != api_version else None if is_gone else _doubt(table, obj),
    )


def _thin_change(event: Mapping[str, Any]) -> Change | Ignored:
    """What a thin event reports: it names its object and where to read it, but shows no state."""
    type, related, at = str(event["type"]), event.get("related_object") or {}, _second(event["created"])
    name = CATALOGUE.table_of_object(str(related.get("type")))
    if name is None:
        return Ignored(type, "it names no object that a table holds")
    table, id = TABLES[name], related.get("id")
    if is_deletion(type) and isinstance(id, str) and id and table.key:
        return Change(name, (id,), None, at, None, True, {"id": id})
    ids = _ids_in(str(related.get("url")), table.retrieve or "")
    if not table.key or not set(table.key) <= ids.keys():
        return Ignored(type, "it does not say where its object can be read")
    return Change(name, tuple(ids[each] for each in table.key), ids.get("_parent_id"), at - 1, None, False, {}, THIN)


def _ids_in(path: str, template: str) -> Mapping[str, str]:
    """The values of a template's placeholders in a path; empty if the path does not match the template."""
    pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(template))
    match = re.fullmatch(pattern, path.partition("?")[0])
    return {name: unquote(value) for name, value in match.groupdict().items()} if match and template else {}


def _second(created: Any) -> int:
    """Unix seconds of a thin event's RFC 3339 text."""
    return int(datetime.fromisoformat(created).timestamp()) if isinstance(created, str) else int(created)


def _doubt(table: Table, obj: Row) -> Doubt | None:
    """Why an object in the project's API version cannot be used; None if it can."""
    if any(_goes_on(obj, embedded) for embedded in table.embedded):
        return "cut list"
    if table.name not in LISTED_LATER and any(
        embedded.expand and embedded.table not in _TOLD for embedded in table.embedded
    ):
        return "list not shown"
    if table.shown_on_request:
        return "field not shown"
    return None


def rows_of(change: Change, account_id: str, entries: ConversionCounts | None = None) -> dict[str, list[Row]]:
    """Rows by table of a change without `doubt`, or of a deletion. Its object is modified.

    A deletion in another API version leaves a tombstone. The children of a deleted object are deleted with it. Embedded
    objects that no row can hold are recorded in `entries`. Raises BrokenPage if no row can hold the object itself.
    """
    stamp = Stamp(account_id, change.at, "event")
    if not change.is_deletion:
        return explode(change.table, [change.object], stamp, entries=entries)
    table = TABLES[change.table]
    if not table.key:
        return {}
    if change.doubt is not None:
        return gone(change.table, change.object, stamp, change.parent_id)
    for embedded in table.embedded:
        take(change.object, embedded)
    rows = explode(change.table, [{**change.object, "deleted": True}], stamp)
    for embedded in table.embedded:
        if TABLES[embedded.table].parent is not None:
            rows.setdefault(embedded.table, [])[:] = [set_marker(embedded.table, change.key[0], stamp)]
    return rows


def gone(table: str, key_holder: Mapping[str, Any], stamp: Stamp, parent_id: str | None) -> dict[str, list[Row]]:
    """Rows of a deleted object of which only the key is known: a tombstone, and set markers without children."""
    stub = {field: key_holder[field] for field in TABLES[table].key if field in key_holder and field != "_parent_id"}
    return explode(table, [{**stub, "object": TABLES[table].objects[0], "deleted": True}], stamp, parent_id=parent_id)


def _goes_on(obj: Mapping[str, Any], embedded: Embedded) -> bool:
    listed: Any = obj
    for step in embedded.field.split("."):
        listed = listed.get(step) if isinstance(listed, dict) else None
    return isinstance(listed, dict) and listed.get("object") == "list" and listed.get("has_more") is not False


def _created(table: str, obj: Mapping[str, Any]) -> int | None:
    """The second of creation by which the table's own list is ordered."""
    resource = RESOURCES.get(table)
    field = resource.created_field if resource is not None else "created"
    value = obj.get(field) if field else None
    return value if type(value) is int and 0 <= value <= LAST_SECOND else None


def is_deletion(event_type: str) -> bool:
    """Whether a type, known or not, means that its object is deleted."""
    name = event_type.removeprefix("v1.")
    return CATALOGUE.types[name].deletes if name in CATALOGUE.types else name.endswith(".deleted")


def unwrapped(obj: Mapping[str, Any]) -> Mapping[str, Any]:
    """The API's object in an event's object: the event's object itself, or the one that it contains (`carried_by`)."""
    carried = obj.get(CATALOGUE.carried_by.get(str(obj.get("object")), ""))
    return carried if isinstance(carried, Mapping) else obj


def table_of_event(event_type: str, obj: Mapping[str, Any]) -> str | None:
    """The table of an event's object; None if no table can hold it.

    The object's own name and parent decide; if they leave it open (a card that shows no customer), the event type
    decides.
    """
    known = CATALOGUE.types.get(event_type.removeprefix("v1."))
    if known is not None and obj.get("object") in TABLES[known.table].objects:
        return known.table
    return CATALOGUE.table_of(obj)
