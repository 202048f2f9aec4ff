"""The run lock: held while the process lives, free as soon as it does not, with and without a pooler between."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from socket import AF_UNIX, SHUT_RDWR, create_connection, socket
from threading import Event, Thread, current_thread
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pipelines.loading.run import Order, Run, run
from pipelines.warehouse.postgres.run_lock import RUN_LOCK, RunLock
from pipelines.warehouse.postgres_database import PostgresDatabase, connect
from pipelines.warehouse.problems import AlreadyRunning, DatabaseProblem
from sources.stripe_api.catalogue import select
from sources.stripe_api.provider import STRIPE
from tests.databases import Database
from tests.pipelines.mirror import START, Mirror

if TYPE_CHECKING:
    from simulator import Simulator

ROOT = Path(__file__).resolve().parents[3]
HOLDERS = f"SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND classid = {RUN_LOCK} AND granted"
HOLDING = """
import sys
from pipelines.warehouse.postgres_database import PostgresDatabase
database = PostgresDatabase(sys.argv[1])
database.lock_run("stripe")
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.fixture(params=["direct", "pooled"])
def address(request: pytest.FixtureRequest, postgres_url: str) -> str:
    return postgres_url if request.param == "direct" else str(request.getfixturevalue("pooled")(pool_size=3))


@pytest.fixture
def opened(address: str) -> Iterator[Callable[[], PostgresDatabase]]:
    """Opens databases, as runs do, and closes them after the test."""
    with ExitStack() as stack:

        def make() -> PostgresDatabase:
            database = PostgresDatabase(address)
            stack.callback(database.close)
            return database

        yield make


