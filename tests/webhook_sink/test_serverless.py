"""The sink on serverless platforms: fresh processes, killed after answers, many at once; tasks with a time; Lambda."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
import urllib3
import yaml

from simulator import Simulator
from simulator.account.deliveries import signature
from sources.errors import ConnectorError
from tests.webhook_sink.account_equality import assert_equal
from tests.webhook_sink.conftest import ACCOUNT, NOW, SECRET, Stored, event
from webhook_sink import process_webhook, serverless
from webhook_sink.http import embedded

ROOT = Path(__file__).resolve().parent.parent.parent
HTTP = urllib3.PoolManager(retries=False, timeout=100)
TASKS = "a secret of the tasks"
MANY = 50


@pytest.fixture
def environment(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "DATABASE_URL": postgres_url,
        "STRIPE_WEBHOOK_SECRET": SECRET,
        "STRIPE_TASKS_SECRET": TASKS,
        "SOURCES__STRIPE__ACCOUNT_ID": ACCOUNT,
        "WEBHOOK_SINK__TOLERANCE": str(10**9),
        "WEBHOOK_SINK__DATABASE_TIMEOUT": "60",  # a busy machine is slow to start
    }.items():
        monkeypatch.setenv(name, value)


def template(name: str) -> Any:
    class Loader(yaml.SafeLoader):
        """With CloudFormation's tags, whose values are of no interest."""

    Loader.add_multi_constructor("!", lambda loader, tag, node: f"!{tag} {node.value}")
    return yaml.load((ROOT / "deploy/serverless" / name).read_text("utf-8"), Loader)


@contextmanager
def started(**variables: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A fresh process, started as the template of Cloud Run starts it, and its address."""
    (container,) = template("cloud_run.yml")["spec"]["template"]["spec"]["containers"]
    words = [*container["command"], *container["args"]]
    words = [*words[: words.index("--host")], "--host", "127.0.0.1", "--port", "0"]
    with subprocess.Popen([sys.executable, "-m", *words], cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            for line in process.stderr:
                if found := re.search(r"http://127.0.0.1:\d+", line):
                    yield process, found[0]
                    return
            raise AssertionError("it did not start")
        finally:
            process.kill()


def customer(id: str, **more: Any) -> dict[str, Any]:
    return event("customer.created", {"id": f"cus_{id}", "object": "customer"}, id=f"evt_{id}", **more)


def signed(one: dict[str, Any]) -> tuple[bytes, str]:
    body = orjson.dumps(one)
    return body, signature(body, [SECRET], NOW)


def test_fresh_process_that_is_killed_right_after_its_answer_has_committed(environment: None, stored: Stored) -> None:
    for id in ("1", "2"):
        with started() as (process, url):
            body, header = signed(customer(id))
            answer = HTTP.request("POST", f"{url}/webhooks", body=body, headers={"Stripe-Signature": header})
            process.kill()
            assert answer.status == 200, answer.data
    assert stored.query("select id from stripe.customers order by 1") == [("cus_1",), ("cus_2",)]


def test_many_sinks_that_start_at_once_on_one_empty_database_apply_each_event_once(
    environment: None, postgres_url: str, stored: Stored
) -> None:
    webhooks = [signed(customer(str(id))) for id in range(5)]

    def instance(number: int) -> list[int]:
        given = {"database_url": postgres_url, "pool_size": 1, "queue_events": 100 + number, "database_timeout": 60.0}
        return [
            process_webhook(body, header, **given).status
            for body, header in (*webhooks, signed(customer(f"own{number}")))
        ]

    try:
        with ThreadPoolExecutor(MANY) as threads:
            assert list(threads.map(instance, range(MANY))) == [[200] * 6] * MANY
    finally:
        for processor in embedded._processors.values():
            processor.close()
        embedded._processors.clear()
    assert stored.value("select count(*) from stripe.customers") == 5 + MANY
    assert stored.query("select distinct status, attempts from stripe.stripe_webhook_events") == [("processed", 1)]


@pytest.mark.long
def test_tasks_need_their_secret_and_a_sync_that_is_stopped_is_gone_on_with(
    environment: None, stored: Stored, monkeypatch: pytest.MonkeyPatch, simulator: Callable[..., Simulator]
) -> None:
    sim = simulator(seed=8, customers=3, latency=0.3)
    monkeypatch.setenv("STRIPE_SECRET_KEY", sim.key)
    monkeypatch.setenv("SOURCES__STRIPE__API_BASE", sim.url)
    monkeypatch.setenv("SOURCES__STRIPE__ACCOUNT_ID", sim.account.id)
    with started() as (_, url):

        def task(name: str, secret: str = TASKS) -> tuple[int, Any]:
            headers = {"Authorization": f"Bearer {secret}"}
            answer = HTTP.request("POST", f"{url}/tasks/{name}", headers=headers)
            return answer.status, orjson.loads(answer.data)

        assert task("sync", "wrong")[0] == task("rereads", "")[0] == 401
        assert task("sync?seconds=0")[0] == task("sync?seconds=ever")[0] == 400
        status, told = task("sync?seconds=4")
        assert (status, told["status"]) == (200, "stopped")
        sim.service.latency = 0.0
        assert task("sync?seconds=90")[1]["status"] == "complete"
        assert task("rereads?seconds=20") == (200, {"status": "complete"})
    assert_equal(stored.url, sim, ["customers", "products"])


def test_lambda_calls_the_handler_of_the_template(environment: None, stored: Stored) -> None:
    function = template("lambda.yml")["Resources"]["Sink"]["Properties"]
    assert function["Handler"] == f"{serverless.handler.__module__}.{serverless.handler.__name__}"
    for id in ("1", "2"):
        body, header = signed(customer(id))
        called = {
            "version": "2.0", "routeKey": "$default", "rawPath": "/webhooks", "rawQueryString": "",
            "headers": {"stripe-signature": header, "content-type": "application/json"}, "isBase64Encoded": False,
            "requestContext": {"http": {"method": "POST", "path": "/webhooks", "sourceIp": "1.2.3.4"}},
            "body": body.decode(),
        }  # fmt: skip
        assert serverless.handler(called, None)["statusCode"] == 200
    assert stored.value("select count(*) from stripe.customers") == 2


def test_templates_name_every_secret_and_a_missing_one_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = {"DATABASE_URL", "STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET", "STRIPE_TASKS_SECRET"}
    (container,) = template("cloud_run.yml")["spec"]["template"]["spec"]["containers"]
    assert {each["name"] for each in container["env"]} == secrets
    of_lambda = template("lambda.yml")
    assert secrets <= set(of_lambda["Resources"]["Sink"]["Properties"]["Environment"]["Variables"])
    assert all(Parameter["MinLength"] == 1 for Parameter in of_lambda["Parameters"].values())
    named = re.findall(r"stripe_elt_task\('(\w+)'", (ROOT / "deploy/serverless/supabase.sql").read_text("utf-8"))
    assert sorted(named) == ["rereads", "sync"]
    monkeypatch.delenv("DATABASE_URL", raising=False)
    with pytest.raises(Exception, match="DATABASE_URL") as refused:
        serverless.create()
    assert isinstance(refused.value, ConnectorError)
