"""What an event asks for: rows to merge, an object to read again, or nothing and why. Knows no database and no HTTP.

`objects.changes` says what a snapshot tells and whether it may be believed. What may not is read from the
API instead, where a key is configured; without one it is believed all the same, and counted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from sources.changes import Change, Ignored, ObjectRef
from sources.columns.conversion_counts import ConversionCounts
from sources.errors import BrokenPage
from sources.rows import Row, Stamp
from sources.stripe_api.catalogue import TABLES, table_of_object
from sources.stripe_api.catalogue.events import is_deletion
from sources.stripe_api.objects.changes import change_of, rows_of
from sources.stripe_api.objects.rows import tombstone
from webhook_sink.event import Event

UNREADABLE = "reading its object takes STRIPE_SECRET_KEY"
OTHER_MODE = "it is of the other mode"


@dataclass(frozen=True, slots=True)
class Reread:
    """An object to read from the API: `ref.at` is the second that the answer must lie past.

    `account_id` is where its rows belong, `context` the connected account to ask as, None for our own.
    """

    ref: ObjectRef
    account_id: str
    context: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Decision:
    """`rows` by table, as `rows.explode` makes them; `waits` when the event is processed only by the re-reading.

    `again` is how the object can be read again, should its rows turn out to tie; None where it cannot.
    `doubt` says why a payload was not believed, `ignored` why nothing is done, `left_out` which embedded objects no row
    can hold.
    """

    rows: Mapping[str, list[Row]]
    reread: Reread | None = None
    waits: bool = False
    again: Reread | None = None
    doubt: str | None = None
    ignored: str | None = None
    left_out: str | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """Whom the sink works for. `livemode` is the mode that it takes events of, None where that is unknown.

    `can_read`: there is an API key, of that mode.
    """

    account_id: str
    api_version: str
    livemode: bool | None = None
    can_read: bool = False
    revalidated: frozenset[str] = frozenset()


def decide(event: Event, policy: Policy) -> Decision:
    """What to do with an event. Its object becomes the rows. Raises BrokenPage for an object that no row can hold.

    A live endpoint for connected accounts gets their test events too (https://docs.stripe.com/connect/webhooks): those
    are no state of the objects that the tables show.
    """
    if None not in (event.livemode, policy.livemode) and event.livemode is not policy.livemode:
        return Decision({}, ignored=OTHER_MODE)
    if event.is_cut:
        raise BrokenPage(
            "The event cannot be parsed: it is nested more than 1,000 levels deep, or has a number too large."
        )
    return _of_thin(event, policy) if event.thin else _of_snapshot(event, policy)


def _of_snapshot(event: Event, policy: Policy) -> Decision:
    account_id = event.account or policy.account_id
    change = change_of(event.fields, policy.api_version, account_id)
    if isinstance(change, Ignored):
        return Decision({}, ignored=change.reason)
    is_revalidated = change.table in policy.revalidated and not change.is_deletion
    doubt = "revalidate" if is_revalidated else change.doubt
    if change.is_deletion:
        # What was deleted stays so, unless it can be made again under its id within the same second.
        again = _reread(change, event, policy, "tie") if TABLES[change.table].chosen_id else None
        return Decision(_rows(change, event, policy, None), again=again, doubt=doubt)
    again = _reread(change, event, policy, doubt or "tie")
    if doubt in ("version", "revalidate") and again is not None:
        return Decision({}, again, waits=True, doubt=doubt)
    entries = ConversionCounts() if TABLES[change.table].embedded else None
    rows = _rows(change, event, policy, entries)
    return Decision(rows, again if doubt else None, again=again, doubt=doubt, left_out=left_out(entries))


def left_out(entries: ConversionCounts | None) -> str | None:
    """Which embedded objects no row can hold, and why; None where there are none. Holds no id and no value."""
    found = entries.rejected() if entries is not None else []
    return "; ".join(f"{one.table}: {one.why}" for one in found) or None


def _rows(change: Change, event: Event, policy: Policy, entries: ConversionCounts | None) -> Mapping[str, list[Row]]:
    """The rows, under the account that the event is about.

    A connected account itself, with what belongs to it, is kept twice: the platform's list of accounts shows it too.
    """
    if event.account in (None, policy.account_id) or "accounts" not in (change.table, TABLES[change.table].parent):
        return rows_of(change, event.account or policy.account_id, entries)
    rows = rows_of(change, event.account, entries)
    return {
        name: [*found, *({**row, "_account_id": policy.account_id} for row in found)] for name, found in rows.items()
    }


def _reread(change: Change, event: Event, policy: Policy, reason: str) -> Reread | None:
    """How to read an object again; None where Stripe has no way to, or there is no key."""
    if TABLES[change.table].retrieve is None or not policy.can_read:
        return None
    ref = ObjectRef(change.table, change.key, change.parent_id, change.created, change.at)
    return Reread(ref, event.account or policy.account_id, event.account, reason)


def _of_thin(event: Event, policy: Policy) -> Decision:
    related = event.object or {}
    name = table_of_object(str(related.get("type")))
    if name is None:
        return Decision({}, ignored="it names no object that a table holds")
    account_id = event.account or policy.account_id
    if is_deletion(event.type) and event.object_id and TABLES[name].key:
        stamp = Stamp(account_id, event.created, "event")
        return Decision({name: [tombstone(name, event.object_id, stamp)]})
    ref = _ref_of_path(name, str(related.get("url")), event.created - 1)
    if ref is None:
        return Decision({}, ignored="it does not say where its object can be read")
    if not policy.can_read:
        return Decision({}, ignored=UNREADABLE)
    return Decision({}, Reread(ref, account_id, event.account, "thin"), waits=True, doubt="thin")


def _ref_of_path(table: str, path: str, at: int) -> ObjectRef | None:
    """The object at a path of Stripe's, which has to be the one that the table's objects are read at."""
    template = TABLES[table].retrieve
    if template is None:
        return None
    pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(template))
    found = re.fullmatch(pattern, path.partition("?")[0])
    if found is None:
        return None
    ids = {name: unquote(value) for name, value in found.groupdict().items()}
    if not set(TABLES[table].key) <= set(ids):
        return None
    return ObjectRef(table, tuple(ids[name] for name in TABLES[table].key), ids.get("_parent_id"), None, at)