def end_holders(url: str) -> None:
    """The server ends the connections that hold run locks, and has ended them when this returns."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"SELECT pg_terminate_backend(pid, 10000) FROM ({HOLDERS}) AS holders")


def test_the_lock_holds_no_snapshot(opened: Callable[[], PostgresDatabase], postgres_url: str) -> None:
    opened().lock_run("stripe")
    with psycopg.connect(postgres_url) as connection:
        held = connection.execute(f"SELECT backend_xmin FROM pg_stat_activity JOIN ({HOLDERS}) AS holders USING (pid)")
        assert held.fetchall() == [(None,)]


def test_lock_is_free_when_its_holder_closes(opened: Callable[[], PostgresDatabase]) -> None:
    first, second = opened(), opened()
    first.lock_run("stripe")
    with pytest.raises(AlreadyRunning):
        second.lock_run("stripe")
    second.lock_run("stripe/billing_own")
    first.close()
    second.lock_run("stripe")


def test_lock_of_a_killed_process_is_free_at_once(address: str, opened: Callable[[], PostgresDatabase]) -> None:
    command = [sys.executable, "-c", HOLDING, address]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        with pytest.raises(AlreadyRunning):
            opened().lock_run("stripe")
        holder.kill()
    opened().lock_run("stripe")


def test_lock_whose_connection_was_lost_is_taken_again(
    postgres_url: str, opened: Callable[[], PostgresDatabase]
) -> None:
    first, second = opened(), opened()
    first.lock_run("stripe")
    end_holders(postgres_url)
    first.check_lock()
    with pytest.raises(AlreadyRunning):
        second.lock_run("stripe")


def test_lock_that_another_run_has_meanwhile_ends_this_one(
    postgres_url: str, opened: Callable[[], PostgresDatabase]
) -> None:
    first, second = opened(), opened()
    first.lock_run("stripe")
    end_holders(postgres_url)
    second.lock_run("stripe")
    for _ in range(2):
        with pytest.raises(DatabaseProblem, match="was lost, and another run is loading 'stripe' now"):
            first.check_lock()


def test_heartbeat_takes_a_lost_lock_again(postgres_url: str) -> None:
    beaten = Event()

    def opened() -> psycopg.Connection:
        if current_thread().name == "run-lock":
            beaten.set()
        return connect(postgres_url)

    lock = RunLock(opened, beat=0.05)
    lock.take("stripe")
    end_holders(postgres_url)
    assert beaten.wait(30)
    lock.check()  # waits until the heartbeat has what it was about to take
    assert len(Database("postgres", postgres_url).query(HOLDERS)) == 1
    lock.close()


def test_lock_outlives_the_time_outs_of_the_database(postgres_url: str) -> None:
    names = ("idle_in_transaction_session_timeout", "transaction_timeout", "statement_timeout")
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        for name in names:
            connection.execute(f"ALTER DATABASE {connection.info.dbname} SET {name} = '20s'".encode())
    held = connect(postgres_url)
    in_force = [held.execute("SELECT current_setting(%s)", (name,)).fetchone() for name in names]
    assert in_force == [("20s",)] * 3
    lock = RunLock(lambda: held)
    lock.take("stripe")
    in_force = [held.execute("SELECT current_setting(%s)", (name,)).fetchone() for name in names]
    assert in_force == [("0",)] * 3
    lock.close()


def test_run_that_lost_its_lock_stops_at_its_next_package(
    postgres_url: str, simulator: Callable[..., Simulator]
) -> None:
    mirror = Mirror(simulator(seed=1, customers=4, now=START, running=False), Database("postgres", postgres_url))
    mirror.pass_time(900)
    other = PostgresDatabase(postgres_url)
    order = Order("stripe_full", select(["customers"]))
    with mirror.session(order.command) as session:
        end_holders(postgres_url)
        other.lock_run("stripe")
        outcome = Run(session, order, session.clock(), session.state).go()
    assert "another run is loading 'stripe' now" in str(outcome.error)
    assert mirror.destination.query("SELECT status, rows FROM stripe.sync_runs") == [("error", 0)]
    assert "customers" not in mirror.destination.tables("stripe")
    other.close()
    assert run(mirror.settings, order, STRIPE).error is None
    assert mirror.differences(["customers"]) == []


def test_lock_of_our_own_connection_that_the_server_takes_for_alive_is_taken_from_it(
    postgres_url: str, tmp_path: Path
) -> None:
    with Relay(postgres_url) as relay:
        database = PostgresDatabase(relay.address)
        database.lock_run("stripe")
        (before,) = Database("postgres", postgres_url).query(HOLDERS)
        relay.drop_clients()
        assert Database("postgres", postgres_url).query(HOLDERS) == [before]
        database.check_lock()
        (after,) = Database("postgres", postgres_url).query(HOLDERS)
        assert after != before
        database.close()


class Relay:
    """Passes bytes between clients and a server's socket. It can drop the clients without telling the server."""

    def __init__(self, url: str) -> None:
        self._words = conninfo_to_dict(url)
        self._clients: list[socket] = []
        self._servers: list[socket] = []

    def __enter__(self) -> Relay:
        self._folder = tempfile.mkdtemp(prefix="relay-", dir="/tmp")  # a socket's path is short
        self.address = make_conninfo(**{**self._words, "host": self._folder})
        self._listening = socket(AF_UNIX)
        self._listening.bind(f"{self._folder}/.s.PGSQL.{self._words.get('port') or 5432}")
        self._listening.listen()
        Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.close()
        for client in (*self._clients, *self._servers):
            client.close()
        shutil.rmtree(self._folder)

    def drop_clients(self) -> None:
        """The clients' connections end; the server's stay open, as when a network between them was cut."""
        for client in self._clients:
            with suppress(OSError):
                client.shutdown(SHUT_RDWR)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                server = _connected(str(self._words["host"]), int(self._words.get("port") or 5432))
                self._clients.append(client)
                self._servers.append(server)
                Thread(target=_pass_on, args=(client, server), daemon=True).start()
                Thread(target=_pass_on, args=(server, client), daemon=True).start()


def _connected(host: str, port: int) -> socket:
    if not host.startswith("/"):
        return create_connection((host, port))
    connected = socket(AF_UNIX)
    connected.connect(f"{host}/.s.PGSQL.{port}")
    return connected


def _pass_on(source: socket, target: socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
