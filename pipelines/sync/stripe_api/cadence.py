"""Which lists a sync reads beside the events, and how much of each: decided from the catalogue.

Of 120 lists 49 have no event at all, others none for a creation or an update: only listing them finds those changes.
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
"""Resources without events of their own that change whenever events report changes of these tables: they are read in
the same run, but only what is new."""

RARELY = 7  # times the cadence between two attempts at a list that the account lacks
SOON = 3_600  # seconds that a list which follows events looks back


@dataclass(frozen=True, slots=True)
class Due:
    """A list to read now. `lookback` are the seconds before the last listing to read again, None for all of it."""

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
    """The lists to read, in the order given. `touched` are the tables that this run's events changed.

    Without events, which the key may not read, every list comes round.
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
