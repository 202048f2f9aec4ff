"""What a sink writes holds no row, no payload and no secret, whatever fails, with everything that can be told."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from pipelines.warehouse.problems import DatabaseProblem
from simulator import Simulator
from sources.stripe_api.provider import STRIPE
from tests.webhook_sink.commit.test_batches import BLOCKED, POISON
from tests.webhook_sink.conftest import SECRET, Stored, event, settings_for, sink_settings
from tests.webhook_sink.test_commands import HTTP, post, serving
from webhook_sink.sink import Sink

MARK = "jennyrosen7421"
"""A customer's data: it must be in the tables and nowhere else."""
API_KEY = "key-of-the-management-api"


class Told:
    """A running sink, and the lines that it writes."""

    def __init__(self, process: subprocess.Popen[str], url: str, now: int) -> None:
        self.url, self.now = url, now
        self.lines: list[str] = []
        self._process, self._numbers = process, iter(range(1, 1_000))
        self._reading = threading.Thread(target=lambda: self.lines.extend(process.stderr or ()))
        self._reading.start()

    def send(self, type: str, obj: dict[str, Any]) -> int:
        """Posts an event of a later second than the one before."""
        number = next(self._numbers)
        shown = {"email": f"{MARK}@example.com", "metadata": {MARK: MARK}} | obj
        return post(self.url, event(type, shown, id=f"evt_{number}", created=self.now - 1_000 + number))

    def customer(self, id: str, **fields: Any) -> int:
        return self.send("customer.updated", {"id": id, "object": "customer", **fields})

    def end(self) -> str:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(30)
        self._reading.join()
        return "".join(self.lines)


@pytest.fixture
def told(postgres_url: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Simulator], Any]]:
    @contextmanager
    def start(sim: Simulator) -> Iterator[Told]:
        settings = {
            "DATABASE_URL": postgres_url,
            "STRIPE_SECRET_KEY": sim.key,
            "STRIPE_WEBHOOK_SECRET": SECRET,
            "STRIPE_SINK_API_KEY": API_KEY,
            "SOURCES__STRIPE__API_BASE": sim.url,
            "WEBHOOK_SINK__TOLERANCE": "2000000000",
            "RUNTIME__LOG_LEVEL": "DEBUG",
            "PYTHONASYNCIODEBUG": "1",
            "PYTHONDEVMODE": "1",
        }
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        with serving(root, "--debug") as (process, url):
            yield Told(process, url, sim.clock.seconds())

    return start


@pytest.mark.long
def test_no_failure_tells_a_row_a_payload_or_a_secret(
    told: Callable[[Simulator], Any], stored: Stored, simulator: Callable[..., Simulator]
) -> None:
    sim = simulator(seed=3, customers=2)
    with told(sim) as sink:
        assert sink.customer("cus_1") == 200
        refuse(sink, stored)
        deadlock(sink, stored)
        lose_connections(sink, stored)
        misuse(sink)
        refuse_a_sync(sink, stored, sim)
        written = sink.end()
    for kind in ("too long for an index", "CheckViolation", "UniqueViolation", "NotNullViolation"):
        assert kind in written
    for secret in (MARK, POISON[:20], SECRET, sim.key, API_KEY):
        assert secret not in written
    assert all("message" in orjson.loads(line) for line in written.splitlines() if line.startswith("{"))
    errors = stored.query("select error from stripe.stripe_webhook_events where error is not null")
    assert errors
    assert not any(MARK in error for (error,) in errors)


def refuse(sink: Told, stored: Stored) -> None:
    """Rows that the database refuses, with the row or its key in the DETAIL of the error."""
    assert sink.customer(POISON) == 500
    stored.query("alter table stripe.customers add constraint odd check (id <> 'cus_odd')")
    stored.query("create unique index one_each on stripe.customers (email)")
    stored.query("alter table stripe.customers add constraint whole check (phone is not null) not valid")
    assert sink.customer("cus_odd", phone=MARK) == 500
    stored.query("alter table stripe.customers drop constraint whole")
    assert sink.customer("cus_2") == 500
    stored.query("drop index stripe.one_each")
    stored.query("update stripe.customers set phone = 'none'")
    stored.query("alter table stripe.customers alter column phone set not null")
    assert sink.customer("cus_3") == 500
    stored.query("alter table stripe.customers alter column phone drop not null")
    assert sink.customer("cus_4", balance=f"not a number, {MARK}", invented=MARK) == 200


