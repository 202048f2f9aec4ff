"""Decides what to do with an event: merge rows, read an object again, or nothing. Knows no database and no HTTP.

`Provider.change_of` says what an event reports, and whether its payload can be used. If not, the object is read from
the API. Without an API key, the payload is used nevertheless, and counted as distrusted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from sources.catalogue import Table
from sources.changes import CUT, THIN, Change, Ignored, ObjectRef
from sources.columns.conversion_counts import ConversionCounts
from sources.errors import BrokenPage
from sources.events import Event
from sources.provider import Provider
from sources.rows import Row

UNREADABLE = "reading its object takes {}"
UNHELD = re.compile(r"[\x00\ud800-\udfff]")
OTHER_MODE = "it belongs to the other mode"


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
    that is impossible. `doubt` says why the payload cannot be used, `ignored` why nothing is done, `left_out` which
    embedded objects no row can hold. `related` are the objects that the event names, to be read if no table has them.
    `part_of` is the table whose rows show only some fields of their objects, and leave the others as they are.
    """

    rows: Mapping[str, list[Row]]
    reread: Reread | None = None
    waits_for_reread: bool = False
    tie_reread: Reread | None = None
    doubt: str | None = None
    ignored: str | None = None
    left_out: str | None = None
    related: tuple[ObjectRef, ...] = ()
    part_of: str | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """What decisions depend on besides the event: whose events the sink accepts, and what it may read.

    `livemode` is the mode whose events it accepts; None if that is unknown. `can_read` says that there is an API key,
    of that mode. `revalidated` are the tables whose objects are always read again. With `backfills`, objects that an
    event names, and that no table has, are read. `key_variable` is the variable of the key, for messages.
    """

    account_id: str
    api_version: str
    livemode: bool | None = None
    can_read: bool = False
    revalidated: frozenset[str] = frozenset()
    backfills: bool = False
    key_variable: str = "an API key"


def decide(event: Event, policy: Policy, provider: Provider) -> Decision:
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
    change = provider.change_of(event.fields, policy.api_version, event.account or policy.account_id)
    if isinstance(change, Ignored):
        return Decision({}, ignored=change.reason)
    table = provider.catalogue.tables[change.table]
    is_revalidated = change.table in policy.revalidated and not change.is_deletion and change.doubt != THIN
    doubt = "revalidate" if is_revalidated else change.doubt
    if change.is_deletion:
        # A deleted object stays deleted, unless another one can be created with its id within the same second.
        tie_reread = _reread(change, table, event, policy, "tie") if table.chosen_id else None
        return Decision(_rows(change, table, event, policy, provider, None), tie_reread=tie_reread, doubt=doubt)
    reread = _reread(change, table, event, policy, doubt or "tie")
    if doubt == THIN and reread is None:
        return Decision({}, ignored=UNREADABLE.format(policy.key_variable))
    if doubt in ("version", "revalidate", THIN, CUT) and reread is not None:
        return Decision({}, reread, waits_for_reread=True, doubt=doubt)
    related = tuple(provider.related(change.object)) if policy.backfills and provider.related else ()
    counts = ConversionCounts() if table.embedded or table.expanded else None
    rows = _rows(change, table, event, policy, provider, counts)
    left_out = describe_left_out(counts) if counts is not None else None
    reread_now = reread if doubt else None
    part_of = change.table if doubt == CUT else None
    return Decision(
        rows, reread_now, tie_reread=reread, doubt=doubt, left_out=left_out, related=related, part_of=part_of
    )


def describe_left_out(counts: ConversionCounts) -> str | None:
    """Which embedded objects no row can hold, and why; None if there are none. Holds no id and no value."""
    return "; ".join(f"{rejected.table}: {rejected.why}" for rejected in counts.rejected()) or None


def _rows(
    change: Change, table: Table, event: Event, policy: Policy, provider: Provider, counts: ConversionCounts | None
) -> Mapping[str, list[Row]]:
    """The rows, under the account that the event is about.

    A connected account itself, with what belongs to it, is stored twice: the platform's list of accounts shows it too.
    """
    rows = provider.rows_of(change, event.account or policy.account_id, counts)
    if event.account in (None, policy.account_id) or "accounts" not in (table.name, table.parent):
        return rows
    return {table: [*own, *({**row, "_account_id": policy.account_id} for row in own)] for table, own in rows.items()}


def _reread(change: Change, table: Table, event: Event, policy: Policy, reason: str) -> Reread | None:
    """How to read the object again; None if the provider has no way to, there is no API key, or no object has this id.

    The ledger cannot hold a key with NUL or half of a surrogate pair, and no provider gives out such an id.
    """
    if table.retrieve is None or not policy.can_read or UNHELD.search("".join(map(str, change.key))):
        return None
    ref = ObjectRef(change.table, change.key, change.parent_id, change.created, change.at)
    return Reread(ref, event.account or policy.account_id, event.account, reason)
