"""Batch runs behind a pooler in transaction mode, which gives each transaction any server connection that is free."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from pipelines.configuration.settings import Settings
from pipelines.loading.run import Order, run
from pipelines.loading.session import open_database
from pipelines.warehouse.postgres_database import PostgresDatabase
from pipelines.warehouse.problems import AlreadyRunning, DatabaseProblem, explained
from sources.stripe_api.catalogue import select
from sources.stripe_api.provider import STRIPE
from tests.databases import Database
from tests.pipelines.mirror import START, Mirror

if TYPE_CHECKING:
    from simulator import Simulator

POOL = 2  # the fewest server connections that a run can do with: one for its lock, one for everything else
OF_THE_POOLER = ("application_name", "client_encoding", "DateStyle", "standard_conforming_strings", "TimeZone")
"""What PgBouncer itself sets on a server connection, for each client what that client had asked for at its start."""
NAMES = ("customers", "products", "prices", "subscriptions", "invoices")


@pytest.fixture
def address(pooled: Callable[..., str]) -> str:
    return pooled(pool_size=POOL)


@pytest.fixture
def mirror(address: str, simulator: Callable[..., Simulator]) -> Iterator[Mirror]:
    """A small account beside an empty database behind the pooler. After the test, nothing of ours is left in it."""
    yield Mirror(simulator(seed=1, customers=6, now=START, running=False), Database("postgres", address))
    assert left_behind(address) == []


def left_behind(address: str) -> list[tuple[str, ...]]:
    """What other clients of the pool would find: settings, prepared statements and locks, of every connection."""
    found: list[tuple[str, ...]] = []
    with ExitStack() as open_transactions:
        for _ in range(POOL):
            one = open_transactions.enter_context(psycopg.connect(address, prepare_threshold=None))
            found += one.execute("SELECT name, setting FROM pg_settings WHERE source = 'session'").fetchall()
            found += one.execute("SELECT name, statement FROM pg_prepared_statements").fetchall()
            found += one.execute("SELECT locktype, mode FROM pg_locks WHERE locktype = 'advisory'").fetchall()
    return [each for each in found if each[0] not in OF_THE_POOLER]


def test_the_pooler_of_these_tests_is_as_hostile_as_they_come(pooled: Callable[..., str], postgres_url: str) -> None:
    address = pooled(pool_size=1)
    with psycopg.connect(address, autocommit=True) as first, psycopg.connect(address, autocommit=True) as second:
        pid = "SELECT pg_backend_pid()"
        assert first.execute(pid).fetchall() == second.execute(pid).fetchall()
        first.execute("SET enable_seqscan = off")
        assert second.execute("SHOW enable_seqscan").fetchall() == [("off",)]
    with pytest.raises(psycopg.OperationalError, match="unsupported startup parameter"):
        psycopg.connect(address, options="-csearch_path=stripe")
    assert Database("postgres", postgres_url).value("SHOW enable_seqscan") == "on"


def test_every_command_works_and_leaves_nothing_in_the_pool(mirror: Mirror) -> None:
    mirror.load(*NAMES)
    customer = mirror.sim.account.create("customers", mirror.sim.make("customers", name="Grüße €"))
    mirror.pass_time(180)
    assert mirror.sync(*NAMES).failed == []
    assert mirror.row("customers", str(customer["id"]))["name"] == "Grüße €"
    assert not mirror.check(*NAMES).has_drift
    assert len(mirror.read(str(customer["id"]))) == 1
    assert mirror.differences(NAMES) == []


def test_second_full_refresh_ends_at_once_and_changes_nothing(mirror: Mirror) -> None:
    first = open_database(mirror.settings)
    first.lock_run(mirror.settings.dataset)
    with pytest.raises(AlreadyRunning, match="Another run"):
        run(mirror.settings, Order("stripe_full", select(["customers"]), full_refresh=True), STRIPE)
    assert mirror.destination.tables("stripe") == set()
    first.close()
    run(mirror.settings, Order("stripe_full", select(["customers"]), full_refresh=True), STRIPE)
    assert mirror.differences(["customers"]) == []


def test_pool_that_is_too_small_is_named(
    pooled: Callable[..., str], simulator: Callable[..., Simulator], postgres_url: str
) -> None:
    small = pooled(pool_size=1, query_wait_timeout=1)
    mirror = Mirror(simulator(seed=1, customers=4, now=START, running=False), Database("postgres", small))
    with pytest.raises(DatabaseProblem, match=r"query_wait_timeout.*fewer server connections.*docs/postgres\.md"):
        run(mirror.settings, Order("stripe_full", select(["customers"])), STRIPE)
    assert Database("postgres", postgres_url).tables("stripe") == set()


@pytest.mark.parametrize("variable", ["DATABASE_URL", "PGOPTIONS", "PGGEQO"])
def test_startup_parameter_that_the_pooler_refuses_is_named(
    address: str, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    if variable == "DATABASE_URL":
        address = make_conninfo(address, options="-c work_mem=8MB")
    else:
        monkeypatch.setenv(variable, {"PGOPTIONS": "-c work_mem=8MB", "PGGEQO": "off"}[variable])
    with pytest.raises(DatabaseProblem, match=rf"pooler in front of Postgres refuses a startup parameter.*{variable}"):
        open_database(Settings(destination="postgres", database_url=address))


@pytest.mark.parametrize(("code", "words"), [("26000", "prepared statements"), ("42P05", "prepared statements")])
def test_statements_that_a_pooler_mixed_up_are_its_doing(code: str, words: str) -> None:
    told = explained(psycopg.errors.lookup(code)('prepared statement "s1" does not exist'))
    assert f"pooler in front of Postgres mixed up {words}" in told


def test_query_that_a_pooler_interrupts_is_repeated(address: str, postgres_url: str) -> None:
    database = PostgresDatabase(address)
    database.execute("SELECT 1")
    with psycopg.connect(postgres_url, autocommit=True) as server:
        server.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
    assert database.execute("SELECT 1") == [(1,)]
    database.close()


@pytest.mark.parametrize("statement", ["SELECT 1", "SELECT 1 / 0"])
def test_nothing_is_sent_behind_the_last_sync(postgres_url: str, statement: str, tmp_path: Path) -> None:
    """A pooler gives each message that comes after it a server connection, and waits for the next Sync to take it."""
    database = PostgresDatabase(postgres_url)
    with (tmp_path / "trace").open("w+") as trace:
        database._connection.pgconn.trace(trace.fileno())
        with nullcontext() if "0" not in statement else pytest.raises(psycopg.errors.DivisionByZero):
            database.execute(statement)
        database._connection.pgconn.untrace()
        trace.seek(0)
        sent = re.findall(r"\tF\t\d+\t(\w+)", trace.read())
    database.close()
    assert sent.count("Sync") == 1
    assert "Flush" not in sent[sent.index("Sync") :]
