"""Single objects: by id, deleted ones, singletons; and what a change of the account changes in the answers."""

from __future__ import annotations

import pytest

from sources.stripe_api.catalogue import TABLES
from tests.simulator.conftest import Reader

LIVE_ONLY = "scheduled_query_runs"
RETRIEVED = [n for n, table in TABLES.items() if table.retrieve and table.key == ("id",) and n != LIVE_ONLY]


@pytest.mark.parametrize("table", RETRIEVED)
def test_every_table_with_a_path_gives_its_objects_by_id(get: Reader, table: str) -> None:
    held = get.sim.account.rows(table, hidden=True)[-1]
    path = TABLES[table].retrieve.format(id=held.object["id"], _parent_id=held.parent)  # type: ignore[union-attr]
    answer = get(path)
    assert answer.status == 200
    fields = {embedded.field.partition(".")[0] for embedded in TABLES[table].embedded} | {
        *TABLES[table].shown_on_request
    }
    assert {n: v for n, v in answer.json.items() if n not in fields} == {
        n: v for n, v in held.object.items() if n not in fields
    }


@pytest.mark.parametrize(
    ("path", "object"),
    [
        ("/v1/account", "account"),
        ("/v1/balance", "balance"),
        ("/v1/balance_settings", "balance_settings"),
        ("/v1/tax/settings", "tax.settings"),
    ],
)
def test_singletons(get: Reader, path: str, object: str) -> None:
    assert get(path).json["object"] == object


def test_what_was_never_there_is_404(get: Reader) -> None:
    answer = get("/v1/customers/cus_never")
    assert (answer.status, answer.error["code"]) == (404, "resource_missing")
    assert answer.error["message"] == "No such customer: 'cus_never'"


def test_a_deleted_object_leaves_a_stub(get: Reader) -> None:
    id = get.sim.account.objects("customers")[0]["id"]
    assert get(f"/v1/customers/{id}", method="DELETE").json == {"id": id, "object": "customer", "deleted": True}
    assert get(f"/v1/customers/{id}").json == {"id": id, "object": "customer", "deleted": True}
    assert get(f"/v1/customers/{id}", method="DELETE").status == 404


def test_a_deleted_object_without_stubs_is_404(get: Reader) -> None:
    id = get.sim.account.objects("files")[0]["id"]
    get.sim.account.delete("files", id)
    assert get(f"/v1/files/{id}").status == 404


def test_a_child_is_found_below_its_own_parent_only(get: Reader) -> None:
    held = get.sim.account.rows("persons")[0]
    other = next(obj["id"] for obj in get.sim.account.objects("accounts") if obj["id"] != held.parent)
    assert get(f"/v1/accounts/{held.parent}/persons/{held.object['id']}").status == 200
    assert get(f"/v1/accounts/{other}/persons/{held.object['id']}").status == 404


def test_what_is_left_out_by_default_shows_only_when_expanded(get: Reader) -> None:
    tiered = next(obj for obj in get.sim.account.objects("prices") if obj["billing_scheme"] == "tiered")
    path = f"/v1/prices/{tiered['id']}"
    assert "tiers" not in get(path).json
    assert get(path, ("expand[]", "tiers")).json["tiers"] == tiered["tiers"]
    listed = {obj["id"]: obj for obj in get("/v1/prices", ("expand[]", "data.tiers"), ("limit", 100)).json["data"]}
    assert listed[tiered["id"]]["tiers"] == tiered["tiers"]
    assert {each["tiers"] for each in listed.values() if each["billing_scheme"] != "tiered"} == {None}
    told = [obj["data"]["object"] for obj in get("/v1/events", ("limit", 100), ("type", "price.created")).json["data"]]
    assert not any("tiers" in each for each in told)


def test_an_update_shows_at_once_everywhere(get: Reader) -> None:
    id = get.sim.account.objects("customers")[1]["id"]
    get.sim.account.update("customers", id, {"name": 'Ömer "the" Tester', "metadata": {"k": ""}})
    assert get(f"/v1/customers/{id}").json["name"] == 'Ömer "the" Tester'
    page = {page["id"]: page for page in get.pages("/v1/customers", ("limit", 100))}
    assert page[id]["metadata"] == {"k": ""}


def test_a_childs_change_shows_in_its_parent(get: Reader) -> None:
    subscription = get("/v1/subscriptions").json["data"][0]
    item = subscription["items"]["data"][0]["id"]
    get.sim.account.update("subscription_items", item, {"quantity": 42})
    shown = get(f"/v1/subscriptions/{subscription['id']}").json["items"]["data"]
    assert next(each for each in shown if each["id"] == item)["quantity"] == 42
    new = get.sim.make("subscription_items", subscription=subscription["id"], quantity=1)
    get.sim.account.create("subscription_items", new)
    assert get(f"/v1/subscriptions/{subscription['id']}").json["items"]["data"][0]["id"] == new["id"]
    get.sim.account.update("subscriptions", subscription["id"], {"items": [new]})
    assert [obj["id"] for obj in get(f"/v1/subscriptions/{subscription['id']}").json["items"]["data"]] == [new["id"]]
    assert item not in {held["id"] for held in get.sim.account.objects("subscription_items")}


def test_an_object_moves_to_another_parent(get: Reader) -> None:
    first, second = (obj["id"] for obj in get.sim.account.objects("customers")[3:5])
    method = get.sim.make("payment_methods", customer=first, type="card")
    get.sim.account.create("payment_methods", method)
    assert method["id"] in get(f"/v1/customers/{first}/payment_methods").ids
    get.sim.account.update("payment_methods", method["id"], {"customer": second})
    assert method["id"] not in get(f"/v1/customers/{first}/payment_methods").ids
    assert method["id"] in get(f"/v1/customers/{second}/payment_methods").ids


def test_a_canceled_subscription_can_still_be_read(get: Reader) -> None:
    id = get("/v1/subscriptions").ids[0]
    assert get(f"/v1/subscriptions/{id}", method="DELETE").json["status"] == "canceled"
    assert get(f"/v1/subscriptions/{id}").json["status"] == "canceled"
    assert id not in get("/v1/subscriptions", ("limit", 100)).ids
