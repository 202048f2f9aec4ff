"""Order, cursors, limits and windows of v1 lists."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from sources.catalogue import Resource
from sources.stripe_api.catalogue import RESOURCES
from tests.simulator.conftest import NOON, Reader

BURST = 130


@pytest.fixture
def burst(simulate: Callable[..., Reader]) -> Reader:
    """130 customers of one second, and one on either side."""
    get = simulate(customers=0)
    for held in get.sim.account.objects("customers"):
        get.sim.account.delete("customers", held["id"])
    for number in range(BURST):
        get.sim.account.create("customers", get.sim.make("customers", id=f"cus_{number:03d}", created=NOON - 100))
    get.sim.account.create("customers", get.sim.make("customers", id="cus_old", created=NOON - 101))
    get.sim.account.create("customers", get.sim.make("customers", id="cus_new", created=NOON - 99))
    return get


def test_a_list_is_a_list_object(get: Reader) -> None:
    body = get("/v1/charges", ("limit", 1)).json
    assert list(body) == ["object", "data", "has_more", "url"]
    assert (body["object"], body["url"], body["has_more"], len(body["data"])) == ("list", "/v1/charges", True, 1)


def test_newest_first_and_the_later_of_one_second_before_the_earlier(burst: Reader) -> None:
    ids = [page["id"] for page in burst.pages("/v1/customers", ("limit", 7))]
    assert ids == ["cus_new", *(f"cus_{number:03d}" for number in reversed(range(BURST))), "cus_old"]


def test_a_page_has_ten_unless_asked(burst: Reader) -> None:
    assert len(burst("/v1/customers").ids) == 10


def test_one_second_can_take_several_pages(burst: Reader) -> None:
    window = (("created[gte]", NOON - 100), ("created[lt]", NOON - 99))
    ids = [page["id"] for page in burst.pages("/v1/customers", *window, ("limit", 100))]
    assert len(ids) == len(set(ids)) == BURST


@pytest.mark.parametrize(
    ("bounds", "count"),
    [
        ({"created[gt]": -101}, BURST + 1),
        ({"created[gte]": -101}, BURST + 2),
        ({"created[lt]": -99}, BURST + 1),
        ({"created[lte]": -99}, BURST + 2),
        ({"created[gt]": -100, "created[lte]": -99}, 1),
        ({"created": -100}, BURST),
        ({"created": -101}, 1),
        ({"created[gte]": -98}, 0),
        ({"created[gte]": -99, "created[lt]": -99}, 0),
    ],
)
def test_created_bounds(burst: Reader, bounds: dict[str, int], count: int) -> None:
    query = [(name, NOON + second) for name, second in bounds.items()]
    assert len(list(burst.pages("/v1/customers", *query, ("limit", 100)))) == count


def test_ending_before_gives_the_next_newer_ones_newest_first(burst: Reader) -> None:
    answer = burst("/v1/customers", ("ending_before", "cus_010"), ("limit", 3))
    assert answer.ids == ["cus_013", "cus_012", "cus_011"]
    assert answer.json["has_more"] is True
    last = burst("/v1/customers", ("ending_before", "cus_128"), ("limit", 5))
    assert last.ids == ["cus_new", "cus_129"]
    assert last.json["has_more"] is False


def test_a_cursor_and_a_window_hold_together(burst: Reader) -> None:
    answer = burst("/v1/customers", ("starting_after", "cus_001"), ("created[gte]", NOON - 100), ("limit", 5))
    assert (answer.ids, answer.json["has_more"]) == (["cus_000"], False)


def test_both_cursors_are_refused(burst: Reader) -> None:
    answer = burst("/v1/customers", ("starting_after", "cus_001"), ("ending_before", "cus_002"))
    assert answer.status == 400
    assert answer.error["message"].startswith("Received both starting_after and ending_before parameters.")


@pytest.mark.parametrize("cursor", ["starting_after", "ending_before"])
def test_a_cursor_that_was_deleted_is_400_resource_missing(burst: Reader, cursor: str) -> None:
    burst.sim.account.delete("customers", "cus_050")
    answer = burst("/v1/customers", (cursor, "cus_050"))
    assert answer.status == 400
    assert answer.error["code"] == "resource_missing"
    assert answer.error["message"] == "No such customer: 'cus_050'"
    assert answer.error["param"] == cursor


def test_what_is_created_meanwhile_does_not_disturb_a_cursor(burst: Reader) -> None:
    first = burst("/v1/customers", ("limit", 2))
    burst.sim.account.create("customers", burst.sim.make("customers", id="cus_newest"))
    assert burst("/v1/customers", ("limit", 2), ("starting_after", first.ids[-1])).ids == ["cus_128", "cus_127"]
    assert burst("/v1/customers", ("limit", 1)).ids == ["cus_newest"]


@pytest.mark.parametrize("limit", ["0", "-1", "101", "1000"])
def test_limit_is_one_to_a_hundred(get: Reader, limit: str) -> None:
    answer = get("/v1/customers", ("limit", limit))
    assert (answer.status, answer.error["code"], answer.error["param"]) == (400, "parameter_invalid_integer", "limit")


@pytest.mark.parametrize("value", ["ten", "1.5", "", "0x10"])
def test_limit_is_a_whole_number(get: Reader, value: str) -> None:
    assert get("/v1/customers", ("limit", value)).status == 400


LISTS = [r for r in RESOURCES.values() if r.kind == "root" and r.created_field and r.name != "scheduled_query_runs"]


@pytest.mark.parametrize("resource", LISTS, ids=lambda r: str(r.name))
def test_every_list_is_in_the_order_of_its_field(get: Reader, resource: Resource) -> None:
    assert resource.created_field is not None
    for chosen in resource.passes:
        answer = get(resource.path, *chosen, ("limit", resource.limit))
        moments = [obj[resource.created_field] for obj in answer.json["data"]]
        assert moments == sorted(moments, reverse=True)
        if resource.created == "unix" and moments:
            window = get(resource.path, *chosen, ("created[gte]", moments[0]), ("limit", resource.limit)).json["data"]
            assert {each[resource.created_field] for each in window} == {moments[0]}


def test_an_id_of_the_users_choosing_is_found_and_serves_as_a_cursor(get: Reader) -> None:
    assert get("/v1/coupons/friends%20%26%20family").json["id"] == "friends & family"
    assert get("/v1/coupons", ("starting_after", "friends & family"), ("limit", 1)).ids == ["LAUNCH25"]


def test_single_pages_refuse_limit_and_show_all(get: Reader) -> None:
    assert get("/v1/reporting/report_types", ("limit", 10)).error["code"] == "parameter_unknown"
    answer = get("/v1/reporting/report_types")
    assert len(answer.ids) == len(get.sim.account.objects("reporting_report_types"))
    assert answer.json["has_more"] is False


def test_counters_know_the_endpoint(get: Reader) -> None:
    get("/v1/customers")
    get("/v1/customers", ("limit", 1))
    get("/v1/invoices/in_1")
    assert get.sim.service.requests == Counter({"GET /v1/customers": 2, "GET /v1/invoices/{invoice}": 1})
    assert get.sim.service.statuses == Counter({200: 2, 404: 1})
    last = get.sim.service.log[-1]
    assert (last.path, last.status) == ("/v1/invoices/in_1", 404)
    assert "authorization" not in last.headers


def test_transactions_of_a_payout_are_those_that_it_pays_out_and_manual_ones_are_refused(get: Reader) -> None:
    account = get.sim.account
    payout = account.objects("payouts")[-1]
    found = get.pages("/v1/balance_transactions", ("payout", payout["id"]), ("limit", 3))
    own, *others = found
    assert own["source"] == payout["id"]
    assert sum(other["net"] for other in others) == payout["amount"]
    manual = account.create("payouts", {**payout, "id": "po_manual", "automatic": False})
    answer = get("/v1/balance_transactions", ("payout", manual["id"]))
    assert (answer.status, answer.error["param"]) == (400, "payout")
    assert get("/v1/balance_transactions", ("payout", "po_none")).error["message"] == "No such payout: 'po_none'"
    account.delete("payouts", "po_manual")
