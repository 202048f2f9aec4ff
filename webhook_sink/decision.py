"""Decides what to do with an event: merge rows, read an object again, or nothing. Knows no database and no HTTP.

`objects.changes` says what a snapshot tells, and whether it can be believed. What cannot is read from the API instead.
Without an API key it is believed all the same, and counted.
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
    """An object to read from the API. The answer must show a later second than `ref.at`.

    `account_id` is the account that its rows belong to, `context` the connected account to ask as, None for our own.
    """

    ref: ObjectRef
    account_id: str
    context: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do with an event.

    `rows` are the rows to merge, by table. `reread` is an object to read again; if `waits_for_reread`, the event is
    processed only when that has been merged. `tie_reread` is what to read again if the rows turn out to tie; None if
    that is impossible. `doubt` says why the payload was not believed, `ignored` why nothing is done, `left_out` which
    embedded objects no row can hold.
    """

    rows: Mapping[str, list[Row]]
    reread: Reread | None = None
    waits_for_reread: bool = False
    tie_reread: Reread | None = None
    doubt: str | None = None
    ignored: str | None = None
    left_out: str | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """What decisions rest on besides the event: whose events the sink takes, and what it may read.

    `livemode` is the mode whose events it takes, None if that is unknown. `can_read` says that there is an API key, of
    that mode. `revalidated` are the tables whose objects are always read again.
    """

    account_id: str
    api_version: str
    livemode: bool | None = None
    can_read: bool = False
    revalidated: frozenset[str] = frozenset()


def decide(event: Event, policy: Policy) -> Decision:
    """Decides what to do with an event. May change the event's object. Raises BrokenPage if no row can hold the object.

    A live endpoint for connected accounts also gets their test events (https://docs.stripe.com/connect/webhooks). Those
    tell nothing about the live objects in the tables, and are ignored.
    """
    if None not in (event.livemode, policy.livemode) and event.livemode is not policy.livemode:
        return Decision({}, ignored=OTHER_MODE)
    if event.is_cut:
        raise BrokenPage(
            "The event cannot be parsed: it is nested more than 1,000 levels deep, or has a number too large."
        )
    return _decide_thin(event, policy) if event.thin else _decide_snapshot(event, policy)


def _decide_snapshot(event: Event, policy: Policy) -> Decision:
    change = change_of(event.fields, policy.api_version, event.account or policy.account_id)
    if isinstance(change, Ignored):
        return Decision({}, ignored=change.reason)
    is_revalidated = change.table in policy.revalidated and not change.is_deletion
    doubt = "revalidate" if is_revalidated else change.doubt
    if change.is_deletion:
        # A deleted object stays deleted, unless another one can be created with its id within the same second.
        tie_reread = _reread(change, event, policy, "tie") if TABLES[change.table].chosen_id else None
        return Decision(_rows(change, event, policy, None), tie_reread=tie_reread, doubt=doubt)
    reread = _reread(change, event, policy, doubt or "tie")
    if doubt in ("version", "revalidate") and reread is not None:
        return Decision({}, reread, waits_for_reread=True, doubt=doubt)
    counts = ConversionCounts() if TABLES[change.table].embedded else None
    rows = _rows(change, event, policy, counts)
    left_out = describe_left_out(counts) if counts is not None else None
    return Decision(rows, reread if doubt else None, tie_reread=reread, doubt=doubt, left_out=left_out)


def describe_left_out(counts: ConversionCounts) -> str | None:
    """Which embedded objects no row can hold, and why; None if there are none. Holds no id and no value."""
    return "; ".join(f"{rejected.table}: {rejected.why}" for rejected in counts.rejected()) or None


def _rows(change: Change, event: Event, policy: Policy, counts: ConversionCounts | None) -> Mapping[str, list[Row]]:
    """The rows, under the account that the event is about.

    A connected account itself, with what belongs to it, is stored twice: the platform's list of accounts shows it too.
    """
    rows = rows_of(change, event.account or policy.account_id, counts)
    if event.account in (None, policy.account_id) or "accounts" not in (change.table, TABLES[change.table].parent):
        return rows
    return {table: [*own, *({**row, "_account_id": policy.account_id} for row in own)] for table, own in rows.items()}


def _reread(change: Change, event: Event, policy: Policy, reason: str) -> Reread | None:
    """How to read the object again; None if Stripe has no way to, or there is no key."""
    if TABLES[change.table].retrieve is None or not policy.can_read:
        return None
    ref = ObjectRef(change.table, change.key, change.parent_id, change.created, change.at)
    return Reread(ref, event.account or policy.account_id, event.account, reason)


def _decide_thin(event: Event, policy: Policy) -> Decision:
    related = event.object or {}
    table = table_of_object(str(related.get("type")))
    if table is None:
        return Decision({}, ignored="it names no object that a table holds")
    account_id = event.account or policy.account_id
    if is_deletion(event.type) and event.object_id and TABLES[table].key:
        stamp = Stamp(account_id, event.created, "event")
        return Decision({table: [tombstone(table, event.object_id, stamp)]})
    ref = _ref_at_path(table, str(related.get("url")), event.created - 1)
    if ref is None:
        return Decision({}, ignored="it does not say where its object can be read")
    if not policy.can_read:
        return Decision({}, ignored=UNREADABLE)
    return Decision({}, Reread(ref, account_id, event.account, "thin"), waits_for_reread=True, doubt="thin")


def _ref_at_path(table: str, path: str, at: int) -> ObjectRef | None:
    """The object at a path of Stripe's API; None if it is not the path that the table's objects are read from."""
    template = TABLES[table].retrieve
    if template is None:
        return None
    pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(template))
    match = re.fullmatch(pattern, path.partition("?")[0])
    if match is None:
        return None
    ids = {name: unquote(value) for name, value in match.groupdict().items()}
    if not set(TABLES[table].key) <= set(ids):
        return None
    return ObjectRef(table, tuple(ids[name] for name in TABLES[table].key), ids.get("_parent_id"), None, at)
