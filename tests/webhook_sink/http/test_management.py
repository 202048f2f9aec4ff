"""The management API: there only with a key, and a thin way into `pipelines`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import orjson
import pytest
import urllib3

from simulator import Simulator
from sources.errors import UnknownResource
from sources.stripe_api.catalogue import select
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


def begun(served: Served, path: str, body: Any = None) -> str:
    """The run id of a sync that was accepted."""
    answer = post(served, path, body)
    assert answer.status == 202, answer.data
    told: dict[str, Any] = orjson.loads(answer.data)
    assert (told["status"], answer.headers["Location"]) == ("queued", f"/sync/runs/{told['run_id']}")
    return str(told["run_id"])


def followed(served: Served, run_id: str) -> dict[str, Any]:
    """What came of a sync, once it has ended."""
    while True:
        answer = served.get(f"/sync/runs/{run_id}", **{"X-API-Key": KEY})
        assert answer.status == 200
        found: dict[str, Any] = orjson.loads(answer.data)
        if found["status"] not in ("queued", "running"):
            return found


def done(served: Served, path: str, body: Any = None) -> dict[str, Any]:
    """A sync that ran to its end."""
    found = followed(served, begun(served, path, body))
    assert (found["status"], found["error"]) == ("complete", None)
    return found


def test_without_a_key_there_is_no_management_api(serve: Serve, sim: Simulator) -> None:
    served = serve(sim)
    assert served.get("/sync/status").status == 404
    assert post(served, "/sync").status == 404


@pytest.mark.parametrize("key", [None, "", "wrong", KEY + " ", KEY[:-1]])
def test_wrong_key_is_401(serve: Serve, sim: Simulator, key: str | None) -> None:
    served = serve(sim, api_key=KEY)
    for path in ("/sync", "/sync/daily", "/sync/single/cus_1"):
        assert post(served, path, key=key).status == 401


def test_sync_of_a_list_is_followed_by_its_run_id(serve: Serve, sim: Simulator, stored: Stored) -> None:
    served = serve(sim, api_key=KEY)
    asked = {"object": "customer", "created": {"gte": 0}}
    found = done(served, "/sync", asked)
    assert_equal(stored.url, sim, ["customers"])
    ((run_id, command, stored_asked, rows),) = stored.query("select run_id, command, asked, rows from stripe.sync_runs")
    assert (run_id, command, stored_asked) == (found["run_id"], "sync", asked)
    assert (found["command"], found["asked"], found["runs"][0]["rows"]) == ("sync", asked, rows)
    for unknown in ("f" * 32, "nothing", "%27", "-"):
        assert served.get(f"/sync/runs/{unknown}", **{"X-API-Key": KEY}).status == 404
    assert served.get(f"/sync/runs/{found['run_id']}").status == 401


def test_a_customer_is_forgotten_on_request(serve: Serve, sim: Simulator, stored: Stored) -> None:
    served = serve(sim, api_key=KEY)
    done(served, "/sync", {"object": "customers"})
    id = sim.account.objects("customers")[0]["id"]
    planned = post(served, f"/sync/forget/{id}?dry_run=true")
    assert (planned.status, orjson.loads(planned.data)["tables"]["customers"]) == (200, {"rows": 1, "changed": 1})
    assert stored.value("select email is not null from stripe.customers where id = %s", id)
    assert post(served, f"/sync/forget/{id}").status == 200
    assert stored.query("select email, name from stripe.customers where id = %s", id) == [(None, None)]
    assert post(served, f"/sync/single/{id}").status == 200
    assert stored.query("select email, name from stripe.customers where id = %s", id) == [(None, None)]
    assert post(served, "/sync/forget/in_1").status == 400
    assert post(served, f"/sync/forget/{id}?dry_run=maybe").status == 400


def test_all_is_the_default_group_and_children_add_the_lists_of_each_parent() -> None:
    def names(**body: Any) -> list[str]:
        return [resource.name for resource in order_of(body).resources]

    default = [resource.name for resource in select(["default"])]
    assert names(object="all") == names() == names(object="all", children=False) == default
    assert names(object="all", children=True) == [resource.name for resource in select(["all"])]
    assert set(names(object="all", children=True)) > set(default)


@pytest.mark.parametrize("path", ["/sync/daily", "/daily"])
def test_daily_sync_reads_events_and_lists(serve: Serve, sim: Simulator, stored: Stored, path: str) -> None:
    served = serve(sim, api_key=KEY)
    done(served, "/sync", {"object": "products"})
    product = sim.account.objects("products")[0]["id"]
    sim.account.update("products", product, {"name": f"renamed for {path}"})
    sim.clock.advance(120)  # the newest events are left for the next run
    found = done(served, path)
    assert stored.value("select name from stripe.products where id = %s", product) == f"renamed for {path}"
    runs = [(run["run_id"], run["command"]) for run in found["runs"]]
    assert runs[0] == (found["run_id"], "sync_daily")
    assert all(id.startswith(f"{found['run_id']}-lists-") for id, _ in runs[1:])
    assert post(served, "/sync/yearly").status == 404


def test_daily_sync_of_one_object_is_of_it_alone(serve: Serve, sim: Simulator, stored: Stored) -> None:
    served = serve(sim, api_key=KEY)
    found = done(served, "/sync/daily", {"object": "product"})
    assert_equal(stored.url, sim, ["products"])
    assert stored.query("select distinct resource from stripe.sync_status") == [("products",)]
    assert stored.value("select asked from stripe.sync_runs where run_id = %s", found["run_id"]) == {
        "object": "product"
    }


def test_run_that_cannot_begin_says_why(serve: Serve, sim: Simulator) -> None:
    served = serve(sim, api_key=KEY, account=f"acct_nobody,{sim.account.id}")
    found = followed(served, begun(served, "/sync", {"object": "coupons"}))
    assert found["status"] == "error"
    assert "acct_nobody" in found["error"]


def test_single_object_is_loaded_at_once(serve: Serve, sim: Simulator, stored: Stored) -> None:
    served = serve(sim, api_key=KEY)
    customer = sim.account.objects("customers")[0]["id"]
    answer = post(served, f"/sync/single/{customer}")
    told = orjson.loads(answer.data)
    assert (answer.status, told["loaded"]) == (200, [{"id": customer, "table": "customers", "deleted": False}])
    assert followed(served, told["run_id"])["asked"] == {"ids": [customer]}
    assert stored.query("select id from stripe.customers") == [(customer,)]
    assert post(served, "/sync/single/cus_unknown").status == 404


@pytest.mark.parametrize("id", ["a/b", "50% off", "50%25", "a?b#c", "a+b", "été€", "a../b", "a//b"])
def test_single_object_with_an_id_that_a_path_would_read_otherwise(
    serve: Serve, sim: Simulator, stored: Stored, id: str
) -> None:
    if id not in {coupon["id"] for coupon in sim.account.objects("coupons")}:
        sim.account.create("coupons", sim.make("coupons", id=id))
    answer = post(serve(sim, api_key=KEY), f"/sync/single/{quote(id, safe='')}?type=coupon")
    assert (answer.status, orjson.loads(answer.data)["loaded"]) == (
        200,
        [{"id": id, "table": "coupons", "deleted": False}],
    )
    assert stored.query("select id from stripe.coupons") == [(id,)]


def test_syncs_are_of_every_account_of_the_settings(serve: Serve, sim: Simulator, stored: Stored) -> None:
    own = sim.account.id
    ids = [row.id for row in sim.account.tables["accounts"].shelf.rows() if row.id != own]
    served = serve(sim, api_key=KEY, account="all")
    accounts = "select distinct _account_id from stripe.sync_status where resource = '{}'"
    for path, body in (("/sync", {"object": "coupons"}), ("/sync/daily", {})):
        found = done(served, path, body)
        own_runs = [run["run_id"] for run in found["runs"] if "-lists-" not in run["run_id"]]
        assert sorted(own_runs) == sorted([found["run_id"], *(f"{found['run_id']}-{id}" for id in ids)])
        assert {id for (id,) in stored.query(accounts.format("coupons"))} == {own, *ids}
    customer = next(iter(sim.connected(ids[0]).objects("customers")))["id"]
    assert post(served, f"/sync/single/{customer}").status == 400
    assert post(served, f"/sync/single/{customer}?account=all").status == 400
    assert post(served, f"/sync/single/{customer}?account={ids[0]}").status == 200
    assert served.send(event("product.created", {"id": "prod_own", "object": "product"}, id="evt_own")) == [200]
    assert stored.query("select _account_id from stripe.products where id = 'prod_own'") == [(own,)]


def test_an_account_that_cannot_be_synced_stops_no_other(serve: Serve, sim: Simulator, stored: Stored) -> None:
    served = serve(sim, api_key=KEY, account=f"acct_nobody,{sim.account.id}")
    followed(served, begun(served, "/sync", {"object": "coupons"}))
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
        {"created": {"gte": 99_999_999_999_999}},
        {"object": "all", "children": "yes"},
        {"object": "charges", "children": True},
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
    assert (order.since, order.until, [resource.name for resource in order.resources]) == (since, until, ["charges"])
