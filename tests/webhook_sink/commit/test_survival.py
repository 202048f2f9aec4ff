"""What was answered 200 is there: after SIGKILL of the sink, after a restart of Postgres, beside a batch load."""

from __future__ import annotations

import itertools
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

from simulator.account.deliveries import signature
from sources.stripe_api.provider import STRIPE
from tests.pipelines.warehouse.test_session_properties import set_for_the_server
from tests.webhook_sink.conftest import NOW, SECRET, Served, Stored, event
from webhook_sink.commit.ledger import create_tables

pytestmark = pytest.mark.timeout(300)


Request = tuple[str, bytes, dict[str, str]]


def stripes(number: int) -> Request:
    """A webhook of Stripe's: where it goes, its body and its headers."""
    body = orjson.dumps(event("customer.updated", {"id": f"cus_{number}", "object": "customer"}, id=f"evt_{number}"))
    return "/webhooks", body, {"Stripe-Signature": signature(body, [SECRET], NOW)}


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
