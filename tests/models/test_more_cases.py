"""More small cases with answers worked out by hand: what the cases in files do not have. One load, an account each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest

from tests.databases import Database
from tests.models.loaded import beside, build, fill

Rows = dict[str, list[dict[str, Any]]]
Movements = list[tuple[str, str, str, int]]
NOW = "2026-04-15T00:00:00Z"
ITEM = {"invoice_item": None, "proration_details": {"credited_items": None}}


def second(day: str) -> int:
    return int(datetime.fromisoformat(f"{day}T00:00:00+00:00").astimezone(UTC).timestamp())


def price(id: str, amount: str, **more: Any) -> dict[str, Any]:
    every = {"interval": "month", "interval_count": 1, "usage_type": "licensed"}
    plain = {"id": id, "type": "recurring", "currency": "usd", "billing_scheme": "per_unit", "recurring": every}
    return plain | {"unit_amount_decimal": amount, "product": f"prod_{id}", "active": True} | more


def subscribed(*items: tuple[str, int], **more: Any) -> Rows:
    """A subscription since 1 January with items of prices and quantities."""
    subscription = {
        "id": "sub_1", "customer": "cus_1", "currency": "usd", "status": "active", "start_date": "2026-01-01T00:00:00Z",
        "created": "2026-01-01T00:00:00Z", "discounts": [], "_as_of": NOW,
    }  # fmt: skip
    tables: Rows = {
        "subscriptions": [subscription | more],
        "subscription_items": [],
        "invoices": [],
        "invoice_line_items": [],
    }
    for number, (of, quantity) in enumerate(items, 1):
        tables["subscription_items"].append({
            "id": f"si_{number}", "_parent_id": "sub_1", "price": {"id": of}, "quantity": quantity, "discounts": [],
            "created": "2026-01-01T00:00:00Z", "_as_of": NOW,
        })  # fmt: skip
    return tables


def bill(tables: Rows, *days: str, amounts: Mapping[str, int], **more: Any) -> None:
    """An invoice on each day but the last, with a line for each item up to the next day."""
    for day, end in pairwise(days):
        tables["invoices"].append({
            "id": f"in_{day}", "customer": "cus_1", "currency": "usd", "status": "paid", "created": f"{day}T00:00:00Z",
            "amount_due": sum(amounts.values()), "parent": {"subscription_details": {"subscription": "sub_1"}},
            "status_transitions": {"finalized_at": second(day), "paid_at": second(day)}, "discounts": [],
        })  # fmt: skip
        for item in tables["subscription_items"]:
            if item["id"] not in amounts:
                continue
            details = ITEM | {"proration": False, "subscription": "sub_1", "subscription_item": item["id"]}
            tables["invoice_line_items"].append({
                "id": f"il_{day}_{item['id']}", "_parent_id": f"in_{day}", "currency": "usd", "subscription": "sub_1",
                "quantity": item["quantity"], "amount": amounts[item["id"]], "discount_amounts": [],
                "period": {"start": second(day), "end": second(end)},
                "pricing": {"price_details": {"price": item["price"]["id"]}},
                "parent": {"type": "subscription_item_details", "subscription_item_details": details},
            } | more)  # fmt: skip


def event(day: str, status: str, items: Any, **more: Any) -> dict[str, Any]:
    shown = {
        "id": "sub_1",
        "object": "subscription",
        "status": status,
        "items": {"data": items, "has_more": False},
    } | more
    return {
        "id": f"evt_{day}", "type": "customer.subscription.updated", "created": f"{day}T00:00:00Z",
        "data": {"object": shown, "previous_attributes": {}},
    }  # fmt: skip


MONTHS = ("2026-01-01", "2026-02-01", "2026-03-01", "2026-04-01", "2026-05-01")
ONE = [{"id": "si_1", "price": {"id": "p"}, "quantity": 1}]


def inclusive_tax() -> tuple[Rows, Movements]:
    """119.00 with 19.00 of tax in it are 100.00; a seat more by a proration on 10 March is twice that."""
    tables = subscribed(("p", 1)) | {"prices": [price("p", "11900", tax_behavior="inclusive")]}
    taxes = [{"amount": 1900, "tax_behavior": "inclusive"}]
    bill(tables, *MONTHS[:4], amounts={"si_1": 11900}, taxes=taxes)
    tables["subscription_items"][0]["quantity"] = 2
    tables["invoiceitems"] = [
        {
            "id": f"ii_{quantity}", "date": "2026-03-10T00:00:00Z", "currency": "usd", "quantity": quantity,
            "amount": amount, "proration": True, "period": {"start": second("2026-03-10"), "end": second("2026-04-01")},
            "parent": {"subscription_details": {"subscription": "sub_1", "subscription_item": "si_1"}},
            "pricing": {"price_details": {"price": "p"}},
        }
        for quantity, amount in ((1, -8000), (2, 16000))
    ]  # fmt: skip
    return tables, [("2026-01-01", "usd", "new", 10000), ("2026-03-10", "usd", "expansion", 10000)]


def customers_own_coupon() -> tuple[Rows, Movements]:
    """10 % off for the customer, since 1 February: no line says so, and the subscription has no discount of its own."""
    coupon = {"id": "TEN", "percent_off": 10.0, "duration": "forever"}
    discount = {
        "id": "di_1",
        "object": "discount",
        "source": {"coupon": "TEN"},
        "start": second("2026-02-01"),
        "customer": "cus_1",
    }
    tables = subscribed(("p", 1)) | {
        "prices": [price("p", "5000")], "coupons": [coupon], "customers": [{"id": "cus_1", "discount": discount}],
    }  # fmt: skip
    return tables, [("2026-01-01", "usd", "new", 5000), ("2026-02-01", "usd", "contraction", -500)]


def amount_over_two_items() -> tuple[Rows, Movements]:
    """10.00 off a period, over 20.00 and 10.00: 6.67 and 3.33; one item is twice as many from 15 February on."""
    items = [{"id": "si_1", "price": {"id": "p"}, "quantity": 2}, {"id": "si_2", "price": {"id": "q"}, "quantity": 1}]
    tables = subscribed(("p", 2), ("q", 1), discounts=["di_1"]) | {
        "prices": [price("p", "1000"), price("q", "1000")],
        "coupons": [{"id": "OFF", "amount_off": 1000, "currency": "usd", "duration": "forever"}],
        "discounts": [
            {"id": "di_1", "source": {"coupon": "OFF"}, "subscription": "sub_1", "start": "2026-01-01T00:00:00Z"}
        ],
        "events": [event("2026-02-15", "active", [items[0], items[1] | {"quantity": 3}])],
    }
    tables["subscription_items"][1]["quantity"] = 3
    tables["events"].insert(0, event("2026-01-01", "active", items))
    return tables, [("2026-01-01", "usd", "new", 2000), ("2026-02-15", "usd", "expansion", 2000)]


def unpaid_and_back() -> tuple[Rows, Movements]:
    """Unpaid from 5 February to 9 March, by events: a draft invoice in between does not end it."""
    tables = subscribed(("p", 1)) | {"prices": [price("p", "5000")]}
    bill(tables, *MONTHS, amounts={"si_1": 5000})
    tables["events"] = [event("2026-02-05", "unpaid", ONE), event("2026-03-09", "active", ONE)]
    return tables, [
        ("2026-01-01", "usd", "new", 5000), ("2026-02-05", "usd", "churn", -5000),
        ("2026-03-09", "usd", "reactivation", 5000),
    ]  # fmt: skip


def webhooks_tell_as_well() -> tuple[Rows, Movements]:
    """The sink's ledger has the event that the list no longer shows."""
    tables = subscribed(("p", 4)) | {"prices": [price("p", "1000")]}
    told = event("2026-03-03", "active", [ONE[0] | {"quantity": 4}])
    tables["stripe_webhook_events"] = [{
        "id": told["id"], "type": told["type"], "created": told["created"], "payload": told, "received_at": NOW,
    }]  # fmt: skip
    tables["events"] = [event("2026-01-01", "active", ONE)]
    return tables, [("2026-01-01", "usd", "new", 1000), ("2026-03-03", "usd", "expansion", 3000)]


