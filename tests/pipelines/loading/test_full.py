"""What is Stripe's own in a load and in what comes after it: what is read again, new fields, what is recorded.

`tests/providers/test_load.py` has what holds for every provider.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.pipelines.mirror import Mirror


def everything(mirror: Mirror, table: str) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in mirror.rows(table)}


@pytest.mark.long
def test_default_run_skips_what_the_account_lacks_and_says_why(mirrored: Callable[..., Mirror]) -> None:
    mirror = mirrored(lacks=["issuing_cards", "treasury_financial_accounts"])
    outcome = mirror.run()
    assert outcome.failed == []
    assert {"issuing_cards", "treasury_financial_accounts"} <= set(outcome.skipped)
    rows = mirror.destination.query("select error, rows from stripe.sync_status where resource = 'issuing_cards'")
    assert "Issuing" in rows[0][0]
    assert rows[0][1] == 0
    assert mirror.differences() == []


def test_second_run_asks_for_what_is_newer_and_leaves_the_rest(mirror: Mirror) -> None:
    mirror.load("customers", "charges", "products", "payment_links", "account")
    before = {table: everything(mirror, table) for table in ("customers", "charges", "payment_links")}
    new = mirror.sim.account.create("customers", mirror.sim.make("customers", name="New"))
    link = mirror.sim.account.create("payment_links", mirror.sim.make("payment_links"))
    mirror.pass_time(60)
    mirror.forget_requests()
    mirror.run("customers", "charges", "payment_links")
    after = {table: everything(mirror, table) for table in before}
    assert after["customers"].keys() - before["customers"].keys() == {new["id"]}
    assert link["id"] in after["payment_links"]
    for table in ("customers", "charges"):
        assert {id: after[table][id] for id in before[table]} == before[table]
    assert mirror.requests() <= 5  # the account, a window each, and the list without `created`
    assert mirror.differences(["customers", "charges", "payment_links"]) == []


def test_children_are_asked_for_again_only_where_their_parent_changed(mirrored: Callable[..., Mirror]) -> None:
    mirror = mirrored(customers=20)
    mirror.load("customers", "customer_balance_transactions")
    customers = len(mirror.rows("customers"))
    mirror.forget_requests()
    mirror.run("customers", "customer_balance_transactions")
    # our clock, not Stripe's, says when a parent was written: within the overlap all of them count
    assert mirror.requests() <= customers + 3
    assert mirror.differences(["customers", "customer_balance_transactions"]) == []


def test_since_and_until_load_their_window_and_no_more(mirrored: Callable[..., Mirror]) -> None:
    mirror = mirrored(customers=30)
    created = sorted(obj["created"] for obj in mirror.sim.account.objects("customers"))
    since, until = created[len(created) // 3], created[2 * len(created) // 3]
    mirror.run("customers", since=since, until=until)
    ids = {obj["id"] for obj in mirror.sim.account.objects("customers") if since <= obj["created"] < until}
    assert everything(mirror, "customers").keys() == ids
    mirror.forget_requests()
    mirror.run("customers", since=since, until=until)
    assert mirror.requests() == 1  # who the key belongs to
    mirror.load("customers")
    assert mirror.differences(["customers"]) == []


def test_unknown_fields_become_columns_and_changed_types_lose_nothing(mirror: Mirror) -> None:
    first = mirror.sim.account.create("customers", mirror.sim.make("customers", brand_new=7, balance=5))
    mirror.load("customers")
    second = mirror.sim.account.create(
        "customers", mirror.sim.make("customers", brand_new="text", balance=2.5, delinquent="maybe")
    )
    mirror.load("customers")
    assert mirror.differences(["customers"]) == []
    rows = everything(mirror, "customers")
    assert rows[first["id"]]["brand_new"] == 7
    assert rows[second["id"]]["brand_new__v_text"] == "text"
    assert rows[second["id"]]["balance__v_double"] == 2.5
    assert rows[second["id"]]["balance"] is None


def test_subscription_item_that_is_gone_disappears_with_its_subscription(mirror: Mirror) -> None:
    mirror.load("subscriptions")
    item = mirror.rows("subscription_items", live=True)[0]
    mirror.sim.account.delete("subscription_items", item["id"])
    mirror.pass_time(60)
    mirror.run("subscriptions", full_refresh=True)
    assert item["id"] not in {row["id"] for row in mirror.rows("subscription_items", live=True)}
    assert mirror.differences(["subscriptions"]) == []


def test_run_and_its_resources_are_recorded(mirror: Mirror) -> None:
    mirror.load("customers", "products")
    command, status, rows, requests, ended = mirror.destination.query(
        "select command, status, rows, requests, ended_at from stripe.sync_runs"
    )[0]
    assert (command, status) == ("stripe_full", "complete")
    assert ended is not None
    assert requests >= 3
    assert rows == mirror.destination.value("select sum(rows) from stripe.sync_status")
    start, end = mirror.destination.query(
        "select window_start, window_end from stripe.sync_status where resource = 'customers'"
    )[0]
    assert start.timestamp() == 0
    assert mirror.sim.clock.seconds() - 180 < end.timestamp() <= mirror.sim.clock.seconds()


def test_frozen_columns_stop_the_resource_that_would_change_them(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror.load("customers", "products")
    monkeypatch.setenv("SOURCES__STRIPE__SCHEMA_CONTRACT", '{"columns": "freeze"}')
    mirror.sim.account.create("customers", mirror.sim.make("customers", brand_new=7))
    product = mirror.sim.account.create("products", mirror.sim.make("products"))
    outcome = mirror.run("customers", "products")
    assert outcome.failed == ["customers"]
    assert "brand_new" in mirror.destination.value("select error from stripe.sync_status where resource = 'customers'")
    assert product["id"] in everything(mirror, "products")
