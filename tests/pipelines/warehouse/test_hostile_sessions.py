"""What a role, a database or the environment sets for a Postgres session changes no table and no exit code."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from pipelines.configuration.settings import Settings
from pipelines.loading.run import Order, run
from pipelines.loading.session import open_database
from pipelines.warehouse.postgres_database import PostgresDatabase
from pipelines.warehouse.problems import DatabaseProblem
from simulator.http.faults import Fault, Faults
from sources.stripe_api.catalogue import select
from sources.stripe_api.provider import STRIPE
from tests.databases import Database, with_database
from tests.pipelines.mirror import START, Mirror
from tests.pipelines.warehouse.test_session_properties import HOSTILE

if TYPE_CHECKING:
    from simulator import Simulator

NAMES = ("customers", "prices", "subscriptions", "invoices")
WITHOUT_A_WRONG_VALUE = ("default_table_access_method", "statement_timeout", "transaction_timeout")
ISOLATED = {"default_transaction_isolation": "serializable", "default_transaction_deferrable": "on"}
HIJACK = """
CREATE SCHEMA hostile;
CREATE FUNCTION hostile.now() RETURNS timestamptz LANGUAGE sql AS $$ SELECT '1999-01-01'::timestamptz $$;
CREATE FUNCTION hostile.hashtext(text) RETURNS int LANGUAGE sql AS $$ SELECT 1 $$;
CREATE TYPE hostile.jsonb AS ENUM ('hostile');
CREATE TYPE hostile.timestamptz AS ENUM ('hostile')
"""


def make_hostile(url: str, settings: dict[str, str]) -> None:
    """Every new session of the database begins with these settings."""
    with psycopg.connect(url, autocommit=True) as connection:
        name = sql.Identifier(connection.info.dbname)
        for setting, value in settings.items():
            words = value.split(", ") if setting in ("search_path", "DateStyle") else [value]
            values = sql.SQL(", ").join(map(sql.Literal, words))
            connection.execute(sql.SQL("ALTER DATABASE {} SET {} = {}").format(name, sql.Identifier(setting), values))


@pytest.fixture
def clean(postgres_url: str) -> str:
    """The same database for the test's own questions: a role's or database's settings do not reach it."""
    with psycopg.connect(postgres_url) as connection:
        plain = connection.execute(
            r"SELECT name, replace(boot_val, ' ', '\ ') FROM pg_settings"
            " WHERE name = ANY (%s) AND boot_val IS NOT NULL",
            ([*HOSTILE, *ISOLATED],),
        ).fetchall()
    options = " ".join(f"-c {name}={value}" for name, value in plain if name not in ("client_encoding", "search_path"))
    return make_conninfo(postgres_url, client_encoding="UTF8", options=f"{options} -c search_path=pg_catalog")


def test_commands_end_equal_in_a_database_with_hostile_settings(
    postgres_url: str, clean: str, simulator: Callable[..., Simulator]
) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(HIJACK)
    hostile = {name: value for name, value in HOSTILE.items() if name not in WITHOUT_A_WRONG_VALUE}
    make_hostile(postgres_url, hostile | ISOLATED)
    mirror = Mirror(simulator(seed=1, customers=6, now=START, running=False), Database("postgres", clean))
    mirror.changes["database_url"] = postgres_url
    mirror.load(*NAMES)
    customer = mirror.sim.account.create("customers", mirror.sim.make("customers", name="Grüße €"))
    mirror.pass_time(180)
    assert mirror.sync(*NAMES).failed == []
    assert mirror.row("customers", str(customer["id"]))["name"] == "Grüße €"
    report = mirror.check(*NAMES)
    assert (report.has_drift, report.incomplete) == (False, {})
    assert mirror.read(str(customer["id"])) != []
    assert mirror.differences(NAMES) == []
    assert mirror.destination.value("SELECT min(_synced_at) > '2020-01-01' FROM stripe.customers")