def volume_tiers() -> tuple[Rows, Movements]:
    """12 at 7.00 each and 3.00 flat, all in the second tier: 87.00. No line is loaded."""
    tiers = [
        {"up_to": 10, "unit_amount_decimal": "900", "flat_amount_decimal": None},
        {"up_to": None, "unit_amount_decimal": "700", "flat_amount_decimal": "300"},
    ]
    tiered = price("p", "0", billing_scheme="tiered", tiers_mode="volume", tiers=tiers) | {"unit_amount_decimal": None}
    return subscribed(("p", 12)) | {"prices": [tiered]}, [("2026-01-01", "usd", "new", 8700)]


def a_second_trial() -> tuple[Rows, Movements]:
    """Who pays since January and gets a trial from 10 to 24 February does not count meanwhile."""
    trial = {"trial_start": "2026-02-10T00:00:00Z", "trial_end": "2026-02-24T00:00:00Z"}
    return subscribed(("p", 1), **trial) | {"prices": [price("p", "5000")]}, [
        ("2026-01-01", "usd", "new", 5000), ("2026-02-10", "usd", "churn", -5000),
        ("2026-02-24", "usd", "reactivation", 5000),
    ]  # fmt: skip


def gone_without_a_credit() -> tuple[Rows, Movements]:
    """The second item was last billed for February, and was gone when the lists were read: it counts until 1 March."""
    tables = subscribed(("p", 1), ("q", 1)) | {"prices": [price("p", "5000"), price("q", "700")]}
    bill(tables, *MONTHS[:3], amounts={"si_1": 5000, "si_2": 700})
    bill(tables, *MONTHS[2:], amounts={"si_1": 5000})
    tables["subscription_items"][1]["_deleted_at"] = NOW
    return tables, [("2026-01-01", "usd", "new", 5700), ("2026-03-01", "usd", "contraction", -700)]


