"""What was answered 200 is there: after SIGKILL of the sink, after a restart of Postgres, beside a batch load."""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import psycopg
import pytest
import urllib3

from pipelines.loading.run import Order, run
from simulator import Simulator
from simulator.account.deliveries import signature
from simulator.orb import OrbSimulator
from simulator.orb.deliveries import signed_headers
from sources.stripe_api.catalogue import select
from sources.stripe_api.provider import STRIPE
from tests.pipelines.warehouse.test_session_properties import set_for_the_server
from tests.webhook_sink.account_equality import assert_equal
from tests.webhook_sink.conftest import ACCOUNT, NOW, SECRET, Served, Stored, event, settings_for
from tests.webhook_sink.orb_served import orb_event
from tests.webhook_sink.test_commands import serving
from webhook_sink.commit.ledger import create_tables

pytestmark = pytest.mark.timeout(300)


Request = tuple[str, bytes, dict[str, str]]
CUSTOMER = OrbSimulator(seed=2, customers=1, now=NOW - 100, running=False).account.objects("customers")[0]


def stripes(number: int) -> Request:
    """A webhook of Stripe's: where it goes, its body and its headers."""
    body = orjson.dumps(event("customer.updated", {"id": f"cus_{number}", "object": "customer"}, id=f"evt_{number}"))
    return "/webhooks", body, {"Stripe-Signature": signature(body, [SECRET], NOW)}


def orbs(number: int) -> Request:
    """A webhook of Orb's."""
    body = orjson.dumps(orb_event("customer.edited", id=f"evt_{number}", customer=CUSTOMER | {"id": f"cus_{number}"}))
    return "/webhooks/orb", body, signed_headers(body, [SECRET], NOW)


class Storm:
    """Threads that post events without end and remember which ones were answered 200. `url` can change."""

    def __init__(self, url: str, request: Callable[[int], Request] = stripes) -> None:
        self.url, self._request = url, request
        self.acknowledged: set[str] = set()
        self._numbers, self._stop = itertools.count(), threading.Event()
        self._progress = threading.Condition()
        self._http = urllib3.PoolManager(maxsize=32, retries=False, timeout=20)

    @contextmanager
    def blowing(self, threads: int = 8) -> Iterator[None]:
        with ThreadPoolExecutor(threads) as pool:
            try:
                for _ in range(threads):
                    pool.submit(self._post)
                yield
            finally:
                self._stop.set()

    def wait_for(self, more: int) -> None:
        """Returns when so many more events were acknowledged."""
        wanted = len(self.acknowledged) + more
        with self._progress:
            assert self._progress.wait_for(lambda: len(self.acknowledged) >= wanted, 120)

    def _post(self) -> None:
        while not self._stop.is_set():
            number = next(self._numbers)
            path, body, headers = self._request(number)
            try:
                answer = self._http.request("POST", self.url + path, body=body, headers=headers)
            except urllib3.exceptions.HTTPError:
                self._stop.wait(0.02)
                continue
            if answer.status == 200:
                with self._progress:
                    self.acknowledged.add(f"evt_{number}")
                    self._progress.notify_all()


def assert_all_there(stored: Stored, acknowledged: set[str], name: str = "stripe") -> None:
    rows = stored.query(f"select id from {name}.{name}_webhook_events where status = 'processed'")
    assert acknowledged <= {id for (id,) in rows}
    customers = {f"evt_{id.removeprefix('cus_')}" for (id,) in stored.query(f"select id from {name}.customers")}
    assert acknowledged <= customers