def deadlock(sink: Told, stored: Stored) -> None:
    """Two rows that another transaction takes in the other order."""
    lines = [{"id": f"il_{n}", "object": "line_item", "description": MARK} for n in (1, 2)]
    invoice = {
        "id": "in_1",
        "object": "invoice",
        "lines": {"object": "list", "data": lines, "has_more": False, "url": "/v1/invoices/in_1/lines"},
    }
    assert sink.send("invoice.updated", invoice) == 200
    with psycopg.connect(stored.url) as other, ThreadPoolExecutor(1) as threads:
        lock = "select 1 from stripe.invoice_line_items where id = %s for update"
        other.execute(lock, ("il_2",))
        sent = threads.submit(sink.send, "invoice.updated", invoice)
        while not stored.query(BLOCKED):
            pass
        other.execute(lock, ("il_1",))
        other.commit()
        assert sent.result() == 200


def lose_connections(sink: Told, stored: Stored) -> None:
    kill = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'stripe-webhook-sink'"
    with psycopg.connect(stored.url) as other, ThreadPoolExecutor(1) as threads:
        other.execute("select 1 from stripe.customers where id = 'cus_1' for update")
        sent = threads.submit(sink.customer, "cus_1")
        while not stored.query(BLOCKED):
            pass
        stored.query(kill)
        other.commit()
        assert sent.result() == 200


def misuse(sink: Told) -> None:
    """Requests that are refused, and the management API."""
    signed = {"Stripe-Signature": f"t=1,v1={MARK}", "X-Other": MARK}
    assert HTTP.request("POST", f"{sink.url}/webhooks?{MARK}", body=MARK, headers=signed).status == 400
    assert HTTP.request("GET", f"{sink.url}/{MARK}").status == 404
    assert HTTP.request("POST", f"{sink.url}/sync", headers={"X-API-Key": MARK}).status == 401
    key = {"X-API-Key": API_KEY}
    assert HTTP.request("POST", f"{sink.url}/sync", body=f'{{"object": "{MARK}"}}', headers=key).status == 400
    assert HTTP.request("POST", f"{sink.url}/sync/single/cus_{MARK}", headers=key).status == 404
    assert HTTP.request("GET", f"{sink.url}/sync/status", headers=key).status == 200


def refuse_a_sync(sink: Told, stored: Stored, sim: Simulator) -> None:
    """A row that the database refuses in a load, whose errors dlt logs whole."""
    sim.account.update("customers", sim.account.objects("customers")[0]["id"], {"email": f"{MARK}@example.com"})
    stored.query(f"alter table stripe.customers add constraint mark check (email not like '{MARK}%') not valid")
    key = {"X-API-Key": API_KEY}
    assert HTTP.request("POST", f"{sink.url}/sync", body='{"object": "customers"}', headers=key).status == 202
    while HTTP.request("GET", f"{sink.url}/sync/status", headers=key).json()["waiting"]:
        pass
    stored.query("alter table stripe.customers drop constraint mark")
    assert stored.value("select count(*) from stripe.sync_rejected") == 1


def test_a_sink_that_waits_for_the_database_says_why(caplog: pytest.LogCaptureFixture) -> None:
    """Once it said "OperationalError", whatever was the reason."""

    async def main() -> None:
        sink = Sink(settings_for(f"host=127.0.0.1 port=9 password={MARK}"), sink_settings(), provider=STRIPE)
        sink.start()
        while not caplog.messages:
            await asyncio.sleep(0.01)
        await sink.stop()

    asyncio.run(main())
    assert [message for message in caplog.messages if "waiting for the database" in message and "refused" in message]
    assert MARK not in caplog.text


def test_a_sink_does_not_wait_where_the_server_lets_nobody_in(
    own_server: Any, caplog: pytest.LogCaptureFixture
) -> None:
    address = own_server.get_uri()
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("create role guarded login password 'right'")
        ((rules,),) = connection.execute("show hba_file").fetchall()
        Path(rules).write_text("local all guarded scram-sha-256\n" + Path(rules).read_text())
        connection.execute("select pg_reload_conf()")

    async def main(**wrong: str) -> None:
        sink = Sink(settings_for(make_conninfo(address, **wrong)), sink_settings(), provider=STRIPE)
        sink.start()
        try:
            await sink.opened()
        finally:
            await sink.stop()

    for wrong, says in (
        ({"dbname": MARK}, "database <dbname> does not exist"),
        ({"user": MARK}, "role <user> does not exist"),
        ({"user": "guarded", "password": MARK}, "password authentication failed for user <user>"),
    ):
        with pytest.raises(DatabaseProblem) as refused:
            asyncio.run(main(**wrong))
        assert says in str(refused.value)
        assert "Check the user, the password and the database in DATABASE_URL" in str(refused.value)
        assert MARK not in f"{refused.value}{caplog.text}"
