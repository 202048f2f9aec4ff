"""Rows that Stripe shows only when asked, or never."""

from __future__ import annotations

from tests.simulator.conftest import Reader


def test_canceled_subscriptions_come_with_status(get: Reader) -> None:
    statuses = {obj["id"]: obj["status"] for obj in get.sim.account.objects("subscriptions")}
    gone = {id for id, status in statuses.items() if status == "canceled"}
    assert gone
    assert gone < statuses.keys()
    everything = {page["id"] for page in get.pages("/v1/subscriptions", ("status", "all"), ("limit", 100))}
    usual = {page["id"] for page in get.pages("/v1/subscriptions", ("limit", 100))}
    assert everything == statuses.keys()
    assert usual == everything - gone
    assert {page["id"] for page in get.pages("/v1/subscriptions", ("status", "canceled"))} == gone


def test_prices_come_by_activity_and_inline_ones_never(get: Reader) -> None:
    prices = {obj["id"]: obj["active"] for obj in get.sim.account.objects("prices", hidden=True)}
    inline = prices.keys() - {obj["id"] for obj in get.sim.account.objects("prices")}
    assert len(inline) == 1
    for wanted in (True, False):
        shown = {page["id"] for page in get.pages("/v1/prices", ("active", str(wanted).lower()))}
        assert shown == {id for id, active in prices.items() if active is wanted} - inline
    assert {page["id"] for page in get.pages("/v1/prices")} == {id for id, active in prices.items() if active} - inline
    assert get(f"/v1/prices/{inline.pop()}").status == 200


def test_objects_of_a_test_clock_come_with_the_clock(get: Reader) -> None:
    (clock,) = get("/v1/test_helpers/test_clocks").ids
    (customer,) = get("/v1/customers", ("test_clock", clock)).ids
    assert customer not in {page["id"] for page in get.pages("/v1/customers", ("limit", 100))}
    assert get(f"/v1/customers/{customer}").json["test_clock"] == clock


def test_reviews_are_listed_while_they_are_open(get: Reader) -> None:
    reviews = get.sim.account.objects("reviews", hidden=True)
    assert {page["id"] for page in get.pages("/v1/reviews")} == {review["id"] for review in reviews if review["open"]}
    (opened,) = [review["id"] for review in reviews if review["open"]][:1]
    get.sim.account.update("reviews", opened, {"open": False, "closed_reason": "approved"})
    assert opened not in {page["id"] for page in get.pages("/v1/reviews")}
    assert ("reviews", opened) not in get.sim.account.truth()["reviews"]


def test_custom_payment_methods_come_with_their_type(get: Reader) -> None:
    (custom,) = get("/v1/payment_methods", ("type", "custom")).ids
    assert custom not in {page["id"] for page in get.pages("/v1/payment_methods", ("limit", 100))}


def test_tax_ids_are_the_accounts_own_unless_asked(get: Reader) -> None:
    (own,) = get("/v1/tax_ids").json["data"]
    assert own["owner"]["type"] == "self"
    of_customers = get("/v1/tax_ids", ("owner[type]", "customer")).json["data"]
    assert of_customers
    assert all(customer["customer"] for customer in of_customers)


def test_closed_v2_accounts_come_when_asked(get: Reader) -> None:
    every = {obj["id"]: bool(obj["closed"]) for obj in get.sim.account.objects("v2_core_accounts")}
    assert set(get("/v2/core/accounts", ("closed", "true")).ids) == {id for id, closed in every.items() if closed}
    assert set(get("/v2/core/accounts").ids) == {id for id, closed in every.items() if not closed}


def test_the_account_itself_is_in_no_list(get: Reader) -> None:
    assert get.sim.account.id not in get("/v1/accounts", ("limit", 100)).ids
    assert get("/v1/account").json["id"] == get.sim.account.id


def test_deleted_objects_are_in_no_list(get: Reader) -> None:
    deleted = get.sim.account.deleted["customers"]
    assert deleted
    assert not deleted.keys() & {page["id"] for page in get.pages("/v1/customers", ("limit", 100))}
