"""Switching on webhooks loses nothing, in the documented order: the endpoint, the load, the events pass.

Every command is a process of its own; the account changes at each stage, and delivers its events to the sink itself.
"""

from __future__ import annotations

import random
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from pipelines.sync.stripe_api.settings import SyncSettings
from simulator import Simulator
from tests.providers.stripe_case import change as apply
from tests.webhook_sink.account_equality import assert_equal
from tests.webhook_sink.conftest import Stored
from tests.webhook_sink.test_commands import serving

RESOURCES = ("customers", "products", "prices", "subscriptions", "invoices")
TABLES = (*RESOURCES, "subscription_items", "invoice_line_items")
CHANGES = ("rename", "items", "create", "delete", "pay")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def changing(sim: Simulator, chance: random.Random, lost: float = 0.0) -> Iterator[None]:
    """The account changes while the body runs, and at least once for each kind of change.

    `lost` is the share of the changes whose last event never sets out, if it is not on its way already.
    """
    ended = threading.Event()

    def change() -> None:
        kinds = [*CHANGES]
        while kinds or not ended.wait(0.01):
            apply(sim, kinds.pop() if kinds else chance.choice(CHANGES), chance.randrange(12))
            if chance.random() < lost:
                with suppress(IndexError):
                    sim.deliveries.due.pop()

    thread = threading.Thread(target=change)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@pytest.mark.long
@pytest.mark.timeout(300)
def test_tables_equal_the_account_after_the_endpoint_the_load_and_the_events_pass(
    simulator: Callable[..., Simulator], stored: Stored, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sim, chance, port = simulator(seed=12, customers=12), random.Random(3), free_port()
    monkeypatch.setenv("DATABASE_URL", stored.url)
    monkeypatch.setenv("STRIPE_SECRET_KEY", sim.key)
    monkeypatch.setenv("SOURCES__STRIPE__API_BASE", sim.url)

    def run(*command: str) -> None:
        done = subprocess.run(
            [sys.executable, *command], cwd=root, capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, done.stderr

    with changing(sim, chance):
        run("-m", "webhook_sink", "endpoint", "create", f"http://127.0.0.1:{port}/webhooks")
    with serving(root, "--port", str(port)) as (sink, _url):
        assert sink.stderr is not None
        threading.Thread(target=sink.stderr.read, daemon=True).start()  # a line for each webhook fills the pipe
        sim.deliveries.start()
        with changing(sim, chance, lost=0.4):
            run("pipelines/stripe_full.py", "--destination", "postgres", "--resources", ",".join(RESOURCES))
        sim.clock.advance(
            SyncSettings().events_lag + 10
        )  # a read is dated some seconds early: the pass ends before that
        with changing(sim, chance):
            run("pipelines/stripe_sync.py", "--destination", "postgres")
        sim.deliveries.stop()
        assert set(sim.deliveries.send_all()) <= {200}
        sim.clock.advance(5)
        while stored.value("select count(*) from stripe.stripe_webhook_rereads"):
            pass
    assert stored.value("select count(*) from stripe.stripe_webhook_events where status = 'processed'") > 20
    assert stored.query("select id, error from stripe.stripe_webhook_events where status = 'failed'") == []
    assert_equal(stored.url, sim, TABLES)
