"""Every query that the project publishes, on an account whose plans, items, customers and prices have changed and gone.

What is right is computed from the simulated account alone, in exact decimals, without the tables and without SQL.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any

import duckdb
import psycopg
import pytest

import demo
from docs.sessions import PAGES, ROOT, blocks
from tests.databases import Database
from tests.pipelines.mirror import START, Mirror

if TYPE_CHECKING:
    from simulator import Simulator
    from simulator.account.account import Account

Rows = list[tuple[Any, ...]]
OTHERS = (
    "stripe_metrics.",
    "stripe_dbt.",
    "stripe.sync_",
    "stripe.stripe_webhook_events",
    "information_schema.",
    "orb.",
    "orb_current.",
)
MONTHS = {"year": Decimal(1) / 12, "month": Decimal(1), "week": Decimal(52) / 12, "day": Decimal(365) / 12}
RESOURCES = ("customers", "products", "prices", "subscriptions", "charges", "invoices")


def published() -> Iterator[str]:
    """The queries of all pages and of the tour that ask for Stripe's objects; those about runs, events and Orb apart.

    Statements that make roles or databases are no queries.
    """
    yield from (question.statement for question in demo.questions((ROOT / "docs/tour.sql").read_text("utf-8")))
    for page in PAGES:
        for language, text in blocks(page):
            if language in ("sql", "postgresql") and not text.startswith(("create ", "grant ")):
                yield from (question.statement for question in demo.questions(text))
            elif language == "console":
                yield from re.findall(r"sql\('(select .*?)'\)", text)


QUERIES = sorted({each.strip().rstrip(";") for each in published() if not any(table in each for table in OTHERS)})


# --- the account ------------------------------------------------------------------------------------------------------


def price(sim: Simulator, name: str | None, amount: str | None, interval: str, count: int = 1, **more: Any) -> Any:
    """A recurring price of `amount` units of its currency's smallest one, None where it has no fixed amount."""
    recurring = {"interval": interval, "interval_count": count, "usage_type": "licensed", "meter": None}
    whole = int(amount) if amount is not None and amount.isdigit() else None
    fields = {"currency": "usd", "nickname": name, "unit_amount": whole, "unit_amount_decimal": amount, "active": True}
    made = sim.make("prices", **(fields | more), recurring=recurring, type="recurring")
    return sim.account.create("prices", made)


def subscribe(sim: Simulator, id: str, *sold: tuple[Any, int | None], **more: Any) -> None:
    """A subscription with an item for each price and quantity."""
    customer = sim.account.objects("customers")[-1]["id"]
    fields = {
        "customer": customer,
        "currency": sold[0][0]["currency"],
        "status": "active",
        "items": items(sim, id, *sold),
    }
    sim.account.create("subscriptions", sim.make("subscriptions", id=id, **(fields | more)))


def items(sim: Simulator, id: str, *sold: tuple[Any, int | None]) -> list[Any]:
    return [sim.make("subscription_items", subscription=id, price=each, quantity=many) for each, many in sold]


def charge(sim: Simulator, amount: int, currency: str = "usd", **more: Any) -> None:
    fields = {"amount": amount, "amount_captured": amount, "amount_refunded": 0, "captured": True, "paid": True}
    made = sim.make("charges", currency=currency, **(fields | {"status": "succeeded"} | more))
    sim.account.create("charges", made, event="charge.succeeded")


def begin(sim: Simulator) -> None:
    """What is there when the tables are first loaded."""
    monthly, yearly = price(sim, "Basic", "1999", "month"), price(sim, "Basic a year", "19900", "year")
    seat = price(sim, None, "12.5", "month")
    weekly, quarterly = price(sim, "Weekly", "700", "week", 2), price(sim, "Quarterly", "2999", "month", 3)
    subscribe(sim, "sub_plan", (monthly, 1))
    subscribe(sim, "sub_items", (yearly, 2), (seat, 333))
    subscribe(sim, "sub_price", (weekly, 3), (price(sim, "Daily", "11", "day"), 1))
    sim.account.create("customers", sim.make("customers", id="cus_gone", name="Gone"), at=1_600_000_000)
    subscribe(sim, "sub_gone", (quarterly, 5), customer="cus_gone")
    subscribe(sim, "sub_quarterly", (quarterly, 5))
    subscribe(sim, "sub_tiers", (price(sim, "Tiers", None, "month", billing_scheme="tiered"), 7))
    subscribe(sim, "sub_usage", (price(sim, "Usage", "5", "month"), None))
    subscribe(sim, "sub_yen", (price(sim, "Basic", "2000", "month", currency="jpy"), 4))
    subscribe(sim, "sub_euro", (price(sim, "Basic", "1500", "month", currency="eur"), 1))
    for currency in ("usd", "jpy", "eur"):
        charge(sim, 5000, currency)
    charge(sim, 3000, captured=False, amount_captured=0)
    charge(sim, 700, status="failed", paid=False, captured=False, amount_captured=0)


