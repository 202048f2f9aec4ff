"""Computes how fresh the tables are: up to which time each account and each resource is right, and how far behind.

Pure: takes rows of `sync_status` and `sync_accounts`, see `state.read_overview`. Knows no database.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sources.catalogue import Catalogue
from sources.fetch.position import Position

MODES = {True: "live", False: "test", None: None}


def events_reached(account: Mapping[str, Any]) -> datetime | None:
    """The time up to which an account's events are applied; None if they never were, or cannot be read."""
    if not account["events_position"] or account["events_status"] == "skipped":
        return None
    return datetime.fromtimestamp(Position.from_json(account["events_position"]).reached, UTC)


def resource_reached(resource: Mapping[str, Any], events: datetime | None, catalogue: Catalogue) -> datetime | None:
    """The time up to which a resource is right: that of its list, or `events` if events cover the resource."""
    end: datetime | None = resource["window_end"]
    if end is None and resource["status"] == "complete":  # a list without `created`, which is always read whole
        end = resource["updated_at"]
    known = catalogue.resources.get(resource["resource"])
    if events is None or end is None or known is None or not known.covered_by_events:
        return end
    return max(end, events)


def account_freshness(
    account: Mapping[str, Any],
    resources: Sequence[Mapping[str, Any]],
    now: datetime,
    most: timedelta | None = None,
) -> dict[str, Any]:
    """The freshness of an account, as JSON values. The account is right up to the time that its events have reached,
    otherwise its lists.

    It `is_behind` if a resource is in error, nothing was loaded, or it is further behind than `most`.
    """
    own = [resource for resource in resources if resource["_account_id"] == account["_account_id"]]
    ends = [resource["window_end"] for resource in own if resource["window_end"] is not None]
    reached = events_reached(account) or min(ends, default=None)
    errors = {resource["resource"]: resource["error"] for resource in own if resource["status"] == "error"}
    if account["events_status"] == "error":
        errors["events"] = account["events_error"]
    age = None if reached is None else now - reached
    return {
        "account": account["_account_id"],
        "mode": MODES[account["livemode"]],
        "events": account["events_status"],
        "reached": reached,
        "age_seconds": None if age is None else round(age.total_seconds()),
        "resources": dict(Counter(resource["status"] for resource in own)),
        "errors": errors,
        "is_behind": bool(errors) or age is None or (most is not None and age > most),
    }


def ago(seconds: float) -> str:
    """A length of time in the largest unit that gives at least two: `3 hours`."""
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if abs(seconds) >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"
