"""The simulated Orb's lists that are below a parent, and what all lists take, hold against the SDK and hide."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from simulator.orb import OrbSimulator
from simulator.orb.account import LISTED, moment
from simulator.orb.lists import BY_EXTERNAL_ID, TABLES, TAKES
from sources.catalogue import Resource
from sources.orb_api.catalogue import CATALOGUE
from sources.orb_api.generate.sdk import operations, shapes
from tests.simulator.orb.test_orb import NOON, get, is_valid, read, refusal

BELOW = [resource for resource in CATALOGUE.resources.values() if resource.parents and resource.not_loaded is None]
HOUR = 3_600
Query = tuple[tuple[str, str], ...]


@pytest.fixture(scope="module")
def sim() -> Iterator[OrbSimulator]:
    with OrbSimulator(seed=7, customers=13, now=NOON, running=False) as simulator:
        yield simulator


def of_parent(resource: Resource, id: str) -> tuple[str, Query]:
    """The path and the query of a parent's list."""
    (parent,) = resource.parents
    return resource.path.replace(f"{{{parent.param}}}", id), ((parent.param, id),) if parent.where == "query" else ()


def test_a_list_takes_what_the_sdk_says_and_nothing_else() -> None:
    known = {
        operation.path: operation.parameters
        for operation in operations()
        if operation.is_list or operation.path == "/v1/events/volume"
    }
    assert TAKES.keys() - known.keys() == {"/v1/webhook_events"}
    assert known.keys() - TAKES.keys() == set()
    assert len(TAKES) == 31
    for path, parameters in known.items():
        assert {name.partition("[")[0] for name in parameters} == {*TAKES[path].split(), "cursor", "limit"}


@pytest.mark.parametrize("resource", BELOW, ids=lambda each: each.name)
def test_the_lists_of_all_parents_show_every_object_and_no_other_parents(sim: OrbSimulator, resource: Resource) -> None:
    shown: dict[str, Any] = {}
    values: tuple[Query, ...] = ((),)
    if resource.each is not None:
        values = tuple(((resource.each.param, unit),) for unit in ("credits", "USD", "tokens"))
    for parent in sim.account.objects(resource.parents[0].table):
        path, query = of_parent(resource, parent["id"])
        for chosen in (query + params + each for params in resource.passes for each in values):
            found = read(sim, path, *chosen, ("limit", "1"))
            assert found == read(sim, path, *chosen)
            moments = [each["created_at"] for each in found if "created_at" in each]
            assert moments == sorted(moments, reverse=True) or resource.table == "subscription_schedules"
            shown |= {str(each.get("id", (parent["id"], each.get("start_date")))): each for each in found}
    account = sim.account.objects(TABLES[resource.path])
    assert shown
    assert [each for each in shown.values() if each not in account] == []
    if resource.table != "alerts":  # each of its two lists shows a part
        assert len(shown) == len(account)


def test_an_unknown_parent_is_not_there_and_a_cursor_belongs_to_its_parent(sim: OrbSimulator) -> None:
    some = [id for id in sim.account.tables["customers"] if len(sim.account.listed("credit_ledger_entries", id)) > 2]
    path, other = (f"/v1/customers/{id}/credits/ledger" for id in some[:2])
    cursor = get(sim, path, ("limit", "1")).json()["pagination_metadata"]["next_cursor"]
    assert get(sim, path, ("cursor", cursor)).status == 200
    assert "other parameters" in get(sim, other, ("cursor", cursor)).json()["detail"]
    assert "other parameters" in get(sim, path, ("cursor", cursor), ("currency", "USD")).json()["detail"]
    assert refusal(get(sim, "/v1/customers/none/credits")) == "404-resource-not-found"
    for path in ("/v1/alerts", "/v1/licenses", "/v1/events/volume"):
        assert refusal(get(sim, path)) == "400-request-validation-errors"
    for name in ("licenses", "credit_blocks"):
        (id, row), *_ = sim.account.tables[name].items()
        assert get(sim, (CATALOGUE.tables[name].retrieve or "").replace("{id}", id)).json() == row.object


def test_credits_are_those_of_one_currency_and_hide_what_is_used_up(sim: OrbSimulator) -> None:
    customer = sim.account.objects("customers")[3]
    path = f"/v1/customers/{customer['id']}/credits"
    assert [each["balance"] for each in read(sim, path)] == [12.5]
    assert len(read(sim, path, ("include_all_blocks", "true"))) == 2
    assert len(read(sim, path, ("include_all_blocks", "true"), ("currency", "tokens"))) == 2
    assert read(sim, path, ("currency", "EUR")) == []
    assert read(sim, path) == read(sim, f"{BY_EXTERNAL_ID.format(external_customer_id='user-3')}/credits")
    entries = read(sim, f"{path}/ledger", ("entry_type", "decrement"), ("minimum_amount", "2"))
    assert [entry["amount"] for entry in entries] == [-2.5, -2.5]
    assert read(sim, f"{path}/ledger", ("created_at[gt]", entries[0]["created_at"])) == []


