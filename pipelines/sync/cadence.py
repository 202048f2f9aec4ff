"""Which lists a sync reads beside the events, and how much of each: decided from the catalogue and the event types.

Of 120 lists 49 have no event at all, others none for a creation or an update: only listing them finds those changes.
Knows no request and no database.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pipelines.sync.settings import SyncSettings
from sources.catalogue import EventType, Resource
from sources.fetch.progress import Progress
from sources.fetch.windows import AHEAD, Window, subtract
from sources.stripe_api.catalogue.events import TYPES

Reason = Literal["never finished", "cadence", "events"]

CREATED_BY: Mapping[str, frozenset[str]] = {
    "charges": frozenset({"succeeded", "failed", "pending"}),
    "payment_methods": frozenset({"attached"}),  # no list shows one that is attached to nobody
    "application_fees": frozenset({"created"}),
}
"""Last words of event types that tell of a creation, where it is not `created`."""

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
"""Resources without events of their own that change whenever events tell of these tables: they are read in the same
run, but only what is new."""

RARELY = 7  # times the cadence between two attempts at a list that the account lacks
SOON = 3_600  # seconds that a list which follows events looks back


@dataclass(frozen=True, slots=True)
class Last:
    """When and how a resource was last listed: `at` in unix seconds, None where it never was to its end."""

    at: int | None
    status: str


@dataclass(frozen=True, slots=True)
class Due:
    """A list to read now. `lookback` are the seconds before the last listing to read again, None for all of it."""

    resource: Resource
    reason: Reason
    lookback: int | None


def covered_by_events(resource: Resource, types: Mapping[str, EventType]) -> bool:
    """Whether events tell of both creations and updates of a resource's objects, so that it need not be listed.

    `types` are those of the catalogue that has the resource.
    """
    if resource.kind != "root":
        return False
    words = {name.rpartition(".")[2] for name, kind in types.items() if kind.table == resource.table}
    return bool(words & CREATED_BY.get(resource.table, frozenset({"created"}))) and "updated" in words


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
    covered = {one.name for one in resources if has_events and covered_by_events(one, TYPES)}
    found = (
        _due(one, last.get(one.name), now, settings, touched, covered_by_events=one.name in covered)
        for one in resources
        if one.name != "events"
    )
    return [one for one in found if one is not None]


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


def reopened(progress: Progress, due: Due) -> Progress:
    """The progress from which a run reads again what is due: windows without their last part, lists from the top."""
    if due.lookback is None:
        return replace(progress, listed={})
    if due.lookback == 0 or not progress.covered:
        return progress
    covered = {}
    for key, windows in progress.covered.items():
        end = windows[-1].lt if windows else 0
        covered[key] = subtract(windows, [Window(max(0, end - due.lookback), max(end, 1))])
    return replace(progress, covered=covered)
