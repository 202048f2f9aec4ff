"""`python -m webhook_sink …` as a user runs it: processes of their own, against a simulated account."""

from __future__ import annotations

import fcntl
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
import urllib3

from simulator import Simulator
from simulator.account.deliveries import signature
from sources.stripe_api.catalogue.fields import api_version
from sources.stripe_api.provider import STRIPE
from tests import processes
from tests.webhook_sink.account_equality import assert_equal
from tests.webhook_sink.commit.test_batches import POISON
from tests.webhook_sink.conftest import ACCOUNT, SECRET, Stored, event
from webhook_sink.commit.ledger import create_tables

HTTP = urllib3.PoolManager(retries=False, timeout=20)


@pytest.fixture(scope="module")
def sim() -> Iterator[Simulator]:
    with Simulator(seed=6, customers=3) as sim:
        yield sim


@pytest.fixture
def run(postgres_url: str, sim: Simulator, root: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    monkeypatch.setenv("DATABASE_URL", postgres_url)
    monkeypatch.setenv("STRIPE_SECRET_KEY", sim.key)
    monkeypatch.setenv("SOURCES__STRIPE__API_BASE", sim.url)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return processes.run("-m", "webhook_sink", *arguments, cwd=root)

    return run


@contextmanager
def serving(root: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A sink as a process, once it is ready, and its URL."""
    command = [sys.executable, "-m", "webhook_sink", "serve", "--port", "0", *arguments]
    with subprocess.Popen(command, cwd=root, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            url, ready = "", False
            while not (url and ready):
                line = process.stderr.readline()
                assert line, "the sink ended"
                if found := re.search(r"http://127.0.0.1:\d+", line):
                    url = found[0]
                ready = ready or '"ready: ' in line
            yield process, url
        finally:
            process.kill()


def post(url: str, one: dict[str, Any], secret: str = SECRET) -> int:
    body = orjson.dumps(one)
    headers = {"Stripe-Signature": signature(body, [secret], int(one["created"]))}
    return HTTP.request("POST", f"{url}/webhooks", body=body, headers=headers).status


def test_serve_takes_webhooks_logs_json_and_ends_on_sigterm(
    run: Callable[..., Any], root: Path, stored: Stored, sim: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRIPE_WEBHOOK_SECRET", SECRET)
    with serving(root) as (process, url):
        assert HTTP.request("GET", f"{url}/ready").status == 200
        now = sim.clock.seconds()
        assert post(url, event("customer.created", {"id": "cus_1", "object": "customer"}, created=now)) == 200
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
        assert process.returncode == 0
        lines = [orjson.loads(line) for line in errors.splitlines()]
        assert all("message" in line for line in lines)
        (webhook,) = [line for line in lines if line["message"] == "webhook"]
        assert isinstance(webhook.pop("ms"), float)
        expected = {"event": "evt_1", "type": "customer.created", "status": 200, "outcome": "committed"}
        assert {name: webhook[name] for name in expected} == expected
        assert sim.key not in errors
    assert stored.query("select id, _account_id from stripe.customers") == [("cus_1", sim.account.id)]


def test_a_sink_whose_log_nobody_reads_goes_on_and_ends(
    run: Callable[..., Any], root: Path, sim: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRIPE_WEBHOOK_SECRET", SECRET)
    with serving(root) as (process, url):
        now = sim.clock.seconds()
        one = event("customer.created", {"id": "cus_1", "object": "customer"}, created=now, id="evt_1")
        assert process.stderr is not None
        posts = 900  # a line for each: more than twice what a pipe holds
        if hasattr(fcntl, "F_SETPIPE_SZ"):
            fcntl.fcntl(process.stderr, fcntl.F_SETPIPE_SZ, 4_096)
            posts = 60
        assert {post(url, one) for _ in range(posts)} == {200}
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_follow_ends_by_a_signal_with_a_sentence(
    run: Callable[..., Any], root: Path, stored: Stored, number: signal.Signals
) -> None:
    command = [sys.executable, "-m", "webhook_sink", "follow", "--since", "2025-01-01"]
    with subprocess.Popen(command, cwd=root, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        while not re.search(r'"\d+ events"', line := process.stderr.readline()):
            assert line, "it ended"
        process.send_signal(number)
        _, told = process.communicate(timeout=30)
    assert (process.returncode, told.count("Interrupted. Everything that was loaded is kept")) == (130, 1)
    assert "Traceback" not in told
    assert stored.query("select count(*) from stripe.stripe_webhook_events where status = 'processing'") == [(0,)]


def test_serve_without_a_secret_says_what_to_set(run: Callable[..., Any]) -> None:
    done = run("serve", "--port", "0")
    assert done.returncode == 2
    assert "STRIPE_WEBHOOK_SECRET" in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr
    assert "leaked" not in done.stderr


@pytest.mark.parametrize("are_there", [False, True], ids=["first start", "tables are there"])
def test_serve_refuses_a_database_that_is_set_to_take_no_changes(
    run: Callable[..., Any], postgres_url: str, stored: Stored, monkeypatch: pytest.MonkeyPatch, are_there: bool
) -> None:
    monkeypatch.setenv("STRIPE_WEBHOOK_SECRET", SECRET)
    if are_there:
        create_tables(postgres_url, "stripe", STRIPE)
    stored.query(f"alter database {stored.value('select current_database()')} set default_transaction_read_only = on")
    done = run("serve", "--port", "0")
    assert done.returncode == 2
    assert "default_transaction_read_only is on" in done.stderr.replace("\n", " ")
    assert '"ready: ' not in done.stderr


def test_folder_that_is_gone_is_named(
    run: Callable[..., Any], root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(root))
    gone = tmp_path / "gone"
    gone.mkdir()
    command = ["sh", "-c", 'rmdir "$PWD" && exec "$0" -m webhook_sink endpoint list', sys.executable]
    done = subprocess.run(command, cwd=gone, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert "The folder in which the command was started cannot be used" in done.stderr.replace("\n", " ")


def test_serve_without_an_account_says_what_to_set(run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STRIPE_SECRET_KEY")
    monkeypatch.setenv("STRIPE_WEBHOOK_SECRET", SECRET)
    done = run("--port", "0")
    assert done.returncode == 2
    assert "SOURCES__STRIPE__ACCOUNT_ID" in done.stderr


@pytest.mark.parametrize("name", ["STRIPE_ACCOUNT", "ACCOUNT_ID"])
@pytest.mark.parametrize("value", ["cus_1", "all", "acct_1,acct_2"])
def test_what_is_not_one_account_is_refused_before_rows_are_kept_under_it(
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv("STRIPE_WEBHOOK_SECRET", SECRET)
    monkeypatch.setenv(f"SOURCES__STRIPE__{name}", value)
    done = run("serve", "--port", "0") if name == "ACCOUNT_ID" else run("follow", "--once")
    assert done.returncode == 2
    assert "acct_…" in done.stderr
    assert "Traceback" not in done.stderr
    assert "nanobind" not in done.stderr


def test_environment_of_a_sync_of_all_accounts_serves_the_platform(
    run: Callable[..., Any], root: Path, stored: Stored, sim: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRIPE_WEBHOOK_SECRET", SECRET)
    monkeypatch.setenv("SOURCES__STRIPE__STRIPE_ACCOUNT", "all")
    with serving(root) as (_, url):
        now = sim.clock.seconds()
        customer = {"id": "cus_1", "object": "customer"}
        assert post(url, event("customer.created", customer, created=now)) == 200
        assert post(url, event("customer.created", customer, id="evt_2", created=now, account="acct_theirs")) == 200
    rows = stored.query("select _account_id from stripe.customers order by 1")
    assert sorted(rows) == sorted([(sim.account.id,), ("acct_theirs",)])


def test_endpoint_is_made_found_again_listed_and_deleted(
    run: Callable[..., Any], root: Path, sim: Simulator, stored: Stored
) -> None:
    url = "https://sink.example.com/webhooks"
    made = run("endpoint", "create", url)
    assert made.returncode == 0, made.stderr
    (endpoint,) = [obj for obj in sim.account.objects("webhook_endpoints") if obj["url"] == url]
    assert endpoint["api_version"] == api_version()
    assert len(endpoint["enabled_events"]) == 274
    secret = stored.value("select secret from stripe_secrets.stripe_webhook_endpoints")
    assert secret not in made.stdout
    again = run("endpoint", "create", url)
    assert "existed already" in again.stdout
    assert "Its secret is stored in the database" in again.stdout
    assert next(obj for obj in sim.account.objects("webhook_endpoints") if obj["url"] == url)["id"] == endpoint["id"]
    assert endpoint["id"] in run("endpoint", "list").stdout
    with serving(root) as (_, address):
        now = sim.clock.seconds()
        shown = event("customer.created", {"id": "cus_1", "object": "customer"}, created=now)
        assert post(address, shown, secret) == 200
    assert run("endpoint", "delete", url).returncode == 0
    assert [obj for obj in sim.account.objects("webhook_endpoints") if obj["url"] == url] == []
    assert stored.query("select secret from stripe_secrets.stripe_webhook_endpoints") == []
    assert run("endpoint", "delete", url).returncode == 2


def test_endpoint_secret_is_printed_on_request_and_not_kept(
    run: Callable[..., Any], stored: Stored, sim: Simulator
) -> None:
    made = run("endpoint", "create", "https://other.example.com/webhooks", "--print")
    assert re.search(r"STRIPE_WEBHOOK_SECRET=whsec_\w+", made.stdout), made.stderr
    again = run("endpoint", "create", "https://other.example.com/webhooks")
    assert "is not in the database. Set STRIPE_WEBHOOK_SECRET to it." in again.stdout
    run("endpoint", "delete", "https://other.example.com/webhooks")


@pytest.mark.parametrize(
    "url", ["sink.example.com", "ftp://x/webhooks", "https://example.com", "https://u:p@x/webhooks"]
)
def test_endpoint_needs_an_address_that_stripe_can_reach(run: Callable[..., Any], url: str) -> None:
    assert run("endpoint", "create", url).returncode == 2


def test_follow_merges_the_events_of_the_account_without_webhooks(
    run: Callable[..., Any], sim: Simulator, stored: Stored
) -> None:
    begin = sim.clock.seconds() - 1
    for obj in sim.account.objects("customers"):
        sim.account.update("customers", obj["id"], {"name": f"followed {obj['id']}"})
    done = run("follow", "--once", "--since", str(begin))
    assert done.returncode == 0, done.stderr
    assert_equal(stored.url, sim, ["customers"])
    before = stored.value("select count(*) from stripe.stripe_webhook_events")
    assert run("follow", "--once").returncode == 0
    assert stored.value("select count(*) from stripe.stripe_webhook_events") == before


def test_replay_merges_failed_events_again(
    run: Callable[..., Any], with_sink: Callable[..., Any], stored: Stored, sim: Simulator
) -> None:
    from tests.webhook_sink.conftest import deliver

    shown = event("product.created", {"id": "prod_1", "object": "product"}, id="evt_1")
    poison = event("product.created", {"id": POISON, "object": "product"}, id="evt_2")

    async def body(sink: Any) -> None:
        await deliver(sink, event("product.created", {"id": "prod_0", "object": "product"}, id="evt_0"))
        stored.query("alter table stripe.products add constraint odd check (id <> 'prod_1')")
        assert await deliver(sink, shown) == ["failed"]
        assert await deliver(sink, poison) == ["failed"]
        stored.query("alter table stripe.products drop constraint odd")

    with_sink(body, sim)
    done = run("replay", "--type", "product.created")
    assert done.stdout == "2 events: 1 committed, 1 failed\n", done.stderr
    assert done.returncode == 1
    assert stored.query("select id from stripe.products where id = 'prod_1'") == [("prod_1",)]
    assert stored.ledger("evt_1") == ("processed", 2, None)
    assert stored.ledger("evt_2")[:2] == ("failed", 2)
    assert run("replay", "--status", "failed", "--since", "2099-01-01").stdout == "0 events: nothing to replay\n"


def test_replay_of_processed_events_mends_a_table_that_was_lost(
    run: Callable[..., Any], with_sink: Callable[..., Any], stored: Stored, sim: Simulator
) -> None:
    from tests.webhook_sink.conftest import deliver

    async def body(sink: Any) -> None:
        for number in range(3):
            one = {"id": f"prod_{number}", "object": "product"}
            await deliver(sink, event("product.created", one, id=f"evt_{number}", account=ACCOUNT))

    with_sink(body, sim)
    stored.query("delete from stripe.products")
    assert run("replay", "--status", "processed").stdout == "3 events: 3 committed\n"
    assert stored.value("select count(*) from stripe.products") == 3
