"""Orb's lists: their parameters, order, hidden objects and parents. Data and pure filters.

`tests/simulator/orb/test_orb_lists.py` compares `TAKES` with the SDK. Knows no HTTP and no cursor.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from simulator.orb.account import Account, Object, Place, PlacedObject
from sources.orb_api.catalogue import CATALOGUE

_OF_INVOICES = (
    "amount customer_id date_type due_date due_date_window external_customer_id invoice_date is_recurring status"
    " subscription_id"
)
TAKES: Mapping[str, str] = {
    "/v1/alerts": "created_at customer_id external_customer_id subscription_id",
    "/v1/coupons": "redemption_code show_archived",
    "/v1/coupons/{coupon_id}/subscriptions": "",
    "/v1/credit_notes": "created_at",
    "/v1/customers": "created_at",
    "/v1/customers/{customer_id}/balance_transactions": "operation_time",
    "/v1/customers/{customer_id}/credits": "currency effective_date include_all_blocks",
    "/v1/customers/{customer_id}/credits/ledger": "created_at currency entry_status entry_type minimum_amount",
    "/v1/customers/{customer_id}/credits/top_ups": "",
    "/v1/dimensional_price_groups": "billable_metric_id",
    "/v1/dimensional_price_groups/{dimensional_price_group_id}/prices": "status",
    "/v1/events/backfills": "customer_id status",
    "/v1/events/volume": "timeframe_start timeframe_end",
    "/v1/invoices": f"{_OF_INVOICES} include_zero_quantity_line_items",
    "/v1/invoices/summary": _OF_INVOICES,
    "/v1/items": "",
    "/v1/license_types": "",
    "/v1/licenses": "subscription_id external_license_id license_type_id status",
    "/v1/metrics": "created_at status",
    "/v1/plans": "created_at status",
    "/v1/plans/{plan_id}/migrations": "",
    "/v1/prices": "",
    "/v1/subscription_changes": "customer_id external_customer_id status",
    "/v1/subscriptions": "created_at customer_id external_customer_id external_plan_id plan_id status",
    "/v1/subscriptions/summary": "created_at customer_id external_customer_id external_plan_id plan_id status",
    "/v1/subscriptions/{subscription_id}/schedule": "start_date",
    "/v1/webhook_endpoints": "",
    "/v1/webhook_events": "created_at delivery_success event_type include_payload",
}
"""path -> its parameters besides `cursor` and `limit`. Time fields accept `[gt]`, `[gte]`, `[lt]` and `[lte]`."""

BY_EXTERNAL_ID = "/v1/customers/external_customer_id/{external_customer_id}"
TAKES = dict(TAKES) | {
    path.replace("/v1/customers/{customer_id}", BY_EXTERNAL_ID): takes
    for path, takes in TAKES.items()
    if path.startswith("/v1/customers/{customer_id}/credits")
}

NEEDS: Mapping[str, tuple[str, ...]] = {
    "/v1/alerts": ("customer_id", "external_customer_id", "subscription_id"),
    "/v1/events/volume": ("timeframe_start",),
    "/v1/licenses": ("subscription_id",),
}
"""path -> parameters of which the list needs at least one."""

STATUSES: Mapping[str, tuple[str, ...]] = {
    "billable_metrics": ("active", "archived", "draft"),
    "dimensional_price_group_prices": ("active", "archived", "all"),
    "event_backfills": ("pending", "reflected", "pending_revert", "reverted"),
    "invoices": ("draft", "issued", "paid", "synced", "void"),
    "licenses": ("active", "inactive"),
    "plans": ("active", "archived", "draft"),
    "subscriptions": ("active", "ended", "upcoming"),
    "subscription_changes": ("pending", "applied", "cancelled"),
}

_EITHER = ("true", "false")
VALUES: Mapping[str, tuple[str, ...]] = {
    "date_type": ("due_date", "invoice_date"),
    "delivery_success": _EITHER,
    "include_all_blocks": _EITHER,
    "include_payload": _EITHER,
    "include_zero_quantity_line_items": _EITHER,
    "is_recurring": _EITHER,
    "show_archived": _EITHER,
}
"""parameter -> its allowed values. The effect of `date_type` is not documented, so it has none here."""
ELSEWHERE = ("currency", "date_type", "include_all_blocks", "include_payload", "include_zero_quantity_line_items",
             "show_archived")  # fmt: skip
"""Parameters that are not filters: `_hides` and `shown` use them."""

BY_DEFAULT: Mapping[str, Callable[[Object], bool]] = {
    "invoices": lambda obj: obj["status"] in ("issued", "paid", "synced"),
    "plans": lambda obj: obj["status"] == "active",
    "subscription_changes": lambda obj: obj["status"] == "pending",
    "coupons": lambda obj: obj["archived_at"] is None,
}
"""table -> whether its list shows an object without `status` or `show_archived`."""

SUMMARIES: Mapping[str, frozenset[str]] = {
    "/v1/invoices/summary": frozenset(CATALOGUE.fields("invoices"))
    - {
        "line_items",
        "minimum",
        "minimum_amount",
        "maximum",
        "maximum_amount",
        "discount",
        "discounts",
        "subtotal",
        "hidden_line_item_count",
    },
    "/v1/subscriptions/summary": frozenset(
        ("id", "created_at", "customer", "end_date", "metadata", "name", "plan", "start_date", "status")
    ),
}
"""path -> the fields of lists that do not show all fields."""

OLDEST_FIRST = frozenset(("license_types", "event_volumes"))
HOUR = timedelta(hours=1)
TABLES: Mapping[str, str] = {
    resource.path: "dimensional_price_group_prices" if "{dimensional" in resource.path else resource.table
    for resource in CATALOGUE.resources.values()
}
"""path -> the account's table that the list shows."""

