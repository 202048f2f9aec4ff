"""The sink inside another program: mounted in an ASGI app, and as one call for each webhook."""

from __future__ import annotations

import asyncio
import os
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
import urllib3
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from simulator.account.deliveries import signature
from simulator.orb.deliveries import signed_headers
from sources.errors import BadConfiguration
from tests.webhook_sink.conftest import ACCOUNT, SECRET, Stored, event
from tests.webhook_sink.orb_served import orb_event
from webhook_sink import create_app, process_webhook
from webhook_sink.http.embedded import _processors

NOW = 1_900_000_000
GIVEN: dict[str, Any] = {"webhook_secret": SECRET, "account_id": ACCOUNT, "tolerance": 2_000_000_000}
HTTP = urllib3.PoolManager(retries=False, timeout=20)


def signed(id: str) -> tuple[bytes, str]:
    body = orjson.dumps(
        event("customer.created", {"id": f"cus_{id}", "object": "customer"}, id=id, created=NOW - 10**9)
    )
    return body, signature(body, [SECRET], NOW - 10**9)


@contextmanager
def served(app: Any) -> Iterator[str]:
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, lifespan="on"))
    started = threading.Event()

    async def main() -> None:
        serving = asyncio.create_task(server.serve())
        while not server.started and not serving.done():
            await asyncio.sleep(0.005)
        started.set()
        await serving

    thread = threading.Thread(target=lambda: asyncio.run(main()), daemon=True)
    thread.start()
    assert started.wait(30)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(30)


def post(url: str, id: str) -> int:
    body, header = signed(id)
    return HTTP.request("POST", url, body=body, headers={"Stripe-Signature": header}).status


async def hello(request: Request) -> PlainTextResponse:
    return PlainTextResponse("the host's own page")


@pytest.mark.parametrize("with_lifespan", [True, False], ids=["with its lifespan", "started by the first webhook"])
def test_mounted_below_a_path_it_takes_webhooks_there(postgres_url: str, stored: Stored, with_lifespan: bool) -> None:
    sink = create_app(database_url=postgres_url, database_timeout=30.0, **GIVEN)
    app = Starlette(
        routes=[Route("/", hello), Mount("/stripe", sink)], lifespan=sink.lifespan if with_lifespan else None
    )
    with served(app) as url:
        assert HTTP.request("GET", url).data == b"the host's own page"
        assert post(f"{url}/stripe/webhooks", "evt_1") == 200
        assert stored.query("select id from stripe.customers") == [("cus_evt_1",)]
        assert HTTP.request("GET", f"{url}/stripe/ready").json() == {"status": "ready"}
        assert [post(f"{url}{path}", "evt_2") for path in ("/webhooks", "/stripe/webhooks/", "/stripe/other")] == [
            404
        ] * 3


def test_it_takes_webhooks_at_each_of_its_paths_alone(postgres_url: str) -> None:
    paths = "/webhooks, /api/stripe/webhook"
    with served(create_app(database_url=postgres_url, database_timeout=30.0, path=paths, **GIVEN)) as url:
        assert [post(f"{url}{path}", f"evt_{path}") for path in ("/webhooks", "/api/stripe/webhook")] == [200, 200]
        assert post(f"{url}/api/stripe", "evt_3") == 404


@pytest.fixture
def processing(postgres_url: str) -> Iterator[Callable[[bytes, str | None], Any]]:
    given = {**GIVEN, "database_url": postgres_url, "database_timeout": 30.0}
    yield lambda body, header: process_webhook(body, header, **given)
    _processors.pop((os.getpid(), "stripe", frozenset(given.items()))).close()


def test_one_call_commits_an_event(processing: Callable[..., Any], stored: Stored) -> None:
    answer = processing(*signed("evt_1"))
    assert (answer.status, answer.text, answer.outcome) == (200, "", "committed")
    assert stored.query("select id, _account_id from stripe.customers") == [("cus_evt_1", ACCOUNT)]
    assert processing(*signed("evt_1")).outcome == "duplicate"
    with ThreadPoolExecutor(4) as threads:
        outcomes = list(threads.map(lambda number: processing(*signed(f"evt_{number}")).outcome, range(2, 12)))
    assert outcomes == ["committed"] * 10
    body, header = signed("evt_12")
    assert processing(body, None)[:2] == (400, "there is no Stripe-Signature header")
    assert processing(body + b" ", header).status == 400
    assert stored.value("select count(*) from stripe.customers") == 11


def test_a_body_that_was_parsed_is_refused() -> None:
    with pytest.raises(TypeError, match="raw body"):
        process_webhook({"id": "evt_1"}, "t=1,v1=0", **GIVEN)  # type: ignore[arg-type]


def test_a_sink_that_cannot_start_answers_so_and_logs_why(postgres_url: str, caplog: pytest.LogCaptureFixture) -> None:
    given = {"database_url": postgres_url, "account_id": ACCOUNT, "database_timeout": 30.0}
    answer = process_webhook(*signed("evt_1"), **given)
    assert (answer.status, answer.text) == (503, "the sink could not start: its log says why")
    assert [message for message in caplog.messages if "There is no webhook secret" in message]
    _processors.pop((os.getpid(), "stripe", frozenset(given.items()))).close()


def test_a_setting_that_does_not_exist_is_refused_with_the_nearest() -> None:
    with pytest.raises(BadConfiguration, match=r"There is no setting 'databse_url'\. Did you mean database_url"):
        create_app(databse_url="postgresql://host/db")


def test_the_page_on_embedding_shows_programs_that_run(
    root: Path, postgres_url: str, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {
        "DATABASE_URL": postgres_url,
        "STRIPE_WEBHOOK_SECRET": SECRET,
        "ORB_WEBHOOK_SECRET": SECRET,
        "SOURCES__STRIPE__ACCOUNT_ID": ACCOUNT,
        "WEBHOOK_SINK__TOLERANCE": "2000000000",
        "WEBHOOK_SINK__DATABASE_TIMEOUT": "30",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    page = (root / "docs/webhooks/embedding.md").read_text("utf-8")
    mounted, called, orbs = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict[str, Any] = {}
    exec(mounted, names)
    with served(names["app"]) as url:
        assert post(f"{url}/stripe/webhooks", "evt_1") == 200
    exec(called, names)
    assert names["stripe_webhook"](*signed("evt_2")) == ("", 200)
    exec(orbs, names)
    body = orjson.dumps(orb_event("customer.edited", at="2020-01-01T00:00:00Z", customer={"id": "a"}))
    assert names["orb_webhook"](body, signed_headers(body, [SECRET], NOW - 10**9)) == ("", 200)
    for provider in ("stripe", "orb"):
        _processors.pop((os.getpid(), provider, frozenset())).close()
    assert stored.value("select count(*) from orb.customers") == 1
    assert stored.value("select count(*) from stripe.customers") == 2
