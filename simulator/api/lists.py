"""Answers list requests as Stripe's v1 API does: windows, cursors, limits, hidden rows, the page as JSON bytes.

https://docs.stripe.com/api/pagination. Pages of /v2 are in `lists_v2.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from simulator.account.account import Account
from simulator.account.events import KEPT
from simulator.account.store import Shelf, StoredObject, Window
from simulator.api import refusals
from simulator.api.expand import Expansion
from simulator.api.filters import CLOCKED, matcher, needs_view
from simulator.api.parameters import Typed
from simulator.api.routes import Match
from sources.stripe_api.catalogue import TABLES

LARGEST, USUAL, MOST_TYPES = 100, 10, 20
# Placeholders of paths that are a field of the rows, not a parent.
FIXED = {"/v1/billing/meters/{id}/event_summaries": ("id", "meter")}


def page(account: Account, found: Match, values: Mapping[str, Typed], expansion: Expansion | None, url: str) -> bytes:
    """A page of a v1 list as JSON. Raises Refusal for what Stripe refuses."""
    route = found.route
    assert route.resource is not None
    single = route.resource.pagination == "single"
    limit = len(account.tables[route.table]) or 1 if single else _limit(values)
    shelf, parents = shelf_of(account, found, values)
    window = _window(account, found, values, limit, shelf)
    read = (lambda row: account.views.of(route.table, row)) if needs_view(route.path, values) else (lambda row: row.own)
    _check_range(values)
    match = matcher(route.path, {**values, **_owners(found), **_payout(account, found, values)}, read, parents)
    rows, more = shelf.page(window, match)
    if expansion is None:
        shown = [account.views.of(route.table, row) for row in rows]
    else:
        shown = [expansion.apply(account, route.table, row) for row in rows]
    tail = b'],"has_more":true,"url":"' if more else b'],"has_more":false,"url":"'
    return b"".join((b'{"object":"list","data":[', b",".join(shown), tail, url.encode(), b'"}'))


def shelf_of(account: Account, found: Match, values: Mapping[str, Typed]) -> tuple[Shelf, frozenset[str]]:
    """The rows that a list selects from, and the query parameters that selected them. Raises Refusal for an unknown
    parent.
    """
    collection, resource = account.tables[found.route.table], found.route.resource
    assert resource is not None
    if not resource.parents:
        if any(name in values for name in CLOCKED) or (len(collection.hidden) and "customer" in values):
            return _both(collection.shelf, collection.hidden), frozenset()
        return collection.shelf, frozenset()
    owner, chosen = "", set()
    for parent in resource.parents:
        id = found.values[parent.param] if parent.where == "path" else str(values[parent.param])
        if account.tables[parent.table].get(id) is None:
            name = TABLES[parent.table].objects[0]
            raise refusals.not_found(name, id, parent.param, 404 if parent.where == "path" else 400)
        if not owner or parent.table == TABLES[found.route.table].parent:
            owner = id
        chosen.add(parent.param)
    return collection.of(owner), frozenset(chosen)


def _owners(found: Match) -> dict[str, str]:
    """Fields whose value the path fixes, besides the parent."""
    fixed = FIXED.get(found.route.path)
    return {fixed[1]: found.values[fixed[0]]} if fixed else {}


def _payout(account: Account, found: Match, values: Mapping[str, Typed]) -> dict[str, Any]:
    """The payout whose balance transactions are requested. Raises Refusal unless the payout is automatic."""
    if found.route.path != "/v1/balance_transactions" or "payout" not in values:
        return {}
    payout = account.get("payouts", str(values["payout"]))
    if payout is None:
        raise refusals.not_found("payout", str(values["payout"]), "payout", 400)
    if not payout["automatic"]:
        text = "Balance transaction history can only be filtered on automatic payouts, not manual."
        raise refusals.Refusal(400, text, param="payout")
    return {"payout": payout}


def _window(account: Account, found: Match, values: Mapping[str, Typed], limit: int, shelf: Shelf) -> Window:
    first, last = bounds(values.get("created"))
    if found.route.table == "events":
        first = max(first or 0, account.clock.seconds() - KEPT)
        _check_types(values)
    after, before = values.get("starting_after"), values.get("ending_before")
    if after is not None and before is not None:
        raise refusals.both_cursors()
    return Window(
        limit,
        first,
        last,
        _cursor(account, found, "starting_after", after, shelf) if after is not None else None,
        _cursor(account, found, "ending_before", before, shelf) if before is not None else None,
    )


def _check_types(values: Mapping[str, Typed]) -> None:
    """Checks the event types: `type`, or up to twenty `types`. Raises Refusal."""
    types = values.get("types")
    if "type" in values and types is not None:
        raise refusals.Refusal(400, "You may only specify one of these parameters: type, types.")
    if isinstance(types, list) and len(types) > MOST_TYPES:
        raise refusals.Refusal(400, f"You may only specify up to {MOST_TYPES} event types.", param="types")


def _check_range(values: Mapping[str, Typed]) -> None:
    """Checks the bounds of summaries: midnights for summaries by the day, else whole minutes. Raises Refusal."""
    grain = 86400 if values.get("value_grouping_window") == "day" else 3600 if "value_grouping_window" in values else 60
    for name in ("start_time", "end_time"):
        value = values.get(name, 0)
        if isinstance(value, int) and value % grain:
            text = f"{name} must align with {({86400: 'daily', 3600: 'hourly'}).get(grain, 'minute')} boundaries."
            raise refusals.Refusal(400, text, param=name)


def bounds(created: Any) -> tuple[int | None, int | None]:
    """First and last second of `created`, given as a second or as gt, gte, lt and lte."""
    if created is None:
        return None, None
    if isinstance(created, int):
        return created, created
    low = [created[name] + more for name, more in (("gt", 1), ("gte", 0)) if name in created]
    high = [created[name] - less for name, less in (("lt", 1), ("lte", 0)) if name in created]
    return max(low, default=None), min(high, default=None)


def _cursor(account: Account, found: Match, name: str, id: Typed, shelf: Shelf) -> StoredObject:
    """The row of a cursor. Raises Refusal if it no longer exists, for example an event that is no longer kept.

    If ids are not the key, the row is searched on the shelf.
    """
    if TABLES[found.route.table].key == ("id",):
        row = account.tables[found.route.table].get(str(id))
    else:
        row = next((row for row in shelf.rows() if orjson.loads(row.own).get("id") == id), None)
    if row is None or (found.route.table == "events" and not account.events.kept(row.created)):
        raise refusals.not_found(found.route.objects[0], str(id), name, 400)
    return row


def _limit(values: Mapping[str, Typed]) -> int:
    limit = values.get("limit", USUAL)
    assert isinstance(limit, int)
    if limit < 1:
        raise refusals.limit_too_small()
    if limit > LARGEST:
        raise refusals.limit_too_large(limit, LARGEST)
    return limit


def _both(first: Shelf, second: Shelf) -> Shelf:
    joined = Shelf()
    for shelf in (first, second):
        for row in shelf.rows():
            joined.add(row)
    return joined