_PATTERNS = {path: re.compile(re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", path)) for path in TAKES}


class Unusable(Exception):
    """A parameter that the list does not have, or a parent that does not exist (`is_missing`)."""

    def __init__(self, detail: str, *, is_missing: bool = False) -> None:
        super().__init__(detail)
        self.detail, self.is_missing = detail, is_missing


@dataclass(frozen=True, slots=True)
class Asked:
    """The selection of a list request: places from `start` to before `end`, and the rows among them."""

    start: Place
    end: Place
    shows: Callable[[PlacedObject], bool]


def list_of(path: str) -> tuple[str, Mapping[str, str]] | None:
    """The template of a list's path, and the ids in the path; None if it is not the path of a list."""
    if path in TAKES:
        return path, {}
    found = ((template, pattern.fullmatch(path)) for template, pattern in _PATTERNS.items() if "{" in template)
    return next(((template, match.groupdict()) for template, match in found if match is not None), None)


def asked_of(account: Account, template: str, ids: Mapping[str, str], question: Sequence[tuple[str, str]]) -> Asked:
    """The selection that the parameters describe. Raises Unusable."""
    table, takes = TABLES[template], TAKES[template].split()
    needed = NEEDS.get(template)
    if needed and not any(name in needed for name, _ in question):
        raise Unusable(f"{' or '.join(needed)} is required.")
    tests = [_of_parent(account, name, id) for name, id in ids.items()]
    start, end = (datetime.min.replace(tzinfo=UTC), 0), (datetime.max.replace(tzinfo=UTC), 0)
    statuses = set[str]()
    for name, value in question:
        field, bound = _bound(name)
        plain = name.removesuffix("[]")
        if field not in takes and plain not in takes:
            raise Unusable(f"{name} is unknown.")
        if value not in VALUES.get(plain, (value,)):
            raise Unusable(f"The value of {plain} is not allowed.")
        if plain == "status":
            if value not in STATUSES[table]:
                raise Unusable("The value of status is not allowed.")
            statuses.add(value)
        elif table == "event_volumes":
            at = _instant(value)
            if field == "timeframe_start":
                start = at.replace(minute=0, second=0, microsecond=0), 0
            else:
                end = at, 0
        elif bound and field == _order(table):
            behind = 0 if bound in ("gte", "lt") else sys.maxsize
            if bound.startswith("g"):
                start = max(start, (_instant(value), behind))
            else:
                end = min(end, (_instant(value), behind))
        elif bound:
            tests.append(_within(field, bound, value))
        elif plain not in ELSEWHERE:
            tests.append(_filter(account, table, plain, value))
    tests.append(_hides(account, table, dict(question), statuses))
    return Asked(start, end, lambda row: all(test(row) for test in tests))


def shown(template: str, obj: Object, question: Sequence[tuple[str, str]]) -> Object:
    """An object as the list shows it for this selection."""
    given = dict(question)
    if given.get("include_payload") == "false":
        return {name: value for name, value in obj.items() if name != "payload"}
    if given.get("include_zero_quantity_line_items") == "false":
        return obj | {"line_items": [item for item in obj["line_items"] if item["quantity"]]}
    fields = SUMMARIES.get(template)
    return obj if fields is None else {name: value for name, value in obj.items() if name in fields}


def _order(table: str) -> str:
    """The field that orders a list; objects without it are ordered by their creation."""
    resource = CATALOGUE.resources.get(table)
    return (resource.created_field if resource is not None else None) or "created_at"


def _hides(
    account: Account, table: str, given: Mapping[str, str], statuses: set[str]
) -> Callable[[PlacedObject], bool]:
    """A filter for the rows that a list shows, given the parameters that request hidden rows."""
    if table in ("credit_blocks", "credit_ledger_entries"):
        currency, every = given.get("currency", "credits"), given.get("include_all_blocks") == "true"
        now = account.now()
        return lambda row: (
            row.owner["currency"] == currency
            and (
                every
                or table != "credit_blocks"
                or (row.object["balance"] > 0 and (row.object["expiry_date"] or now) >= now)
            )
        )
    if table == "dimensional_price_group_prices":
        wanted = statuses or {"active"}
        return lambda row: "all" in wanted or row.owner["status"] in wanted
    if statuses:
        return lambda row: row.object["status"] in statuses
    by_default = BY_DEFAULT.get(table)
    every = given.get("show_archived") == "true"
    return lambda row: every or by_default is None or by_default(row.object)


def _of_parent(account: Account, name: str, id: str) -> Callable[[PlacedObject], bool]:
    """The rows of a parent in the path. Raises Unusable if the parent does not exist."""
    if name == "external_customer_id":
        id, name = _customer(account, id), "customer_id"
    parents = f"{name.removesuffix('_id')}s"
    if id not in account.tables[parents]:
        raise Unusable("There is no such object.", is_missing=True)
    if name == "coupon_id":
        return lambda row: (row.object["redeemed_coupon"] or {}).get("coupon_id") == id
    return lambda row: row.owner[name] == id


def _customer(account: Account, external_id: str) -> str:
    found = (id for id, row in account.tables["customers"].items() if row.object["external_customer_id"] == external_id)
    id = next(found, None)
    if id is None:
        raise Unusable("There is no such object.", is_missing=True)
    return id


def _filter(account: Account, table: str, name: str, value: str) -> Callable[[PlacedObject], bool]:
    """A filter for rows in which a field, or the id in it, equals a value."""
    if table == "alerts" and name == "subscription_id":  # those of its plan too
        subscription = account.tables["subscriptions"].get(value)
        plan = subscription.object["plan"]["id"] if subscription is not None else None
        return lambda row: value == _id(row.object, "subscription") or plan == _id(row.object, "plan")
    if name == "external_customer_id":
        return _filter(account, table, "customer_id", _customer(account, value))
    if name == "minimum_amount":
        return lambda row: abs(row.object["amount"]) >= float(value)
    if name == "amount":
        return lambda row: float(row.object["total"]) == float(value)
    if name == "is_recurring":
        return lambda row: (row.object["invoice_source"] == "subscription") is (value == "true")
    if name == "delivery_success":
        return lambda row: row.object["is_delivered"] is (value == "true")
    if name == "due_date_window":
        return _due_within(account, value)
    if name == "event_type":
        name = "type"

    def is_it(row: PlacedObject) -> bool:
        obj = row.object
        if name in row.owner:
            return row.owner[name] == value
        if name in obj:
            return bool(obj[name] == value)
        external = name.startswith("external_")
        return _id(obj, name.removeprefix("external_").removesuffix("_id"), name if external else "id") == value

    return is_it


def _due_within(account: Account, window: str) -> Callable[[PlacedObject], bool]:
    """A filter for invoices that were due in the last days or months: `7d`, `2m`. Raises Unusable."""
    found = re.fullmatch(r"(\d{1,4})([dm])", window)
    if found is None:
        raise Unusable("due_date_window must be a number followed by d or m.")
    now = _instant(account.now())
    since = now - timedelta(days=int(found[1]) * (1 if found[2] == "d" else 30))

    def is_within(row: PlacedObject) -> bool:
        due = row.object["due_date"]
        return due is not None and since <= _instant(due) <= now

    return is_within


def _within(field: str, bound: str, value: str) -> Callable[[PlacedObject], bool]:
    """A filter for rows in which a moment, or an amount, is within a bound."""
    limit: Any = float(value) if field == "amount" else _instant(value)
    compare: Mapping[str, Callable[[Any], bool]] = {
        "gt": lambda value: value > limit,
        "gte": lambda value: value >= limit,
        "lt": lambda value: value < limit,
        "lte": lambda value: value <= limit,
    }
    named = {"amount": "total", "operation_time": "created_at"}.get(field, field)

    def is_within(row: PlacedObject) -> bool:
        found = row.object.get(named) or (row.at if named == "created_at" else None)
        return found is not None and compare[bound](float(found) if field == "amount" else _instant(found))

    return is_within


def _id(obj: Object, field: str, name: str = "id") -> object:
    inner = obj.get(field)
    return inner.get(name) if isinstance(inner, dict) else None


def _bound(name: str) -> tuple[str, str]:
    found = re.fullmatch(r"(\w+)\[(gte?|lte?)\]", name)
    return (found[1], found[2]) if found is not None else (name, "")


def _instant(text: str) -> datetime:
    """Parses a moment with an offset. Raises Unusable for anything else."""
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        instant = datetime.min
    if instant.tzinfo is None:
        raise Unusable("A time must be in ISO 8601 with an offset.")
    return instant