@pytest.mark.parametrize(
    ("variable", "value"),
    [("PGCLIENTENCODING", "SJIS"), ("PGDATESTYLE", "SQL, DMY"), ("PGTZ", "Asia/Kathmandu"), ("PGGEQO", "off")],
)
def test_libpqs_variables_change_nothing(
    postgres_url: str, simulator: Callable[..., Simulator], monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    mirror = Mirror(simulator(seed=1, customers=4, now=START, running=False), Database("postgres", postgres_url))
    with monkeypatch.context() as patch:
        patch.setenv(variable, value)
        mirror.load("customers")
        report = mirror.check("customers")
    assert (report.has_drift, report.incomplete) == (False, {})
    assert mirror.differences(["customers"]) == []


@pytest.mark.parametrize("name", ["statement_timeout", "transaction_timeout", "idle_in_transaction_session_timeout"])
def test_time_outs_of_a_database_end_no_statement(postgres_url: str, name: str) -> None:
    make_hostile(postgres_url, {name: "20s"})
    with psycopg.connect(postgres_url) as other:
        assert other.execute("SELECT current_setting(%s)", (name,)).fetchone() == ("20s",)
    database = PostgresDatabase(postgres_url)
    assert database.execute("SELECT current_setting(%s)", (name,)) == [("0",)]
    with database.transaction():
        assert database.execute("SELECT current_setting(%s)", (name,)) == [("0",)]
    database.close()


@pytest.fixture
def encoded(postgres_server: str) -> Iterator[Callable[[str], str]]:
    """Makes databases of other encodings, and drops them after the test."""
    made: list[str] = []
    with psycopg.connect(postgres_server, autocommit=True) as connection:

        def make(encoding: str) -> str:
            name = f"test_{encoding.lower()}"
            made.append(name)
            connection.execute(
                f"CREATE DATABASE {name} ENCODING '{encoding}' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'".encode()
            )
            return with_database(postgres_server, name)

        yield make
        for name in made:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1", "EUC_KR"])
def test_database_of_another_encoding_is_refused_before_anything_is_made(
    encoded: Callable[[str], str], encoding: str
) -> None:
    address = encoded(encoding)
    with pytest.raises(
        DatabaseProblem, match=rf"\(server_encoding\) is {encoding}.*ENCODING 'UTF8' TEMPLATE template0"
    ):
        open_database(Settings(destination="postgres", database_url=address))
    assert Database("postgres", address).tables("stripe") == set()


# --- sessions that end between transactions ---------------------------------------------------------------------------


def end_sessions(url: str, state: str = "%") -> int:
    """The server ends every other session, as `idle_session_timeout` does, and has ended them when this returns.

    `state` is a pattern of `pg_stat_activity`, such as `idle`. Returns how many there were.
    """
    with psycopg.connect(url, autocommit=True) as connection:
        ended = connection.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND backend_type = 'client backend' AND state LIKE %s",
            (state,),
        )
        return ended.rowcount


class EndOfIdleSessions(Faults):
    """While Stripe works on a page of customers, the server ends the sessions that are idle."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url, self.ended = url, 0

    def __bool__(self) -> bool:
        return True

    def meet(self, method: str, path: str, query: Mapping[str, object], body: bytes) -> Fault | None:
        if path == "/v1/customers":
            self.ended += end_sessions(self._url, "idle")
        return super().meet(method, path, query, body)


def test_session_that_the_server_ended_is_opened_again(postgres_url: str) -> None:
    database = PostgresDatabase(postgres_url)
    end_sessions(postgres_url)
    assert database.execute("SELECT %s::int + 1", (1,)) == [(2,)]
    end_sessions(postgres_url)
    with database.transaction():
        assert database.execute("SELECT %s::int + 1", (1,)) == [(2,)]
    database.close()


def test_transaction_whose_session_ends_is_not_repeated(postgres_url: str) -> None:
    database = PostgresDatabase(postgres_url)
    with pytest.raises(psycopg.OperationalError), database.transaction():  # noqa: PT012 (the transaction is the point)
        database.execute("CREATE TABLE public.half (n int)")
        end_sessions(postgres_url)
        database.execute("CREATE TABLE public.other_half (n int)")
    found = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'"
    assert database.execute(found) == [(0,)]
    database.close()


def test_page_that_takes_longer_than_an_idle_session_may_last_costs_nothing(
    postgres_url: str, simulator: Callable[..., Simulator]
) -> None:
    mirror = Mirror(simulator(seed=1, customers=4, now=START, running=False), Database("postgres", postgres_url))
    mirror.pass_time(900)
    mirror.sim.service.faults = faults = EndOfIdleSessions(postgres_url)
    outcome = run(mirror.settings, Order("stripe_full", select(["customers", "products"])), STRIPE)
    assert (outcome.error, outcome.failed) == (None, [])
    assert mirror.differences(["customers", "products"]) == []
    assert faults.ended > 0
