"""Lists below a parent, lists inside an object, and what expanding shows."""

from __future__ import annotations

import pytest

from simulator.content.business.discounts import given, tell
from sources.stripe_api.catalogue import RESOURCES, TABLES
from sources.stripe_api.paging.conventions import expansions
from tests.simulator.conftest import NOON, Reader

DAY = 86400


def longest(get: Reader, table: str, children: str) -> tuple[str, int]:
    """The object with the most children."""
    rows = get.sim.account.tables
    counted = [(len(rows[children].of(row.id)), row.id) for row in rows[table]]
    count, id = max(counted)
    return id, count


@pytest.mark.parametrize(
    ("table", "children", "path"),
    [
        ("invoices", "invoice_line_items", "/v1/invoices/{id}/lines"),
        ("checkout_sessions", "checkout_session_line_items", "/v1/checkout/sessions/{id}/line_items"),
        ("transfers", "transfer_reversals", "/v1/transfers/{id}/reversals"),
        ("application_fees", "fee_refunds", "/v1/application_fees/{id}/refunds"),
    ],
)
def test_children_page_below_their_parent(get: Reader, table: str, children: str, path: str) -> None:
    id, count = longest(get, table, children)
    assert count > 10
    found = [page["id"] for page in get.pages(path.format(id=id), ("limit", 4))]
    assert len(found) == len(set(found)) == count
    assert found == [row.id for row in get.sim.account.tables[children].of(id).newest()]


@pytest.mark.parametrize(
    ("table", "field", "children"),
    [
        ("invoices", "lines", "invoice_line_items"),
        ("radar_value_lists", "list_items", "radar_value_list_items"),
        ("application_fees", "refunds", "fee_refunds"),
    ],
)
def test_embedded_lists_are_cut_at_ten_and_go_on_where_their_url_says(
    get: Reader, table: str, field: str, children: str
) -> None:
    id, count = longest(get, table, children)
    listed = get(TABLES[table].retrieve.format(id=id)).json[field]  # type: ignore[union-attr]
    assert (listed["object"], len(listed["data"]), listed["has_more"]) == ("list", 10, True)
    url, _, query = listed["url"].partition("?")
    parent = [tuple(pair.split("=")) for pair in query.split("&") if pair]
    rest = [page["id"] for page in get.pages(url, *parent, ("limit", 100))]
    assert len(rest) == count
    assert rest[:10] == [obj["id"] for obj in listed["data"]]


def test_a_whole_embedded_list_says_so(get: Reader) -> None:
    for subscription in get("/v1/subscriptions", ("status", "all"), ("limit", 100)).json["data"]:
        items = subscription["items"]
        assert items["has_more"] is False
        assert items["url"] == f"/v1/subscription_items?subscription={subscription['id']}"
        assert {obj["subscription"] for obj in items["data"]} == {subscription["id"]}


def test_children_by_query_parameter(get: Reader) -> None:
    (subscription, *_) = get("/v1/subscriptions").json["data"]
    found = get("/v1/subscription_items", ("subscription", subscription["id"]))
    assert found.json["data"] == subscription["items"]["data"]


def test_an_unknown_parent_is_404_in_the_path_and_400_in_the_query(get: Reader) -> None:
    assert get("/v1/invoices/in_none/lines").status == 404
    answer = get("/v1/subscription_items", ("subscription", "sub_none"))
    assert (answer.status, answer.error["message"]) == (400, "No such subscription: 'sub_none'")


def test_a_list_of_a_parent_without_children_is_empty(get: Reader) -> None:
    (customer, *_) = reversed([row.id for row in get.sim.account.tables["customers"].shelf.rows()])
    answer = get(f"/v1/customers/{customer}/balance_transactions")
    assert (answer.status, answer.ids) == (200, [])


def test_summaries_of_a_meter_want_customer_and_midnights(get: Reader) -> None:
    held = get.sim.account.rows("billing_meter_event_summaries")[0]
    path = f"/v1/billing/meters/{held.object['meter']}/event_summaries"
    start, end = NOON // DAY * DAY - 30 * DAY, NOON // DAY * DAY
    query = (("customer", held.parent), ("value_grouping_window", "day"))
    assert get(path, *query).error["code"] == "parameter_missing"
    assert get(path, *query, ("start_time", start + 1), ("end_time", end)).status == 400
    answer = get(path, *query, ("start_time", start), ("end_time", end), ("limit", 100))
    assert held.object["id"] in answer.ids
    later = get(path, *query, ("start_time", held.object["end_time"]), ("end_time", end), ("limit", 100))
    assert held.object["id"] not in later.ids