def change(sim: Simulator) -> None:
    """Plans change, items are taken away, customers, prices and products are deleted, charges are refunded."""
    account = sim.account
    new = price(sim, "Premium", "4999", "month")
    account.update("subscriptions", "sub_plan", {"items": items(sim, "sub_plan", (new, 2))})
    kept = [row.object for row in account.rows("subscription_items") if row.parent == "sub_items"]
    account.update("subscriptions", "sub_items", {"items": [each for each in kept if each["quantity"] == 2]})
    used = [row.object["price"]["id"] for row in account.rows("subscription_items") if row.parent == "sub_price"]
    account.delete("prices", used[0])
    # Deleting a customer cancels the subscriptions at once: https://docs.stripe.com/api/customers/delete
    now = account.clock.seconds()
    ended = {"status": "canceled", "ended_at": now, "canceled_at": now}
    account.update("subscriptions", "sub_gone", ended, event="customer.subscription.deleted")
    account.delete("customers", "cus_gone")
    made = sim.make("products", name="Gone")
    account.create("products", made)
    account.delete("products", made["id"])
    for obj in account.objects("charges"):
        if obj["amount"] == 5000 and obj["created"] >= START:
            account.update("charges", obj["id"], {"amount_refunded": 1250}, event="charge.refunded")
        elif obj["amount"] == 3000 and obj["created"] >= START:  # what was never captured is not paid back
            account.update("charges", obj["id"], {"amount_refunded": 3000, "refunded": True}, event="charge.refunded")


# --- what is right ----------------------------------------------------------------------------------------------------


def plans(account: Account) -> Rows:
    active = {obj["id"] for obj in account.objects("subscriptions") if obj["status"] == "active"}
    dollars = {obj["id"] for obj in account.objects("subscriptions") if obj["currency"] == "usd"}
    found: dict[str, list[tuple[str, int | None, Decimal | None]]] = defaultdict(list)
    for row in account.rows("subscription_items"):
        item = row.object
        if row.parent not in active & dollars:
            continue
        of = item["price"]
        amount, every = of["unit_amount_decimal"], of["recurring"]
        a_month = None
        if amount is not None and item["quantity"] is not None:
            a_month = item["quantity"] * Decimal(amount) * MONTHS[every["interval"]] / every["interval_count"]
        found[of["nickname"] or of["id"]].append((row.parent, item["quantity"], a_month))
    return [
        (name, len({each for each, _, _ in sold}), total([many for _, many, _ in sold]), cents([m for _, _, m in sold]))
        for name, sold in found.items()
    ]


def total(values: list[Any]) -> Any:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def cents(values: list[Decimal | None]) -> Decimal | None:
    found = total(values)
    return None if found is None else (found / 100).quantize(Decimal("0.01"), ROUND_HALF_UP)


def charges(account: Account, period: Callable[[datetime], Any]) -> Rows:
    found: dict[Any, list[Mapping[str, Any]]] = defaultdict(list)
    for obj in account.objects("charges"):
        if obj["currency"] == "usd":
            found[period(moment(obj["created"]))].append(obj)
    return [
        (
            when,
            sum(each["status"] == "succeeded" for each in some),
            sum(each["status"] == "failed" for each in some),
            cents([Decimal(each["amount_captured"]) for each in some if each["status"] == "succeeded"]),
            cents([Decimal(each["amount_refunded"]) for each in some if each["captured"]]),
        )
        for when, some in found.items()
    ]


def begun_and_ended(account: Account) -> Rows:
    begun: dict[date, int] = defaultdict(int)
    ended: dict[date, int] = defaultdict(int)
    for obj in account.objects("subscriptions"):
        begun[quarter(moment(obj["created"]))] += 1
        if obj["ended_at"] is not None:
            ended[quarter(moment(obj["ended_at"]))] += 1
    rows, running = [], 0
    for when in sorted(begun.keys() | ended.keys()):
        running += begun[when] - ended[when]
        rows.append((when, begun[when], ended[when], running))
    return rows


