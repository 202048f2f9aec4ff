"""A second provider moves in: its list is loaded by the same run, session, loader and merge, into its own dataset."""

from __future__ import annotations

import asyncio
import hmac
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import orjson
import pytest
import urllib3

from pipelines.configuration.settings import Settings
from pipelines.loading.run import Order, Outcome, run
from sources.provider import Provider
from tests.contributing.toy import CATALOGUE, TOY, ToyClient
from tests.contributing.toy_api import KEY, toy_api
from tests.databases import Database
from webhook_sink.endpoints.providers import Served as Serving
from webhook_sink.http.server import server_of
from webhook_sink.replay import Selection, replay
from webhook_sink.settings import SinkSettings
from webhook_sink.sink import Sink

ROOT = Path(__file__).resolve().parents[2]
Plans = list[dict[str, Any]]


@pytest.fixture
def plans() -> Plans:
    return [{"plan_id": f"p{number}", "status": "active", "seats": number} for number in range(5)]


@pytest.fixture
def settings(destination: Database, plans: Plans) -> Iterator[Settings]:
    with toy_api(plans) as address:
        where = {"database_url" if destination.kind == "postgres" else "duckdb_path": destination.address}
        yield Settings(stripe_secret_key=KEY, api_base=address, destination=destination.kind, dataset="toy", **where)  # type: ignore[arg-type]


def load(settings: Settings) -> Outcome:
    return run(settings, Order("toy_full", CATALOGUE.select()), TOY)


def stored(destination: Database) -> list[tuple[Any, ...]]:
    return destination.query("select plan_id, status, seats, _account_id from toy.plans order by 1")


def test_its_list_is_loaded_and_loaded_again(settings: Settings, destination: Database, plans: Plans) -> None:
    assert load(settings).failed == []
    assert stored(destination) == [(f"p{number}", "active", number, "toy_account") for number in range(5)]
    plans[3] |= {"status": "ended", "colour": "red"}
    assert load(settings).failed == []
    assert stored(destination)[3][:3] == ("p3", "ended", 3)
    assert destination.query("select plan_id, colour from toy.plans where colour is not null") == [("p3", "red")]


def test_its_progress_and_its_schema_go_by_its_own_name(settings: Settings, destination: Database) -> None:
    load(settings)
    assert destination.query("select resource, status, rows from toy.sync_status") == [("plans", "complete", 5)]
    assert {name for (name,) in destination.query("select schema_name from toy._dlt_version")} == {"toy"}
    assert destination.tables("stripe") == set()


def test_the_page_names_everything_that_a_provider_and_its_client_need() -> None:
    page = (ROOT / "docs/contributing/provider.md").read_text("utf-8")
    needed = {field.name for field in fields(Provider)} - {"name"}
    needed |= {name for name in dir(ToyClient) if not name.startswith("_")} | {"limiter"}
    assert [name for name in sorted(needed) if f"`{name}`" not in page and f"**A {name}**" not in page] == []


# --- its webhooks -----------------------------------------------------------------------------------------------------

SECRET = "toy_secret"


def changed(id: str, **plan: Any) -> dict[str, Any]:
    return {"id": id, "type": "plan.changed", "created": int(time.time()), "plan": plan}


@dataclass
class Served:
    """The toy's sink behind real HTTP."""

    sink: Sink
    port: int
    http: urllib3.PoolManager
    loop: asyncio.AbstractEventLoop

    def post(self, event: dict[str, Any], secret: str = SECRET) -> int:
        body = orjson.dumps(event)
        headers = {"Toy-Signature": hmac.new(secret.encode(), body, "sha256").hexdigest()}
        return self.http.request("POST", f"http://127.0.0.1:{self.port}/webhooks", body=body, headers=headers).status

    def replay(self) -> dict[str, int]:
        """Merges all events of the ledger once more."""
        replaying = replay(self.sink, Selection(("processed",)))
        return dict(asyncio.run_coroutine_threadsafe(replaying, self.loop).result(30))


@pytest.fixture
def served(settings: Settings) -> Iterator[Served]:
    given = SinkSettings(webhook_secret=SECRET, port=0)
    told = replace(settings, account_id="toy_account")
    sink = Sink(told, given, provider=TOY, takes_webhooks=True)
    server, started, ports = server_of([Serving(sink, told, given.paths)], given), threading.Event(), list[int]()
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        loops.append(asyncio.get_running_loop())
        serving = asyncio.create_task(server.serve())
        while not server.started and not serving.done():
            await asyncio.sleep(0.005)
        await sink.opened()
        ports.append(server.servers[0].sockets[0].getsockname()[1])
        started.set()
        await serving

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert started.wait(30)
    with urllib3.PoolManager(retries=False, timeout=30) as http:
        yield Served(sink, ports[0], http, loops[0])
    server.should_exit = True
    thread.join()


@pytest.mark.parametrize("destination", ["postgres"], indirect=True)
def test_its_events_are_verified_and_merged_into_the_same_table(
    settings: Settings, destination: Database, served: Served
) -> None:
    load(settings)
    event = changed("evt_1", plan_id="p1", status="ended", seats=7, reason="asked")
    assert served.post(event, "another") == 400
    assert served.post(event) == 200
    assert served.post(event) == 200
    assert served.post(changed("evt_2", plan_id="p9", status="new", seats=1)) == 200
    assert stored(destination)[1] == ("p1", "ended", 7, "toy_account")
    assert stored(destination)[-1] == ("p9", "new", 1, "toy_account")
    assert destination.query("select reason, _source from toy.plans where plan_id = 'p1'") == [("asked", "event")]
    assert destination.query("select id, status from toy.toy_webhook_events order by 1") == [
        ("evt_1", "processed"),
        ("evt_2", "processed"),
    ]
    assert b"toy_sink_events_total" in served.sink.metrics.text()
    assert served.replay() == {"committed": 2}