def test_owners_want_the_ownership_of_their_account(get: Reader) -> None:
    held = get.sim.account.rows("financial_connections_account_owners")[0]
    path = f"/v1/financial_connections/accounts/{held.parent}/owners"
    assert get(path).error["code"] == "parameter_missing"
    assert get(path, ("ownership", held.object["ownership"])).ids
    assert get(path, ("ownership", "fcown_other")).ids == []


def test_lists_left_out_by_default_come_when_expanded(get: Reader) -> None:
    id, count = longest(get, "checkout_sessions", "checkout_session_line_items")
    assert "line_items" not in get(f"/v1/checkout/sessions/{id}").json
    alone = get(f"/v1/checkout/sessions/{id}", ("expand[]", "line_items")).json["line_items"]
    assert (len(alone["data"]), alone["has_more"]) == (min(count, 10), count > 10)
    page = get("/v1/checkout/sessions", ("expand[]", "data.line_items"), ("limit", 100)).json["data"]
    assert next(each for each in page if each["id"] == id)["line_items"] == alone


@pytest.mark.parametrize("resource", [r for r in RESOURCES.values() if r.kind == "root"], ids=lambda r: str(r.name))
def test_every_list_takes_the_expansions_that_the_catalogue_wants(get: Reader, resource: object) -> None:
    wanted = expansions(resource.table, TABLES)  # type: ignore[attr-defined]
    query = [(name, field) for name, field in wanted if field.count(".") < 4]
    if query:
        assert get(resource.path, *resource.passes[0], *query).status == 200  # type: ignore[attr-defined]


def test_an_id_becomes_its_object_when_expanded(get: Reader) -> None:
    charge = get("/v1/charges", ("expand[]", "data.customer"), ("expand[]", "data.payment_intent"), ("limit", 1)).json[
        "data"
    ][0]
    assert charge["customer"] == get(f"/v1/customers/{charge['customer']['id']}").json
    assert charge["payment_intent"]["object"] == "payment_intent"
    deep = get("/v1/charges", ("expand[]", "data.payment_intent.customer"), ("limit", 1)).json["data"][0]
    assert isinstance(deep["payment_intent"], str) or deep["payment_intent"]["customer"]["object"] == "customer"


def test_ids_in_an_array_become_objects_when_expanded_and_ended_ones_say_that_they_are_deleted(get: Reader) -> None:
    account = get.sim.account
    maker, (customer, *_) = get.sim.maker(), account.objects("customers")
    coupon = account.get("coupons", "friends & family")
    subscription = next(obj["id"] for obj in account.objects("subscriptions") if not obj["discounts"])
    assert coupon is not None
    discount = given(coupon, subscription, NOON)
    tell(maker, discount, customer["id"], NOON)
    account.update("subscriptions", subscription, {"discounts": [discount.id]})
    path = f"/v1/subscriptions/{subscription}"
    assert get(path).json["discounts"] == [discount.id]
    (shown,) = get(path, ("expand[]", "discounts")).json["discounts"]
    assert shown == account.get("discounts", discount.id)
    (deep,) = get(path, ("expand[]", "discounts.source.coupon")).json["discounts"]
    assert isinstance(deep, str) or deep["source"]["coupon"] == coupon
    account.delete("discounts", discount.id)
    (ended,) = get(path, ("expand[]", "discounts")).json["discounts"]
    assert ended == shown | {"deleted": True}
    listed = get("/v1/subscriptions", ("expand[]", "data.discounts"), ("status", "all"), ("limit", 100)).json["data"]
    assert next(each for each in listed if each["id"] == subscription)["discounts"] == [ended]
    account.update("subscriptions", subscription, {"discounts": []})


@pytest.mark.parametrize(
    ("path", "field", "code"),
    [
        ("/v1/charges", "data.amount", None),
        ("/v1/charges", "customer", None),
        ("/v1/charges", "data.nothing", None),
        ("/v1/charges", "data.a.b.c.d", "property_expansion_max_depth"),
        ("/v1/invoices/{invoice}", "lines", None),
        ("/v1/customers", "data.discounts", None),
        ("/v1/subscriptions", "data.items.data.discounts.source", "property_expansion_max_depth"),
    ],
)
def test_what_cannot_be_expanded_is_refused(get: Reader, path: str, field: str, code: str | None) -> None:
    path = path.format(invoice=get.sim.account.objects("invoices")[0]["id"])
    answer = get(path, ("expand[]", field))
    assert answer.status == 400
    assert answer.error.get("code") == code
