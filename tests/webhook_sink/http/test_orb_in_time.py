"""Orb waits five seconds for an answer: it gets one, whatever the database does, and no event is lost."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from sources.orb_api.provider import ORB
from tests.webhook_sink.conftest import Stored
from tests.webhook_sink.orb_served import OrbServed, orb_event, orb_servers
from webhook_sink.http.app import READY_SECONDS

PATIENCE = 0.6
LATE = 3.0  # on a machine that does other things too


@pytest.mark.long
def test_an_answer_comes_in_time_whatever_the_database_does(own_server: Any, caplog: pytest.LogCaptureFixture) -> None:
    url = own_server.get_uri()
    assert ORB.answer_seconds is not None
    assert ORB.answer_seconds < 5
    with orb_servers(url) as start:
        served, stored = start(provider=replace(ORB, answer_seconds=PATIENCE)), Stored(url)
        assert post(served, "first") == 200
        for name, hold in (("locked", locked(url)), ("frozen", frozen(own_server)), ("stopped", stopped(own_server))):
            with hold:
                assert post(served, name) == 503, name
                if name == "frozen":
                    began = time.monotonic()
                    assert served.get("/ready").status == 503
                    assert time.monotonic() - began < READY_SECONDS + LATE
            while post(served, name) != 200:  # as Orb sends it again
                continue
            assert stored.query("select name from orb.customers") == [(name,)]
        assert {row for (row,) in stored.query("select status from orb.orb_webhook_events")} == {"processed"}
        brief = start(database_timeout=0.1)
        with stopped(own_server):
            assert post(brief, "starting") == 503
            assert "the provider has to send 1 events again" in caplog.text
            late = start(wait=False, provider=replace(ORB, answer_seconds=PATIENCE))
            assert post(late, "starting") == 503


def post(served: OrbServed, name: str) -> int:
    """The status of an event, which must come in time."""
    number = ("first", "locked", "frozen", "stopped", "starting").index(name)
    shown = {"id": "a", "created_at": "2027-01-01T00:00:00+00:00", "name": name}
    at = f"2027-01-15T08:00:0{number}+00:00"
    began = time.monotonic()
    (status,) = served.send(orb_event("customer.edited", id=name, at=at, customer=shown))
    assert time.monotonic() - began < LATE
    return status


@contextmanager
def locked(url: str) -> Iterator[None]:
    """Somebody holds a lock on the table."""
    with psycopg.connect(url) as connection:
        connection.execute("lock table orb.customers in access exclusive mode")
        yield


@contextmanager
def frozen(server: Any) -> Iterator[None]:
    """The server's processes stand still, as on a machine whose disk hangs."""
    main = psutil.Process(int((Path(server.pgdata) / "postmaster.pid").read_text().split()[0]))
    found = [main, *main.children()]
    for each in found:
        each.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for each in found:
            each.send_signal(signal.SIGCONT)


@contextmanager
def stopped(server: Any) -> Iterator[None]:
    """The server is down."""
    server.stop()
    try:
        yield
    finally:
        server.start()