def test_alerts_of_a_subscription_include_those_of_its_plan(sim: OrbSimulator) -> None:
    plan = sim.account.objects("plans")[0]["id"]
    subscriptions = [obj for obj in sim.account.objects("subscriptions") if obj["plan"]["id"] == plan]
    for subscription in subscriptions:
        found = read(sim, "/v1/alerts", ("subscription_id", subscription["id"]))
        assert "cost_exceeded" in {alert["type"] for alert in found}


def test_lists_of_the_same_objects_show_them_in_their_own_way(sim: OrbSimulator) -> None:
    models = {operation.path: operation.model for operation in operations()}
    for path, table in (("/v1/invoices/summary", "invoices"), ("/v1/subscriptions/summary", "subscriptions")):
        (first, *_), (whole, *_) = read(sim, path), read(sim, f"/v1/{table}")
        assert first.items() <= whole.items()
        assert first.keys() == shapes(models[path]).keys()
        assert is_valid(models[path], first)
    customer = sim.account.objects("customers")[1]
    mine = read(sim, "/v1/subscriptions", ("external_customer_id", customer["external_customer_id"]))
    assert {each["customer"]["id"] for each in mine} == {customer["id"]}
    coupon = sim.account.objects("coupons")[0]["id"]
    assert read(sim, f"/v1/coupons/{coupon}/subscriptions") == []
    sim.account.update("subscriptions", mine[0]["id"], {"redeemed_coupon": {"coupon_id": coupon}})
    assert [each["id"] for each in read(sim, f"/v1/coupons/{coupon}/subscriptions")] == [mine[0]["id"]]
    group = LISTED["dimensional_price_group_prices"].path.replace(
        "{dimensional_price_group_id}", sim.account.objects("dimensional_price_groups")[0]["id"]
    )
    assert (len(read(sim, group)), len(read(sim, group, ("status", "all")))) == (1, 2)


def test_invoices_are_filtered_by_their_due_date_and_source_and_shown_without_lines_of_zero() -> None:
    with OrbSimulator(seed=7, customers=3, now=NOON, running=False) as sim:
        one, other, *rest = (each["id"] for each in read(sim, "/v1/invoices"))
        (line,) = sim.account.get("invoices", one)["line_items"]
        lines = [line, line | {"id": "zero", "quantity": 0.0}]
        due = moment(NOON - 3 * 24 * HOUR)
        sim.account.update("invoices", one, {"due_date": due, "line_items": lines, "invoice_source": "one_off"})
        sim.account.update("invoices", other, {"due_date": moment(NOON - 40 * 24 * HOUR)})

        def found(*query: tuple[str, str]) -> list[str]:
            return [each["id"] for each in read(sim, "/v1/invoices", *query)]

        assert found(("due_date_window", "7d"), ("date_type", "due_date")) == [one]
        assert found(("due_date_window", "2m")) == [one, other]
        assert found(("is_recurring", "false")) == [one]
        assert found(("is_recurring", "true")) == [other, *rest]
        for given, count in ((("include_zero_quantity_line_items", "false"), 1), (("limit", "100"), 2)):
            assert len(read(sim, "/v1/invoices", given)[0]["line_items"]) == count
        for wrong in (("due_date_window", "7w"), ("is_recurring", "yes"), ("date_type", "created_at")):
            assert refusal(get(sim, "/v1/invoices", wrong)) == "400-request-validation-errors"
        unknown = ("include_zero_quantity_line_items", "true")
        assert refusal(get(sim, "/v1/invoices/summary", unknown)) == "400-request-validation-errors"


def test_the_log_of_events_is_filtered_by_delivery_and_shown_without_payloads() -> None:
    with OrbSimulator(seed=7, customers=1, now=NOON, running=False) as sim:
        (customer,) = sim.account.objects("customers")
        for _ in range(2):
            sim.account.update("customers", customer["id"], {}, "customer.edited")
        first, second = read(sim, "/v1/webhook_events")
        sim.account.update("webhook_events", first["id"], {"is_delivered": True})
        assert [each["id"] for each in read(sim, "/v1/webhook_events", ("delivery_success", "true"))] == [first["id"]]
        assert [each["id"] for each in read(sim, "/v1/webhook_events", ("delivery_success", "false"))] == [second["id"]]
        assert [each.get("payload") for each in read(sim, "/v1/webhook_events", ("include_payload", "false"))] == [
            None
        ] * 2


def test_sums_of_events_come_hour_by_hour_without_a_next_page(sim: OrbSimulator) -> None:
    start = NOON // HOUR * HOUR - 30 * HOUR
    given = ("timeframe_start", moment(start + 60)), ("timeframe_end", moment(start + 25 * HOUR))
    body = get(sim, "/v1/events/volume", *given, ("limit", "100")).json()
    assert body.keys() == {"data"}
    assert [obj["timeframe_start"][:13] for obj in body["data"]] == [moment(start + n * HOUR)[:13] for n in range(25)]
    assert len(get(sim, "/v1/events/volume", *given).json()["data"]) == 20
