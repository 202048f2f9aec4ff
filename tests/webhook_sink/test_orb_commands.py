"""The commands and the management API for Orb: an endpoint, a sink that finds its secret, replay, follow, /sync/orb."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import orjson
import pytest
import urllib3

from simulator.orb import OrbSimulator
from simulator.orb.deliveries import signed_headers
from tests import processes
from tests.databases import Database
from tests.pipelines.orb_mirror import OrbMirror
from tests.webhook_sink.conftest import Stored
from tests.webhook_sink.orb_served import OrbServed, orb_event, orb_servers
from tests.webhook_sink.test_commands import HTTP, serving
from webhook_sink.follow import OVERLAP_SECONDS

KEY = "a long key of tests"


@pytest.fixture(scope="module")
def sim() -> Iterator[OrbSimulator]:
    with OrbSimulator(seed=6, customers=5) as sim:
        yield sim


@pytest.fixture
def run(postgres_url: str, sim: OrbSimulator, root: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    monkeypatch.setenv("DATABASE_URL", postgres_url)
    monkeypatch.setenv("ORB_API_KEY", sim.key)
    monkeypatch.setenv("SOURCES__ORB__API_BASE", sim.url)
    monkeypatch.setenv("SOURCES__ORB__TEST_RATE", "inf")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return processes.run("-m", "webhook_sink", *arguments, "--provider", "orb", cwd=root)

    return run


@pytest.fixture
def serve_orb(postgres_url: str) -> Iterator[Callable[..., OrbServed]]:
    with orb_servers(postgres_url) as start:
        yield start


def test_an_endpoint_is_made_and_the_sink_finds_its_secret(
    run: Callable[..., Any], root: Path, sim: OrbSimulator, stored: Stored
) -> None:
    url = "https://sink.example.com/webhooks/orb"
    made = run("endpoint", "create", url)
    assert made.returncode == 0, made.stderr
    (endpoint,) = [obj for obj in sim.account.objects("webhook_endpoints") if obj["url"] == url]
    assert (endpoint["payload_style"], endpoint["enabled_event_types"]) == ("expanded", None)
    secret = stored.value("select secret from orb_secrets.orb_webhook_endpoints")
    assert secret == sim.deliveries.secrets[endpoint["id"]][0]
    assert secret not in made.stdout
    sim.account.update("webhook_endpoints", endpoint["id"], {"payload_style": "standard", "enabled": False})
    again = run("endpoint", "create", url).stdout.splitlines()
    assert again[1:] == [
        "It existed already and is up to date.",
        "Its secret is stored in the database, where the sink reads it.",
    ]
    mended = sim.account.get("webhook_endpoints", endpoint["id"])
    assert (mended["payload_style"], mended["enabled"]) == ("expanded", True)
    assert re.search(rf"{endpoint['id']}  {url}  enabled  all event types  secret kept", run("endpoint", "list").stdout)

    with serving(root) as (_, address):  # of Stripe nothing is set: its sink waits for a secret
        sim.account.update("webhook_endpoints", endpoint["id"], {"url": f"{address}/webhooks/orb"})
        customer = sim.account.objects("customers")[0]["id"]
        sim.account.update("customers", customer, {"name": "delivered"}, "customer.edited")
        assert sim.deliveries.send_all() == [200]
        body = orjson.dumps(orb_event("resource_event.test"))
        assert HTTP.request("POST", f"{address}/webhooks", body=body).status == 503
        assert HTTP.request("GET", f"{address}/ready").status == 200
    assert stored.query("select id, name from orb.customers") == [(customer, "delivered")]
    assert stored.query("select 1 from pg_namespace where nspname = 'stripe'") == []

    stored.query("delete from orb.customers")
    assert run("replay", "--status", "processed").stdout == "1 events: 1 committed\n"
    assert stored.value("select count(*) from orb.customers") == 1
    assert run("endpoint", "delete", endpoint["id"]).returncode == 0
    assert stored.query("select secret from orb_secrets.orb_webhook_endpoints") == []
    refused = run("endpoint", "delete", url)
    assert (refused.returncode, "`endpoint list --provider orb`" in " ".join(refused.stderr.split())) == (2, True)
    for obj in sim.account.objects("webhook_endpoints"):
        sim.account.delete("webhook_endpoints", obj["id"])
    assert "`endpoint create --provider orb https://host/webhooks/orb` creates it" in run("endpoint", "list").stdout


def test_follow_merges_the_events_of_the_log(run: Callable[..., Any], sim: OrbSimulator, stored: Stored) -> None:
    for interval in ("nan", "-1", "0"):
        refused = run("follow", "--interval", interval)
        assert (refused.returncode, "it must be a number of seconds, 1 or more" in refused.stderr) == (2, True)
    begin = sim.clock.seconds() - 2 * OVERLAP_SECONDS  # the next command goes back too, to events of other tests
    for obj in sim.account.objects("customers"):
        sim.account.update("customers", obj["id"], {"name": f"followed {obj['id']}"}, "customer.edited")
    done = run("follow", "--once", "--since", str(begin))
    assert done.returncode == 0, done.stderr
    expected = {(obj["id"], obj["name"]) for obj in sim.account.objects("customers")}
    assert set(stored.query("select id, name from orb.customers")) == expected
    before = stored.value("select count(*) from orb.orb_webhook_events")
    assert run("follow", "--once", "--since", str(begin)).returncode == 0
    assert stored.value("select count(*) from orb.orb_webhook_events") == before
    assert run("follow", "--once").returncode == 0  # from the newest event of the ledger, less an overlap
    assert stored.value("select max(attempts) from orb.orb_webhook_events") == 1


def test_only_orbs_secret_serves_orb_at_both_paths(
    run: Callable[..., Any], root: Path, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORB_WEBHOOK_SECRET", "one, two")
    monkeypatch.delenv("ORB_API_KEY")
    with serving(root) as (_, address):
        for path, secret in (("/webhooks", "one"), ("/webhooks/orb", "two")):
            body = orjson.dumps(orb_event("customer.edited", id=secret, customer={"id": secret}))
            headers = signed_headers(body, [secret], time.time())
            assert HTTP.request("POST", f"{address}{path}", body=body, headers=headers).status == 200
    assert stored.value("select count(*) from orb.customers") == 2


# --- the management API -----------------------------------------------------------------------------------------------


def test_the_management_api_loads_lists_objects_and_syncs(
    serve_orb: Callable[..., OrbServed], sim: OrbSimulator, stored: Stored
) -> None:
    served = serve_orb(sim, api_key=KEY)
    mirror = OrbMirror(sim, Database("postgres", stored.url))

    def post(path: str, body: Any = None, key: str = KEY) -> urllib3.BaseHTTPResponse:
        return served.http.request("POST", served.url + path, body=orjson.dumps(body or {}), headers={"X-API-Key": key})

    def done(path: str, body: Any = None) -> dict[str, Any]:
        answer = post(path, body)
        assert answer.status == 202, answer.data
        where = answer.headers["Location"]
        assert where == f"/sync/orb/runs/{orjson.loads(answer.data)['run_id']}"
        while (found := orjson.loads(served.get(where, **{"X-API-Key": KEY}).data))["status"] in ("queued", "running"):
            pass
        assert (found["status"], found["error"]) == ("complete", None)
        assert found["runs"]
        return dict(found)

    for path in ("/sync/orb", "/sync/orb/invoices", "/sync/orb/invoices/x", "/sync/orb/single/x", "/sync/orb/new"):
        assert post(path, key="wrong").status == 401
    done("/sync/orb/plans")
    done("/sync/orb", {"object": "customer"})
    assert mirror.differences(["plans", "customers"]) == []
    invoice = sim.account.objects("invoices")[0]["id"]
    answer = post(f"/sync/orb/invoices/{invoice}")
    assert (answer.status, orjson.loads(answer.data)["loaded"]) == (
        200,
        [{"id": invoice, "table": "invoices", "deleted": False}],
    )
    assert post(f"/sync/orb/single/{invoice}?type=invoice").status == 200
    assert post(f"/sync/orb/customers/{invoice}").status == 404
    assert post("/sync/orb/invoises").status == 404
    unknown = post("/sync/orb/invoises/x")
    assert (unknown.status, orjson.loads(unknown.data)["error"]) == (
        404,
        "The type 'invoises' is neither a table nor an object of Orb's; did you mean 'invoices'?",
    )
    assert post("/sync/orb/invoices", {"created": {"gte": 99_999_999_999_999}}).status == 400
    with ThreadPoolExecutor(8) as threads:
        asked = [f"/sync/orb/customers/{obj['id']}" for obj in sim.account.objects("customers")[:4]] * 2
        assert [each.status for each in threads.map(post, asked)] == [200] * 8
    assert post("/sync/orb/plans", {"object": "plans"}).status == 400
    assert post("/sync/orb/changes", {"object": "plans"}).status == 400
    done("/sync/orb")
    item = sim.account.objects("items")[0]["id"]
    sim.account.update("items", item, {"name": "no event tells of it"})
    done("/sync/orb/everything")
    assert mirror.differences() == []
    told = orjson.loads(served.get("/sync/orb/status", **{"X-API-Key": KEY}).data)
    assert {resource["resource"] for resource in told["resources"]} >= {"customers", "invoices"}


def test_without_a_key_for_it_there_is_no_management_api(
    serve_orb: Callable[..., OrbServed], sim: OrbSimulator
) -> None:
    served = serve_orb(sim)
    assert served.http.request("POST", f"{served.url}/sync/orb").status == 404


def test_a_sink_that_waits_for_a_secret_says_so(serve_orb: Callable[..., OrbServed], sim: OrbSimulator) -> None:
    served = serve_orb(sim, wait=False, is_optional=True, orb_webhook_secret="", api_key=KEY)
    assert served.get("/sync/orb/status", **{"X-API-Key": KEY}).status == 503
    assert served.get("/ready").status == 503
    assert served.send(orb_event("resource_event.test")) == [503]
