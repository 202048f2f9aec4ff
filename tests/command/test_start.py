"""`doctor`, and `start` as a process: what it starts, and how all of it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from simulator import Simulator
from tests import processes
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def sim() -> Iterator[Simulator]:
    with Simulator(seed=6, customers=2, lacks=["issuing_cards", "issuing_transactions"]) as sim:
        yield sim


@pytest.fixture
def environment(postgres_url: str, sim: Simulator, root: Path) -> dict[str, str]:
    return os.environ | {
        "DATABASE_URL": postgres_url,
        "STRIPE_SECRET_KEY": sim.key,
        "SOURCES__STRIPE__API_BASE": sim.url,
        "SOURCES__STRIPE__DESTINATION": "postgres",
        "SOURCES__STRIPE__SANDBOX_RATE": "inf",
        "SOURCES__STRIPE__ENDPOINT_RATE": "inf",
        "WEBHOOK_SINK__TOLERANCE": "2000000000",
        "PYTHONPATH": str(root),
    }


# --- doctor -----------------------------------------------------------------------------------------------------------


def look(root: Path, env: dict[str, str], *words: str) -> tuple[int, dict[str, tuple[str, str]]]:
    done = processes.run("-m", "stripe_elt", "doctor", "--json", *words, cwd=root, env=env)
    return done.returncode, {load["what"]: (load["state"], load["text"]) for load in json.loads(done.stdout)}


def test_doctor_finds_all_well_and_what_the_key_lacks(root: Path, environment: dict[str, str], sim: Simulator) -> None:
    code, found = look(root, environment)
    assert code == 0
    version = found["key"][1].split()[-1]
    assert found["key"] == ("ok", f"a test key of {sim.account.id}, which requests API version {version}")
    assert found["settings"][0] == found["clock"][0] == found["database"][0] == found["rights"][0] == "ok"
    assert "UTF8" in found["database"][1]
    refused = {what.removeprefix("permission ") for what in found if what.startswith("permission ")}
    lacking = {"issuing_cards", "issuing_transactions"}
    assert lacking <= refused
    assert refused <= lacking | {"scheduled_query_runs"}
    assert {found[f"permission {name}"][0] for name in lacking} == {"warning"}
    assert found["webhook secret"][0] == "warning"


@pytest.mark.parametrize(
    ("name", "value", "what", "state", "says"),
    [
        ("STRIPE_SECRET_KEY", "sk_test_wrong", "key", "problem", "Invalid API Key"),
        ("DATABASE_URL", "postgresql://127.0.0.1:9/x", "database", "problem", "refused"),
        ("SOURCES__STRPE__DATASET", "x", "settings", "warning", "Did you mean SOURCES__STRIPE__DATASET?"),
        ("SOURCES__STRIPE__STRIPE_VERSION", "2020-08-27", "key", "ok", "API version 2020-08-27"),
    ],
)
def test_doctor_says_what_to_do(
    root: Path, environment: dict[str, str], name: str, value: str, what: str, state: str, says: str
) -> None:
    code, found = look(root, environment | {name: value}, "--no-permissions")
    assert (found[what][0], code) == (state, int(state == "problem"))
    assert says in found[what][1]
    assert not any(what.startswith("permission") for what in found)


def test_doctor_looks_at_the_endpoint(root: Path, environment: dict[str, str]) -> None:
    made = processes.run(
        "-m", "stripe_elt", "endpoint", "create", "https://host.example/webhooks", cwd=root, env=environment
    )
    assert made.returncode == 0, made.stderr
    id = made.stdout.split()[0]
    _, found = look(root, environment, "--no-permissions")
    assert found[f"endpoint {id}"] == ("ok", "https://host.example/webhooks")
    assert found["webhook secret"] == ("ok", "the database has 1")
    _, found = look(root, environment | {"SOURCES__STRIPE__STRIPE_VERSION": "2020-08-27"}, "--no-permissions")
    state, text = found[f"endpoint {id}"]
    assert state == "warning"
    assert "Run: stripe-elt endpoint create https://host.example/webhooks" in text
    deleted = processes.run("-m", "stripe_elt", "endpoint", "delete", id, "--json", cwd=root, env=environment)
    assert json.loads(deleted.stdout)[0]["status"] == "deleted"


# --- start ------------------------------------------------------------------------------------------------------------


@dataclass
class Started:
    """A running `stripe-elt start`, and what it and its parts have written."""

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)
    _new: threading.Condition = field(default_factory=threading.Condition)

    def __post_init__(self) -> None:
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._new:
                self.lines.append(line)
                self._new.notify_all()

    def wait_for(self, words: str) -> None:
        with self._new:
            there = self._new.wait_for(lambda: any(words in line for line in self.lines), 90)
        assert there, "".join(self.lines)

    def parts(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def end(self, number: int = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.process.wait(60)

    @staticmethod
    @contextmanager
    def of(*words: str, **environment: str) -> Iterator[Started]:
        """A `stripe-elt start` with these options, and its parts, which end with the block."""
        command = [sys.executable, "-m", "stripe_elt", "start", *words]
        with subprocess.Popen(
            command, cwd=ROOT, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            started = Started(process)
            try:
                yield started
            finally:
                for each in [*started.parts(), process] if process.poll() is None else ():
                    each.kill()


@pytest.fixture
def start(environment: dict[str, str]) -> Callable[..., Any]:
    return lambda *words, **more: Started.of(*words, **environment | more)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def ours(sim: Simulator) -> list[Any]:
    """The endpoints that the project has made."""
    return [obj for obj in sim.account.objects("webhook_endpoints") if obj["metadata"].get("managed_by")]


def query(url: str, sql: str) -> Any:
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(sql.encode()).fetchall()


@pytest.mark.long
def test_start_with_an_address_takes_webhooks_loads_and_leaves_nothing_behind(
    start: Callable[..., Any], sim: Simulator, postgres_url: str
) -> None:
    port = free_port()
    with start("--tunnel", f"http://127.0.0.1:{port}", "--port", str(port)) as started:
        started.wait_for("ready: events of")
        started.wait_for("0 events, 0 objects changed")  # the sync, after the first load
        assert query(postgres_url, "select count(*) > 0 from stripe.customers") == [(True,)]
        group = os.getpgid(started.process.pid)
        assert {os.getpgid(part.pid) for part in started.parts()} == {group}
        sim.account.create("customers", sim.make("customers", name="By webhook"))
        assert set(sim.deliveries.send_all()) == {200}
        assert query(postgres_url, "select _source from stripe.customers where name = 'By webhook'") == [("event",)]
        parts = started.parts()
        assert started.end() == 0
    assert not any(part.is_running() and part.status() != psutil.STATUS_ZOMBIE for part in parts)
    assert ours(sim) == []
    assert query(postgres_url, "select count(*) from stripe_secrets.stripe_webhook_endpoints") == [(0,)]
    assert query(postgres_url, "select distinct status from stripe.sync_runs") == [("complete",)]


@pytest.mark.long
def test_start_without_a_tunnel_polls_and_a_part_that_dies_ends_it(
    start: Callable[..., Any], sim: Simulator, postgres_url: str
) -> None:
    with start() as started:
        started.wait_for("ready: events of")
        (follow,) = [part for part in started.parts() if "follow" in part.cmdline()]
        follow.kill()
        assert started.process.wait(60) == 1
        started.wait_for("has ended with exit code -9, so everything else ends too")
    assert ours(sim) == []


@pytest.mark.long
def test_a_key_that_may_not_make_endpoints_polls(
    start: Callable[..., Any], environment: dict[str, str], simulator: Callable[..., Simulator]
) -> None:
    other = simulator(seed=2, customers=1, lacks=["webhook_endpoints"])
    more = {"STRIPE_SECRET_KEY": other.key, "SOURCES__STRIPE__API_BASE": other.url}
    with start("--tunnel", "https://host.example", **more) as started:
        started.wait_for("No webhook endpoint could be created, so the sink polls for events instead.")
        started.wait_for("ready: events of")
        assert started.end(signal.SIGTERM) == 0


PROGRAM = """#!/bin/sh
{say}
exec sleep {seconds}
"""


@pytest.mark.long
def test_a_tunnels_program_that_is_missing_or_silent_is_said(
    start: Callable[..., Any], tmp_path: Path, sim: Simulator
) -> None:
    with start("--tunnel", "cloudflared") as started:
        assert started.process.wait(60) == 2
        started.wait_for("The program cloudflared is not installed")
    program = tmp_path / "cloudflared"
    program.write_text(PROGRAM.format(say="echo no connection >&2", seconds=0))
    program.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    with start("--tunnel", "cloudflared", PATH=path) as started:
        assert started.process.wait(60) == 2
        started.wait_for("The tunnel cloudflared gave no public address: it ended")


def test_a_tunnel_that_dies_later_ends_everything_and_its_endpoint(
    start: Callable[..., Any], tmp_path: Path, sim: Simulator
) -> None:
    program = tmp_path / "cloudflared"
    say = 'echo "INF |  https://two-words-here.trycloudflare.com  |" >&2'
    program.write_text(PROGRAM.format(say=say, seconds=600))
    program.chmod(0o755)
    with start(
        "--tunnel", "cloudflared", "--port", str(free_port()), PATH=f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    ) as started:
        started.wait_for("receives webhooks at https://two-words-here.trycloudflare.com/webhooks")
        (endpoint,) = ours(sim)
        assert endpoint["url"] == "https://two-words-here.trycloudflare.com/webhooks"
        (tunnel,) = [part for part in started.parts() if part.cmdline()[:1] == ["sleep"]]
        tunnel.kill()
        assert started.process.wait(60) == 1
        started.wait_for("The tunnel cloudflared has ended")
    assert ours(sim) == []


def test_a_port_that_is_taken_is_said(root: Path, environment: dict[str, str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        more = {"STRIPE_WEBHOOK_SECRET": "whsec_1"}
        done = processes.run("-m", "stripe_elt", "sink", "--port", port, cwd=root, env=environment | more)
    assert done.returncode == 2
    told = " ".join(done.stderr.split())
    assert f"The server cannot listen on port {port} of 127.0.0.1" in told
    assert "choose another port with --port" in told
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("as_json", [True, False])
def test_parts_leave_stdout_to_the_report_where_it_is_json(root: Path, as_json: bool) -> None:
    begin = f"from stripe_elt.parts import Parts; parts = Parts([], as_json={as_json}); parts.begin('it', '--version')"
    command = [sys.executable, "-c", f"{begin}; parts.running['it'].wait()"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    assert "stripe-elt" in (done.stderr if as_json else done.stdout)
    assert (done.stdout == "") is as_json
