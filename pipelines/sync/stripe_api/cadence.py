"""Decides from the catalogue which lists a sync reads besides the events, and how much of each.

Of 120 lists, 49 have no events at all, and others none for a creation or an update: only the list shows those changes.
Knows no request and no database.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pipelines.sync.lists import Last
from pipelines.sync.stripe_api.settings import SyncSettings
from sources.catalogue import Resource
from sources.fetch.windows import AHEAD

Reason = Literal["never finished", "cadence", "events"]

FOLLOWS: Mapping[str, frozenset[str]] = {
    name: frozenset(
        {
            "charges",
            "refunds",
            "disputes",
            "payouts",
            "transfers",
            "topups",
            "application_fees",
            "fee_refunds",
            "issuing_authorizations",
            "issuing_transactions",
        }
    )
    for name in ("balance_transactions", "balance")
} | {"payout_balance_transactions": frozenset({"payouts"})}
"""Resources without events of their own -> the tables with which they change. If events change such a table, the same
run reads the resource's new objects."""

RARELY = 7  # cadences between two attempts to read a list that the account lacks
SOON = 3_600  # seconds to look back in a list that is read because of events


@dataclass(frozen=True, slots=True)
class Due:
    """A list to read now. `lookback` is how many seconds before its last reading to begin; None for the whole list."""

    resource: Resource
    reason: Reason
    lookback: int | None


def due_lists(
    resources: Sequence[Resource],
    last: Mapping[str, Last],
    now: int,
    settings: SyncSettings,
    touched: Collection[str],
    *,
    has_events: bool = True,
) -> list[Due]:
    """The lists to read, in the given order. `touched` are the tables that this run's events changed.

    Without events, because the key may not read them, every list is read at its cadence.
    """
    found = (
        _due(
            listed,
            last.get(listed.name),
            now,
            settings,
            touched,
            covered_by_events=has_events and listed.covered_by_events,
        )
        for listed in resources
        if listed.name != "events"
    )
    return [listing for listing in found if listing is not None]


def _due(
    resource: Resource,
    last: Last | None,
    now: int,
    settings: SyncSettings,
    touched: Collection[str],
    *,
    covered_by_events: bool,
) -> Due | None:
    whole = resource.created == "none"
    if last is None or last.status not in ("complete", "skipped") or last.at is None or last.at > now + AHEAD:
        return Due(resource, "never finished", 0)
    is_skipped = last.status == "skipped"
    cadence = settings.cadence(resource.name) * (RARELY if is_skipped else 1)
    if (is_skipped or not covered_by_events) and now - last.at >= cadence:
        return Due(resource, "cadence", None if whole else settings.lookback(resource.name))
    if not is_skipped and FOLLOWS.get(resource.name, frozenset()) & frozenset(touched):
        return Due(resource, "events", None if whole else SOON)
    return None