@pytest.mark.long
@pytest.mark.parametrize(("name", "request_of"), [("stripe", stripes), ("orb", orbs)])
def test_no_acknowledged_event_is_missing_after_sigkill(
    name: str,
    request_of: Callable[[int], Request],
    stored: Stored,
    postgres_url: str,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DATABASE_URL", postgres_url)
    monkeypatch.setenv("STRIPE_WEBHOOK_SECRET" if name == "stripe" else "ORB_WEBHOOK_SECRET", SECRET)
    if name == "stripe":
        monkeypatch.setenv("SOURCES__STRIPE__ACCOUNT_ID", ACCOUNT)
    monkeypatch.setenv("WEBHOOK_SINK__TOLERANCE", "2000000000")
    storm, chance = Storm("http://127.0.0.1:9", request_of), random.Random(4)
    with storm.blowing():
        for _ in range(3):
            with serving(root) as (process, url):
                storm.url = url
                storm.wait_for(chance.randrange(20, 400))
                process.kill()
    assert len(storm.acknowledged) > 60
    assert_all_there(stored, storm.acknowledged, name)


def test_restart_of_postgres_loses_nothing_and_is_survived(serve: Callable[..., Served], own_server: Any) -> None:
    url = own_server.get_uri()
    served = serve(url=url)
    storm = Storm(served.url)
    with storm.blowing():
        storm.wait_for(100)
        own_server.stop()
        own_server.start()
        storm.wait_for(100)
    assert served.get("/ready").status == 200
    assert_all_there(Stored(url), storm.acknowledged)


KEEP = """
create table public.seen (name text, memory text, durable text, style text, patience text);
create function public.keep() returns trigger language plpgsql as $$ begin
    insert into public.seen values (new.name, current_setting('work_mem'), current_setting('synchronous_commit'),
        current_setting('DateStyle'), current_setting('statement_timeout'));
    return null;
end $$;
create trigger keep after insert or update on stripe.customers for each row execute function public.keep()
"""


def test_reload_of_the_servers_configuration_makes_no_commit_less_durable(
    serve: Callable[..., Served], own_server: Any
) -> None:
    served, stored = serve(url=own_server.get_uri()), Stored(own_server.get_uri())

    def send(name: str) -> tuple[str, ...]:
        """What the trigger saw in the transaction that merged a customer of this name."""
        customer = {"id": "cus_1", "object": "customer", "name": name}
        assert served.send(event("customer.updated", customer, id=f"evt_{name}")) == [200]
        (row,) = stored.query("select memory, durable, style, patience from public.seen where name = %s", name)
        return row

    served.send(event("customer.created", {"id": "cus_1", "object": "customer", "name": "0"}, id="evt_0"))
    stored.query(KEEP)
    assert send("1")[1:] == ("on", "ISO, MDY", "0")
    hostile = {"synchronous_commit": "off", "DateStyle": "German, DMY", "statement_timeout": "9s", "work_mem": "5MB"}
    set_for_the_server(own_server, hostile)
    seen = next(row for number in range(2, 1_000) if (row := send(str(number)))[0] == "5MB")
    assert seen[1:] == ("on", "ISO, MDY", "0")


def test_sink_that_starts_before_postgres_waits_for_it(serve: Callable[..., Served], own_server: Any) -> None:
    url = own_server.get_uri()
    own_server.stop()
    served = serve(url=url, wait=False)
    assert (served.get("/health").status, served.get("/ready").status) == (200, 503)
    answer = served.post(orjson.dumps(event("customer.created", {"id": "cus_1", "object": "customer"})))
    assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
    own_server.start()
    storm = Storm(served.url)
    with storm.blowing(1):
        storm.wait_for(1)
    assert served.get("/ready").status == 200


def test_sink_before_a_standby_is_ready_once_that_is_promoted(serve: Callable[..., Served], own_server: Any) -> None:
    """Also where all of its tables are there already, and it has nothing to make."""
    url = own_server.get_uri()
    assert create_tables(url, "stripe", STRIPE)
    own_server.stop()
    (Path(own_server.pgdata) / "standby.signal").touch()
    own_server.start()
    assert not create_tables(url, "stripe", STRIPE)
    served = serve(url=url, wait=False)
    with psycopg.connect(url, autocommit=True) as connection:
        assert served.get("/ready").status == 503
        assert connection.execute("select pg_promote()").fetchall() == [(True,)]
    storm = Storm(served.url)
    with storm.blowing(1):
        storm.wait_for(1)
    assert served.get("/ready").status == 200


RESOURCES = ("customers", "products", "prices", "subscriptions", "invoices")
TABLES = (*RESOURCES, "subscription_items", "invoice_line_items")


def test_batch_load_and_a_storm_of_events_together_end_equal_to_the_account(
    serve: Callable[..., Served], stored: Stored
) -> None:
    """The account changes all the while; pages are slow, deliveries late, doubled and shuffled."""
    with Simulator(seed=11, customers=12, latency=0.05) as sim:
        sim.faults.add(kind="slow", path_prefix="/v1/customers", delay=1.3, times=1)
        sim.faults.add(kind="slow", path_prefix="/v1/subscriptions", delay=0.7, times=2)
        served = serve(sim)
        told: list[bytes] = []
        sim.account.events.listeners.append(told.append)
        ended = threading.Event()
        with ThreadPoolExecutor(3) as threads:
            changing = threads.submit(change, sim, ended)
            delivering = threads.submit(deliver_late, served, told, ended)
            settings = settings_for(stored.url, sim)
            outcome = run(settings, Order("stripe_full", select(list(RESOURCES))), STRIPE)
            ended.set()
            changing.result()
            delivering.result()
        assert outcome.error is None
        deliver_all(served, told)
        sim.clock.advance(5)
        served.read_again()
        assert len(told) > 20
        assert_equal(stored.url, sim, TABLES)


def change(sim: Simulator, ended: threading.Event) -> None:
    from tests.webhook_sink.commit.test_order import apply

    chance = random.Random(5)
    while not ended.wait(0.005):
        apply(sim, chance.choice(["rename", "items", "create", "delete", "pay"]), chance.randrange(12))


def deliver_late(served: Served, told: list[bytes], ended: threading.Event) -> None:
    """Posts what was told so far in a random order, some of it twice, and leaves the rest for later."""
    chance = random.Random(6)
    while not ended.wait(0.02):
        for body in chance.choices(told[-60:], k=10) if told else []:
            assert served.post(body).status == 200


def deliver_all(served: Served, told: list[bytes]) -> None:
    order = random.Random(7).sample(told, len(told))
    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(lambda body: served.post(body).status, order)) == {200}