def never_begun() -> tuple[Rows, Movements]:
    """What was never paid for the first time never counted."""
    return subscribed(("p", 1), status="incomplete_expired") | {"prices": [price("p", "5000")]}, []


def paused_collection() -> tuple[Rows, Movements]:
    """Collection is paused from 10 February to 10 March, and invoices are void: it counts unless `pause` is exclude."""
    tables = subscribed(("p", 1)) | {"prices": [price("p", "5000")]}
    tables["events"] = [
        event("2026-01-01", "active", ONE), event("2026-02-10", "active", ONE, pause_collection={"behavior": "void"}),
        event("2026-03-10", "active", ONE, pause_collection=None),
    ]  # fmt: skip
    return tables, [("2026-01-01", "usd", "new", 5000)]


def a_schedule_that_will_begin() -> tuple[Rows, Movements]:
    """Two from May on, three from July on, and nothing from August on: no subscription is there yet."""
    phases = [
        {
            "start_date": second(start),
            "end_date": second(end),
            "currency": "usd",
            "items": [{"price": "p", "quantity": n}],
        }
        for start, end, n in (("2026-05-01", "2026-07-01", 2), ("2026-07-01", "2026-08-01", 3))
    ]
    schedule = {
        "id": "sub_sched_1", "customer": "cus_1", "status": "not_started", "end_behavior": "cancel", "phases": phases,
        "_as_of": NOW,
    }  # fmt: skip
    return {"prices": [price("p", "5000")], "subscription_schedules": [schedule]}, []


def a_trial_with_an_amount_off() -> tuple[Rows, Movements]:
    """20.00 and 10.00 less 10.00, when its trial ends on 20 April."""
    trial = {"trial_start": "2026-04-06T00:00:00Z", "trial_end": "2026-04-20T00:00:00Z", "status": "trialing"}
    tables = subscribed(("p", 2), ("q", 1), discounts=["di_1"], **trial) | {
        "prices": [price("p", "1000"), price("q", "1000")],
        "coupons": [{"id": "OFF", "amount_off": 1000, "currency": "usd", "duration": "forever"}],
        "discounts": [
            {"id": "di_1", "source": {"coupon": "OFF"}, "subscription": "sub_1", "start": "2026-04-06T00:00:00Z"}
        ],
    }
    tables["subscriptions"][0]["start_date"] = "2026-04-06T00:00:00Z"
    return tables, []


def coupons_that_end_apart() -> tuple[Rows, Movements]:
    """10 % until June and 20 % until August, of 100.00: 72.00, then 80.00, then 100.00, where `discounts` is all."""
    coupons = (("A", 10.0, "2026-06-01"), ("B", 20.0, "2026-08-01"))
    return subscribed(("p", 1), discounts=["di_A", "di_B"]) | {
        "prices": [price("p", "10000")],
        "coupons": [{"id": id, "percent_off": off, "duration": "repeating"} for id, off, _ in coupons],
        "discounts": [
            {"id": f"di_{id}", "source": {"coupon": id}, "subscription": "sub_1", "start": "2026-01-01T00:00:00Z",
             "end": f"{end}T00:00:00Z"}
            for id, _, end in coupons
        ],
    }, [("2026-01-01", "usd", "new", 10000)]  # fmt: skip


def a_card_that_expires() -> tuple[Rows, Movements]:
    """The card is valid until the end of May, and the next invoice is due in the middle of June."""
    tables = subscribed(("p", 1), default_payment_method="pm_1") | {
        "prices": [price("p", "5000")],
        "payment_methods": [{"id": "pm_1", "customer": "cus_1", "card": {"exp_year": 2026, "exp_month": 5}}],
    }
    tables["subscription_items"][0]["current_period_end"] = "2026-06-15T00:00:00Z"
    return tables, [("2026-01-01", "usd", "new", 5000)]


CASES: tuple[Callable[[], tuple[Rows, Movements]], ...] = (
    inclusive_tax, customers_own_coupon, amount_over_two_items, unpaid_and_back, webhooks_tell_as_well, volume_tiers,
    a_second_trial, gone_without_a_credit, never_begun, paused_collection, a_schedule_that_will_begin,
    a_trial_with_an_amount_off, coupons_that_end_apart, a_card_that_expires,
)  # fmt: skip

