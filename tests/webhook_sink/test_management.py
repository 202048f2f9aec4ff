"""The management API: there only with a key, and a thin way into `pipelines`."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import orjson
import pytest
import urllib3

from simulator import Simulator
from sources.errors import UnknownResource
from tests.webhook_sink.account_equality import assert_equal
from tests.webhook_sink.conftest import Served, Stored, event
from webhook_sink.http.management import BadRequest, order_of

KEY = "a long key of tests"
Serve = Callable[..., Served]


@pytest.fixture(scope="module")
def sim() -> Iterator[Simulator]:
    with Simulator(seed=8, customers=3) as sim:
        yield sim


def post(served: Served, path: str, body: Any = None, key: str | None = KEY) -> urllib3.BaseHTTPResponse:
    headers = {"X-API-Key": key} if key is not None else {}
    return served.http.request("POST", served.url + path, body=orjson.dumps(body or {}), headers=headers)


def finished(served: Served, stored: Stored, command: str) -> tuple[Any, ...]:
    """The run of a command once it has ended."""
    for _ in itertools.count():
        status = orjson.loads(served.get("/sync/status", **{"X-API-Key": KEY}).data)
        ended = [one for one in status["runs"] if one["command"] == command and one["ended_at"]]
        if ended and not status["waiting"]:
            return ended[0]["status"], ended[0]["error"]
    raise AssertionError


def test_without_a_key_there_is_no_management_api(serve: Serve, sim: Simulator) -> None:
    served = serve(sim)
    assert served.get("/sync/status").status == 404
    assert post(served, "/sync").status == 404


@pytest.mark.parametrize("key", [None, "", "wrong", KEY + " ", KEY[:-1]])
def test_wrong_key_is_401(serve: Serve, sim: Simulator, key: str | None) -> None:
    served = serve(sim, api_key=KEY)
    for path in ("/sync", "/sync/daily", "/sync/single/cus_1"):
        assert post(served, path, key=key).status == 401


def test_sync_of_a_list_runs_in_the_background(serve: Serve, sim: Simulator, stored: Stored) -> None:
    served = serve(sim, api_key=KEY)
    answer = post(served, "/sync", {"object": "customer", "created": {"gte": 0}})
    assert (answer.status, orjson.loads(answer.data)["status"]) == (202, "queued")
    assert finished(served, stored, "sync") == ("complete", None)
    assert_equal(stored.url, sim, ["customers"])


def test_daily_sync_reads_events_and_lists(serve: Serve, sim: Simulator, stored: Stored) -> None:
    served = serve(sim, api_key=KEY)
    assert post(served, "/sync", {"object": "products"}).status == 202
    assert finished(served, stored, "sync") == ("complete", None)
    sim.account.update("products", sim.account.objects("products")[0]["id"], {"name": "renamed"})
    assert post(served, "/sync/daily").status == 202
    assert finished(served, stored, "sync_daily") == ("complete", None)
    assert post(served, "/sync/yearly").status == 404


def test_single_object_is_loaded_at_once(serve: Serve, sim: Simulator, stored: Stored) -> None:
    served = serve(sim, api_key=KEY)
    customer = sim.account.objects("customers")[0]["id"]
    answer = post(served, f"/sync/single/{customer}")
    assert (answer.status, orjson.loads(answer.data)) == (
        200,
        {"loaded": [{"id": customer, "table": "customers", "deleted": False}]},
    )
    assert stored.query("select id from stripe.customers") == [(customer,)]
    assert post(served, "/sync/single/cus_unknown").status == 404


@pytest.mark.parametrize("id", ["a/b", "50% off", "50%25", "a?b#c", "a+b", "été€", "a../b", "a//b"])
def test_single_object_with_an_id_that_a_path_would_read_otherwise(
    serve: Serve, sim: Simulator, stored: Stored, id: str
) -> None:
    if id not in {coupon["id"] for coupon in sim.account.objects("coupons")}:
        sim.account.create("coupons", sim.make("coupons", id=id))
    answer = post(serve(sim, api_key=KEY), f"/sync/single/{quote(id, safe='')}?type=coupon")
    assert (answer.status, orjson.loads(answer.data)) == (
        200,
        {"loaded": [{"id": id, "table": "coupons", "deleted": False}]},
    )
    assert stored.query("select id from stripe.coupons") == [(id,)]


def test_syncs_are_of_every_account_of_the_settings(serve: Serve, sim: Simulator, stored: Stored) -> None:
    own = sim.account.id
    ids = [row.id for row in sim.account.tables["accounts"].shelf.rows() if row.id != own]
    served = serve(sim, api_key=KEY, account="all")
    accounts = "select distinct _account_id from stripe.sync_status where resource = '{}'"
    for path, body, command in (("", {"object": "coupons"}, "sync"), ("/daily", {}, "sync_daily")):
        assert post(served, f"/sync{path}", body).status == 202
        assert finished(served, stored, command) == ("complete", None)
        assert {id for (id,) in stored.query(accounts.format("coupons"))} == {own, *ids}
    customer = next(iter(sim.connected(ids[0]).objects("customers")))["id"]
    assert post(served, f"/sync/single/{customer}").status == 400
    assert post(served, f"/sync/single/{customer}?account=all").status == 400
    assert post(served, f"/sync/single/{customer}?account={ids[0]}").status == 200
    assert served.send(event("product.created", {"id": "prod_own", "object": "product"}, id="evt_own")) == [200]
    assert stored.query("select _account_id from stripe.products where id = 'prod_own'") == [(own,)]


def test_an_account_that_cannot_be_synced_stops_no_other(serve: Serve, sim: Simulator, stored: Stored) -> None:
    served = serve(sim, api_key=KEY, account=f"acct_nobody,{sim.account.id}")
    assert post(served, "/sync", {"object": "coupons"}).status == 202
    finished(served, stored, "sync")
    assert_equal(stored.url, sim, ["coupons"])


@pytest.mark.parametrize(
    "body",
    [
        {"object": 7},
        {"objects": "charges"},
        {"created": 7},
        {"created": {"since": 1}},
        {"created": {"gte": "yesterday"}},
        {"created": {"gte": True}},
    ],
)
def test_order_that_cannot_be_meant_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(BadRequest):
        order_of(body)


def test_order_of_an_unknown_resource_names_the_nearest(serve: Serve, sim: Simulator) -> None:
    with pytest.raises(UnknownResource, match="charges"):
        order_of({"object": "chargess"})
    answer = post(serve(sim, api_key=KEY), "/sync", {"object": "chargess"})
    assert answer.status == 400


@pytest.mark.parametrize(
    ("created", "since", "until"),
    [
        ({}, 0, None),
        ({"gte": 5}, 5, None),
        ({"gt": 5, "lt": 9}, 6, 9),
        ({"gte": 5, "gt": 7, "lte": 9}, 8, 10),
    ],
)
def test_bounds_become_a_window_that_ends_before_its_end(
    created: dict[str, int], since: int, until: int | None
) -> None:
    order = order_of({"object": "charge", "created": created})
    assert (order.since, order.until, [one.name for one in order.resources]) == (since, until, ["charges"])
