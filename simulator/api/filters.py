"""Decides which rows a list shows: the rows that Stripe hides by default, and the filter parameters.

    match = matcher(route, values, now)     # None: every row that is not always hidden

A filter that is named like a field compares with it; the others are in SPECIAL, by path. Knows no page and no cursor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from simulator.account.store import Match, StoredObject
from simulator.api.parameters import Typed
from simulator.content.business.money import was_paid_out

Object = dict[str, Any]
Test = Callable[[Object], bool]
Rule = Callable[[Any], Test | None]

PAGING = frozenset({"limit", "starting_after", "ending_before", "expand", "page", "created", "include"})
ENDED = ("canceled", "incomplete_expired")


def _subscription_status(value: Any) -> Test | None:
    if value == "all":
        return None
    if value == "ended":
        return lambda o: o["status"] in ENDED
    return (lambda o: o["status"] == value) if value else (lambda o: o["status"] != "canceled")


def _items_price(value: Any) -> Test | None:
    # Prices are in the embedded items, which the account stores separately: see `needs_view`.
    return _given(value, lambda o: any((item.get("price") or {}).get("id") == value for item in o["items"]["data"]))


def _types(value: Any) -> Test | None:
    wanted = [value] if isinstance(value, str) else list(value or ())
    exact = {name for name in wanted if not name.endswith("*")}
    starts = tuple(name[:-1] for name in wanted if name.endswith("*"))
    return _given(value, lambda o: o["type"] in exact or bool(starts and o["type"].startswith(starts)))


def _tax_id_owner(value: Any) -> Test:
    kind, wanted = (value.get("type", "self"), value.get("customer")) if value else ("self", None)
    return lambda o: (o.get("owner") or {}).get("type") == kind and (not wanted or o.get("customer") == wanted)


def _payment(value: Any) -> Test | None:
    return _given(value, lambda o: o["payment"].get(value.get("type")) in value.values())


def _payout(value: Any) -> Test | None:
    return _given(value, lambda o: was_paid_out(o, value))


def _invoice_subscription(value: Any) -> Test | None:
    def details(invoice: Object) -> Object:
        return (invoice.get("parent") or {}).get("subscription_details") or {}

    return _given(value, lambda o: details(o).get("subscription") == value)


def _given(value: Any, test: Test) -> Test | None:
    """A test that applies only if its parameter was sent."""
    return None if value is None else test


# path and parameter -> the rule, called with the parameter's value, or None if it was not sent.
SPECIAL: Mapping[str, Mapping[str, Rule]] = {
    "/v1/subscriptions": {"status": _subscription_status, "price": _items_price, "plan": _items_price},
    "/v1/reviews": {"open": lambda v: lambda o: bool(o["open"])},
    "/v1/events": {
        "types": _types,
        "type": _types,
        "delivery_success": lambda v: _given(v, lambda o: (o["pending_webhooks"] == 0) == v),
    },
    "/v1/billing/meters/{id}/event_summaries": {
        "start_time": lambda v: lambda o: o["start_time"] >= v,
        "end_time": lambda v: lambda o: o["end_time"] <= v,
        "value_grouping_window": lambda v: None,
    },
    "/v1/tax/registrations": {"status": lambda v: (lambda o: o["status"] == v) if v not in (None, "all") else None},
    "/v1/payment_methods": {"type": lambda v: (lambda o: o["type"] == v) if v else (lambda o: o["type"] != "custom")},
    "/v1/tax_ids": {"owner": _tax_id_owner},
    "/v1/products": {"ids": lambda v: _given(v, lambda o: o["id"] in v)},
    "/v1/prices": {
        "active": lambda v: lambda o: o["active"] is (v is not False),
        "lookup_keys": lambda v: _given(v, lambda o: o["lookup_key"] in v),
    },
    "/v1/invoices": {"subscription": _invoice_subscription},
    "/v1/invoiceitems": {"pending": lambda v: _given(v, lambda o: (o.get("invoice") is None) == v)},
    "/v1/invoice_payments": {"payment": _payment},
    "/v1/balance_transactions": {"payout": _payout},  # the payout itself: see `lists`
    "/v1/payment_records": {
        "created_after": lambda v: _given(v, lambda o: o["created"] > v),
        "created_before": lambda v: _given(v, lambda o: o["created"] < v),
    },
    "/v2/core/events": {
        "types": _types,
        "object_id": lambda v: _given(v, lambda o: (o.get("related_object") or {}).get("id") == v),
    },
    "/v2/core/accounts": {
        "closed": lambda v: lambda o: bool(o.get("closed")) == bool(v),
        "applied_configurations": lambda v: _given(v, lambda o: set(v) <= set(o.get("applied_configurations") or ())),
    },
    "/v2/money_management/financial_accounts": {
        "statuses": lambda v: lambda o: o["status"] in v if v else o["status"] != "closed"
    },
}
# Bytes in the JSON of every row that the path's only default rule may hide: a row without them is not parsed.
SIGNS: Mapping[str, bytes] = {"/v1/payment_methods": b'"type":"custom"', "/v1/prices": b'"active":false'}
# Parameters that show the objects of a test clock: without one of them, no list shows these objects.
CLOCKED = ("test_clock",)
RANGES = frozenset({"gt", "gte", "lt", "lte"})


def needs_view(path: str, values: Mapping[str, Typed]) -> bool:
    """Whether a filter reads an embedded list."""
    return path == "/v1/subscriptions" and ("price" in values or "plan" in values)


def matcher(
    path: str, values: Mapping[str, Typed], read: Callable[[StoredObject], bytes], parents: frozenset[str]
) -> Match | None:
    """The test that a row must pass; None if all rows pass.

    `read` returns a row's JSON; `parents` are the parameters that have been applied already.
    """
    special = SPECIAL.get(path, {})
    tests = [test for name, rule in special.items() if (test := rule(values.get(name))) is not None]
    for name, value in values.items():
        if name not in PAGING and name not in parents and name not in special:
            tests.append(_field(name, value))
    if not tests:
        return None

    def match(row: StoredObject) -> bool:
        object: Object = orjson.loads(read(row))
        return all(test(object) for test in tests)

    sign = SIGNS.get(path) if len(tests) == 1 and not special.keys() & values.keys() else None
    return match if sign is None else lambda row: sign not in read(row) or match(row)


def _field(name: str, value: Typed) -> Test:
    """A parameter named like a field: equal, one of several, inside a range, or equal in the named parts."""
    if isinstance(value, dict) and value.keys() <= RANGES:
        return lambda o: _inside(o.get(name), value)
    if isinstance(value, dict):
        return lambda o: all(_plain((o.get(name) or {}).get(part)) == wanted for part, wanted in value.items())
    if isinstance(value, list):
        return lambda o: _plain(o.get(name)) in value
    return lambda o: name not in o or _plain(o[name]) == value


def _inside(actual: Any, bounds: Mapping[str, Any]) -> bool:
    if actual is None:
        return False
    low = actual > bounds.get("gt", actual - 1) and actual >= bounds.get("gte", actual)
    return bool(low and actual < bounds.get("lt", actual + 1) and actual <= bounds.get("lte", actual))


def _plain(value: Any) -> Any:
    """The id of a value that is an id or an expanded object."""
    return value.get("id") if isinstance(value, dict) and "id" in value else value