SCHEDULED = {
    "a_schedule_that_will_begin": [
        ("2026-05-01", None, 10000, "schedule"), ("2026-07-01", None, 5000, "schedule"),
        ("2026-08-01", None, -15000, "cancellation"),
    ],
    "a_trial_with_an_amount_off": [("2026-04-20", "sub_1", 2000, "trial ends")],
    "a_card_that_expires": [("2026-06-01", "sub_1", 0, "card expires")],
}  # fmt: skip
"""What is to come in each account: date, subscription, MRR, reason."""

MONEY = {
    "mrr", "arr", "list_mrr", "mrr_before", "mrr_after", "amount", "opening", "new", "expansion", "contraction",
    "churn", "reactivation", "closing", "collected", "refunded", "disputed", "charges", "refunds", "disputes", "fees",
    "other", "net", "failed", "recovered", "lost", "open", "arpa", "ltv",
}  # fmt: skip


@pytest.fixture
def loaded(destination: Database) -> Database:
    """A database with all cases, each in the account of its name."""
    fill(destination, beside({case.__name__: case()[0] for case in CASES}))
    return destination


def test_the_movements_of_each_case_are_right(loaded: Database) -> None:
    build(loaded)
    sql = "select cast(day as text), currency, movement, mrr from stripe_metrics.movements where _account_id = ?"
    for case in CASES:
        assert sorted(loaded.query(sql, [case.__name__])) == case()[1], case.__name__
    told = loaded.query("select _account_id, kind from stripe_metrics.quality where kind not like 'table%' order by 1")
    assert told == [("gone_without_a_credit", "seen, not told")]
    first = "select mrr from stripe_metrics.item_spans where _account_id = ? and starts < '2026-02-01' order by item"
    assert loaded.query(first, ["amount_over_two_items"]) == [(1333,), (667,)]
    assert scheduled(loaded) == SCHEDULED

    build(loaded, pause="exclude", discounts="all")
    assert sorted(loaded.query(sql, ["paused_collection"])) == [
        ("2026-01-01", "usd", "new", 5000), ("2026-02-10", "usd", "churn", -5000),
        ("2026-03-10", "usd", "reactivation", 5000),
    ]  # fmt: skip
    assert loaded.query(sql, ["coupons_that_end_apart"]) == [("2026-01-01", "usd", "new", 7200)]
    assert scheduled(loaded)["coupons_that_end_apart"] == [
        ("2026-06-01", "sub_1", 800, "discount ends"), ("2026-08-01", "sub_1", 2000, "discount ends"),
    ]  # fmt: skip


def scheduled(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    found: dict[str, list[tuple[Any, ...]]] = {}
    for account, *row in database.query(
        "select _account_id, cast(date as text), subscription, mrr, reason from stripe_metrics.scheduled_changes"
        " order by 1, 2"
    ):
        found.setdefault(account, []).append(tuple(row))
    return found


@pytest.mark.long
def test_all_money_is_converted_by_the_rates(loaded: Database) -> None:
    """Each amount has a twin, and twins add up as the amounts do; without a rate they are null."""
    build(loaded)
    columns: dict[str, set[str]] = {}
    for table, column in loaded.query(
        "select table_name, column_name from information_schema.columns where table_schema = 'stripe_metrics'"
        " and table_name not like '\\_%' escape '\\'"
    ):
        columns.setdefault(table, set()).add(column)
    missing = {
        (table, name) for table, names in columns.items() for name in names & MONEY if f"{name}_converted" not in names
    }
    assert missing == set()
    assert len([table for table, names in columns.items() if names & MONEY]) > 12
    assert loaded.query("select 1 from stripe_metrics.customers_now where mrr_converted is not null") == []

    build(loaded, reporting_currency="eur", exchange_rates={"usd": "0.333"})
    assert (
        loaded.query(
            "select mrr, mrr_converted from stripe_metrics.item_spans where mrr_converted <> round(mrr * 0.333)"
            " or mrr_converted is null"
        )
        == []
    )
    assert (
        loaded.query(
            "select month from stripe_metrics.mrr_monthly where opening_converted + new_converted + expansion_converted"
            " + contraction_converted + churn_converted + reactivation_converted <> closing_converted or"
            " closing_converted is null"
        )
        == []
    )
    ((closing, arr),) = loaded.query(
        "select sum(closing_converted), sum(arr_converted) from stripe_metrics.mrr_monthly where month ="
        " (select max(month) from stripe_metrics.mrr_monthly)"
    )
    assert loaded.query("select sum(mrr_converted), sum(arr_converted) from stripe_metrics.customers_now") == [
        (closing, arr)
    ]
    assert closing > 0
    build(loaded, exchange_rates={"gbp": 2})
    loaded.query("delete from stripe_metrics.exchange_rates where currency = 'usd'")
    assert build(loaded).full
    assert loaded.query("select 1 from stripe_metrics.mrr_monthly where closing_converted is not null") == []
