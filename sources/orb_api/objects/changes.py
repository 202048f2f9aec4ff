"""Orb's events -> the changes that they report, and whether their payloads can be used. Pure.

An endpoint can be set to shortened payloads (`payload_style`), and older accounts get these by default. So a payload is
used only if it does not say that it is shortened, and has every field that Orb's SDK requires of a whole object;
otherwise the object has to be retrieved. The second of `created_at` is the `_as_of` of an event's rows.

Knows no HTTP, no Arrow and no database.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sources.catalogue import FIRST_SECOND, LAST_SECOND
from sources.changes import CUT, Change, Ignored
from sources.columns.conversion_counts import ConversionCounts
from sources.errors import BrokenPage
from sources.orb_api.catalogue.events import ALERTS, SUBJECTS, TYPES
from sources.orb_api.catalogue.fields import required_of
from sources.orb_api.objects.rows import TABLES, explode, key_problem
from sources.rows import Row, Stamp

BALANCE = "balance"
"""The `doubt` of a change whose event may be one of several in the same second, with different balances."""


def change_of(event: Mapping[str, Any], api_version: str, account_id: str) -> Change | Ignored:
    """What an event reports. The change takes over the event's object, which `rows_of` modifies. Raises BrokenPage if
    there is no object.

    An unknown type is understood by its first word. `api_version` and `account_id` are unused: Orb's API has no
    versions, and a key reads the events of one account.
    """
    type, at = event.get("type"), second_of(event)
    if not isinstance(type, str) or at is None:
        raise BrokenPage("the event has no type, or no time")
    first = type.partition(".")[0]
    known = TYPES.get(type)
    if known is not None and known.ignored:
        return Ignored(type, known.ignored)
    if first not in SUBJECTS:
        return Ignored(type, "no table holds its object")
    field, table = SUBJECTS[first]
    obj = event.get(field)
    if not isinstance(obj, dict):
        if known is None:
            return Ignored(type, "its type is unknown, and it shows no object")
        raise BrokenPage("the event has no object")
    if type in ALERTS:
        return _alert(event, type, table, obj, at)
    if (problem := key_problem(obj, TABLES[table])) is not None:
        return Ignored(type, f"its object {problem}")
    is_gone = known is not None and known.deletes
    doubt = None if is_gone else _doubt(type, table, event.get("payload_style"), obj)
    return Change(table, (str(obj["id"]),), None, at, None, is_gone, dict(obj), doubt)


def rows_of(change: Change, account_id: str, entries: ConversionCounts | None = None) -> dict[str, list[Row]]:
    """Rows by table of a change without `doubt`, or of a deletion. Its object is modified.

    Embedded objects that no row can hold are recorded in `entries`; without `entries`, BrokenPage is raised.
    """
    rows = explode(change.table, [change.object], Stamp(account_id, change.at, "event"), counts=entries)
    if change.is_deletion:
        for row in rows[change.table]:
            row["_deleted_at"] = change.at
    return rows


def second_of(event: Mapping[str, Any]) -> int | None:
    """The unix second of an event; None if it shows none, or an impossible one."""
    try:
        moment = datetime.fromisoformat(str(event.get("created_at")))
        second = int(moment.timestamp()) if moment.tzinfo else -1
    except (ValueError, OverflowError):
        return None
    return second if FIRST_SECOND <= second <= LAST_SECOND and second >= 0 else None


def _alert(event: Mapping[str, Any], type: str, table: str, obj: Row, at: int) -> Change | Ignored:
    """The row of an alert, which reports an occurrence, not the present state of its subject."""
    row = {
        "id": event.get("id"),
        "type": type,
        "created_at": event["created_at"],
        "subject_type": table.removesuffix("s"),
        "subject_id": obj.get("id"),
        "properties": event.get("properties"),
    }
    if (problem := key_problem(row, TABLES["alert_events"])) is not None:
        return Ignored(type, f"the event {problem}")
    return Change("alert_events", (str(row["id"]),), None, at, None, False, row)


def _doubt(type: str, table: str, style: object, obj: Row) -> str | None:
    if style not in (None, "expanded") or required_of(table) - obj.keys():
        return CUT
    return BALANCE if type == "customer.balance_transaction_created" else None