def first_customers(account: Account) -> Rows:
    rows = sorted(account.objects("customers"), key=lambda obj: int(obj["created"]))[:3]
    return [(row["name"], moment(row["created"]), (row["address"] or {}).get("country")) for row in rows]


def first_email(account: Account) -> Rows:
    return [(min(account.objects("customers"), key=lambda obj: int(obj["created"]))["email"],)]


def counted_items(account: Account) -> Rows:
    rows = account.rows("subscription_items")
    return [(len(rows), len({row.parent for row in rows}), len({row.object["price"]["id"] for row in rows}))]


def billed_products(account: Account) -> Rows:
    invoices = {obj["id"]: obj for obj in account.objects("invoices") if obj["currency"] == "usd"}
    products = {obj["id"]: obj["name"] for obj in account.objects("products")}
    found = []
    for row in account.rows("invoice_line_items"):
        invoice, product = (
            invoices.get(row.parent),
            (row.object["pricing"] or {}).get("price_details", {}).get("product"),
        )
        if invoice and product in products and (invoice["parent"] or {}).get("subscription_details"):
            paid = invoice["status_transitions"]["paid_at"]
            answer = (invoice["number"], paid and moment(paid), moment(row.object["period"]["end"]), products[product])
            found.append((invoice["created"], invoice["id"], row.object["id"], answer))
    return [answer for *_, answer in sorted(found)[:3]]


def counted_charges(account: Account) -> Rows:
    seconds = [obj["created"] for obj in account.objects("charges")]
    return [(len(seconds), moment(min(seconds)), moment(max(seconds)))]


def moment(second: int) -> datetime:
    return datetime.fromtimestamp(second, UTC)


def quarter(when: datetime) -> date:
    return date(when.year, (when.month - 1) // 3 * 3 + 1, 1)


RIGHT: Mapping[tuple[str, ...], Callable[[Account], Rows]] = {
    ("plan", "subscriptions", "seats", "usd_a_month"): plans,
    ("year", "paid", "declined", "collected_usd", "refunded_usd"): lambda each: charges(each, lambda when: when.year),
    ("quarter", "paid", "declined", "collected_usd", "refunded_usd"): lambda each: charges(each, quarter),
    ("quarter", "begun", "ended", "running"): begun_and_ended,
    ("name", "created", "country"): first_customers,
    ("email", "_as_of", "_source"): first_email,
    ("number", "paid_at", "period_end", "name"): billed_products,
    ("items", "subscriptions", "prices"): counted_items,
    ("charges", "first", "last"): counted_charges,
    ("count",): lambda each: [(len(each.objects("customers")),)],
    ("count_star()",): lambda each: [(len(each.objects("customers")),)],
}
"""By the names of a query's columns: what its answer begins with in each row."""


# --- the tests --------------------------------------------------------------------------------------------------------


def answer(database: Database, query: str) -> tuple[tuple[str, ...], Rows]:
    """Columns and rows, in a session whose time zone is that of New Zealand."""
    if database.kind == "duckdb":
        with duckdb.connect(database.address) as file:
            file.execute("set TimeZone = 'Pacific/Auckland'")
            relation = file.sql(query)
            return tuple(relation.columns), relation.fetchall()
    with psycopg.connect(database.address, options="-c timezone=Pacific/Auckland") as connection:
        cursor = connection.execute(query)  # type: ignore[call-overload]
        return tuple(each.name for each in cursor.description or ()), cursor.fetchall()


def test_published_queries_are_right_after_changes_and_deletions(mirror: Mirror) -> None:
    begin(mirror.sim)
    mirror.load(*RESOURCES)
    change(mirror.sim)
    mirror.pass_time(120)
    mirror.sync()
    assert len(QUERIES) >= 8
    assert mirror.destination.value("select count(*) from stripe.subscription_items where _deleted_at is not null") >= 2
    for query in QUERIES:
        columns, rows = answer(mirror.destination, query)
        right = RIGHT[columns](mirror.sim.account)
        assert Counter(row[: len(right[0])] for row in rows) == Counter(right), query


def test_a_query_about_money_says_which_currency() -> None:
    for query in QUERIES:
        assert "currency" in query or not re.search(r"amount|_usd", query)


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_leaves_out_what_was_deleted(query: str) -> None:
    assert "stripe_current." in query or "_deleted_at is null" in query
    assert query.count("_deleted_at is null") == len(re.findall(r"(?:from|join) stripe\.", query))
