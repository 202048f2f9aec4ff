"""Events: one for every change, thirty days of them, found by type and time."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sources.stripe_api.catalogue import TABLES
from tests.simulator.conftest import NOON, Reader

DAY = 86400


@pytest.fixture
def quiet(simulate: Callable[..., Reader]) -> Reader:
    """An account without events."""
    get = simulate(customers=0)
    get.sim.clock.advance(40 * DAY)
    return get


def newest(get: Reader, *query: tuple[str, object]) -> dict[str, object]:
    found: dict[str, object] = get("/v1/events", *query, ("limit", 1)).json["data"][0]
    return found


def test_create_update_and_delete_are_told(quiet: Reader) -> None:
    account = quiet.sim.account
    made = quiet.sim.make("customers", name="Ada", metadata={"a": "1", "b": "2"})
    account.create("customers", made)
    account.update("customers", made["id"], {"name": "Ada L.", "metadata": {"a": "1", "b": "3"}})
    account.delete("customers", made["id"])
    deleted, updated, created = quiet("/v1/events").json["data"]
    assert [each["type"] for each in (created, updated, deleted)] == [
        "customer.created", "customer.updated", "customer.deleted",
    ]  # fmt: skip
    assert created["data"] == {"object": made}
    assert updated["data"]["object"]["name"] == "Ada L."
    assert updated["data"]["previous_attributes"] == {"name": "Ada", "metadata": {"b": "2"}}
    assert deleted["data"]["object"]["id"] == made["id"]


def test_an_event_has_stripes_fields(quiet: Reader) -> None:
    quiet.sim.account.create("customers", quiet.sim.make("customers"))
    event = newest(quiet)
    assert event["object"] == "event"
    assert str(event["id"]).startswith("evt_")
    assert event["created"] == quiet.sim.clock.seconds()
    assert event["api_version"] == "2026-10-28.endive"
    assert quiet(f"/v1/events/{event['id']}").json == event


def test_a_change_of_nothing_tells_nothing(quiet: Reader) -> None:
    made = quiet.sim.make("customers", name="Ada")
    quiet.sim.account.create("customers", made)
    quiet.sim.account.update("customers", made["id"], {"name": "Ada"})
    assert len(quiet("/v1/events").ids) == 1


@pytest.mark.parametrize(
    ("table", "given", "type"),
    [
        ("charges", {"status": "failed"}, "charge.failed"),
        ("charges", {"status": "succeeded"}, "charge.succeeded"),
        ("disputes", {}, "charge.dispute.created"),
        ("issuing_cards", {}, "issuing_card.created"),
        ("tax_ids", {"customer": "cus_1"}, "customer.tax_id.created"),
        ("payment_sources", {"object": "card", "customer": "cus_1"}, "customer.source.created"),
        ("external_accounts", {"object": "bank_account", "account": "acct_1"}, "account.external_account.created"),
        ("fee_refunds", {"fee": "fee_1"}, None),
        ("balance_transactions", {}, None),
        ("checkout_sessions", {}, None),
        ("promotion_codes", {}, "promotion_code.created"),
    ],
)
def test_types_are_those_of_stripe(quiet: Reader, table: str, given: dict[str, object], type: str | None) -> None:
    name = str(given.get("object", TABLES[table].objects[0]))
    quiet.sim.account.create(table, quiet.sim.make(table, **given) | {"object": name})
    assert [obj["type"] for obj in quiet("/v1/events").json["data"]] == ([type] if type else [])


def test_a_subscription_that_is_canceled_is_told_as_deleted(quiet: Reader) -> None:
    made = quiet.sim.make("subscriptions", status="active", items=[], customer="cus_1")
    quiet.sim.account.create("subscriptions", made)
    quiet.sim.account.update("subscriptions", made["id"], {"status": "canceled"})
    assert newest(quiet)["type"] == "customer.subscription.deleted"


def test_an_event_embeds_ten_of_the_children(quiet: Reader) -> None:
    made = quiet.sim.make("invoices")
    lines = [quiet.sim._maker.plain("line_item", NOON, invoice=made["id"]) for _ in range(12)]
    quiet.sim.account.create("invoices", made | {"lines": lines})
    shown = newest(quiet)["data"]["object"]["lines"]  # type: ignore[index]
    assert (len(shown["data"]), shown["has_more"], shown["total_count"]) == (10, True, 12)


def test_children_that_change_are_previous_attributes_of_their_parent(quiet: Reader) -> None:
    item = quiet.sim.make("subscription_items", subscription="sub_1", quantity=1)
    made = quiet.sim.make("subscriptions", id="sub_1", status="active", items=[item], customer="cus_1")
    quiet.sim.account.create("subscriptions", made)
    quiet.sim.account.update("subscriptions", "sub_1", {"items": [item | {"quantity": 2}]})
    data = newest(quiet)["data"]
    assert data["object"]["items"]["data"][0]["quantity"] == 2  # type: ignore[index]
    assert data["previous_attributes"]["items"]["data"][0]["quantity"] == 1  # type: ignore[index]


def test_events_are_kept_for_thirty_days(quiet: Reader) -> None:
    quiet.sim.account.create("customers", quiet.sim.make("customers"))
    quiet.sim.clock.advance(30 * DAY)
    assert len(quiet("/v1/events").ids) == 1
    quiet.sim.clock.advance(1)
    assert quiet("/v1/events").ids == []
    assert quiet.sim.account.truth()["events"] == {}


def test_events_by_type_and_by_time(quiet: Reader) -> None:
    start = quiet.sim.clock.seconds()
    for _ in range(3):
        made = quiet.sim.make("customers", name="x")
        quiet.sim.account.create("customers", made)
        quiet.sim.clock.advance(10)
        quiet.sim.account.update("customers", made["id"], {"name": "y"})
    assert len(quiet("/v1/events", ("type", "customer.updated")).ids) == 3
    assert len(quiet("/v1/events", ("type", "customer.*")).ids) == 6
    assert len(quiet("/v1/events", ("types[]", "customer.created"), ("types[]", "charge.failed")).ids) == 3
    assert len(quiet("/v1/events", ("created[gte]", start + 10), ("created[lt]", start + 20)).ids) == 2
    assert quiet("/v1/events", ("type", "a"), ("types[]", "b")).status == 400
    assert quiet("/v1/events", *(("types[]", f"t{n}") for n in range(21))).status == 400


def test_an_event_has_the_version_of_its_moment(quiet: Reader) -> None:
    quiet.sim.account.events.api_version = "2020-08-27"
    quiet.sim.account.create("customers", quiet.sim.make("customers"))
    quiet.sim.account.events.api_version = "2026-10-28.endive"
    assert newest(quiet)["api_version"] == "2020-08-27"


def test_events_without_a_change(quiet: Reader) -> None:
    quiet.sim.account.emit("invoice.upcoming", {"object": "invoice", "amount_due": 5})
    event = newest(quiet, ("type", "invoice.upcoming"))
    assert event["data"] == {"object": {"object": "invoice", "amount_due": 5}}


def test_the_business_leaves_events_of_its_last_thirty_days(get: Reader) -> None:
    events = list(get.pages("/v1/events", ("limit", 100)))
    assert len({event["type"] for event in events}) > 15
    assert min(event["created"] for event in events) > NOON - 30 * DAY
    assert max(event["created"] for event in events) <= NOON
