"""What people get wrong, and what goes wrong around them: `pipelines/stripe_full.py` as a process of its own.

Each ends with a paragraph that names what to change, no traceback, the right exit code, nothing secret said, and
nothing lost: the next run, with all in order, ends with tables equal to the account.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from pipelines.loading.run import Order, run
from sources.errors import Unreachable
from sources.fetch.limiter import Limiter
from sources.stripe_api.catalogue import select
from sources.stripe_api.client.account import read_account
from sources.stripe_api.client.client import Client
from sources.stripe_api.client.settings import ClientSettings
from sources.stripe_api.provider import STRIPE
from tests import processes
from tests.databases import Database
from tests.pipelines.mirror import START, Mirror

if TYPE_CHECKING:
    from simulator import Simulator

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = ROOT / "pipelines" / "stripe_full.py"
NAMES = ("customers", "products")

CUSTOMERS_DATA = ("Ada Hushington", "ada@hush.example", "+49 30 901820", "a note about Ada")
WRONG_KEY = "sk_test_wrongwrongwrong1234"
PASSWORD = "open-sesame-4711"


class Case(Mirror):
    """An account with a customer whose data nobody may see in a log, and the script that loads it."""

    def run(self, *arguments: str, wrapped: Callable[[], None] | None = None, **changed: str) -> Ran:
        environment = {name: value for name, value in (self.environment | changed).items() if value != UNSET}
        names = [] if "--resources" in arguments else ["--resources", *NAMES]
        command = (str(SCRIPT), *names, *arguments)
        if wrapped is None:
            done = processes.run(*command, cwd=ROOT, env=environment)
        else:
            done = subprocess.run(
                [sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
                preexec_fn=wrapped,
            )  # fmt: skip
        said = done.stdout + done.stderr + self.recorded()
        for secret in (self.sim.key, *self.keys, WRONG_KEY, PASSWORD, *CUSTOMERS_DATA):
            assert secret not in said, f"{secret} is said:\n{said}"
        assert "Traceback" not in said, said
        return Ran(done.returncode, done.stdout, " ".join(done.stderr.split()), done.stderr)

    @property
    def keys(self) -> list[str]:
        return list(self.sim.keys._keys)

    def recorded(self) -> str:
        """All of `sync_runs` and `sync_status`, where there are such tables."""
        if self.destination.kind == "duckdb" and not is_database(self.destination.address):
            return ""
        names = {"sync_runs", "sync_status"} & self.destination.tables("stripe")
        return "\n".join(str(row) for name in names for row in self.destination.query(f"select * from stripe.{name}"))

    def status(self, name: str) -> str:
        return str(self.destination.value("select status from stripe.sync_status where resource = ?", [name]))

    def loads_well(self) -> None:
        """The next run, with all in order, ends with equal tables."""
        self.sim.faults.clear()
        outcome = run(self.settings, Order("stripe_full", select(NAMES)), STRIPE)
        assert (outcome.failed, outcome.skipped, outcome.error) == ([], [], None)
        assert self.differences(NAMES) == []


class Ran:
    """A process that has ended: its code, stdout, and stderr in one line."""

    def __init__(self, code: int, out: str, told: str, stderr: str) -> None:
        self.code, self.out, self.told, self.stderr = code, out, told, stderr

    def could_not_start(self, *words: str) -> None:
        """Exit code 2, and one paragraph with these words."""
        assert self.code == 2, self.stderr
        self.says(*words)
        assert "\n\n" not in self.stderr
        assert len(self.told) < 900

    def failed_in_part(self, *words: str) -> None:
        """Exit code 1, and these words in the table or the paragraph."""
        assert self.code == 1, self.stderr
        self.says(*words)

    def says(self, *words: str) -> None:
        said = " ".join(f"{self.told} {self.out}".split())
        assert [each for each in words if each not in said] == [], self.stderr + self.out


UNSET = "<unset>"


def is_database(path: str) -> bool:
    return Path(path).is_file() and Path(path).read_bytes()[8:12] == b"DUCK"


def case_of(sim: Simulator, destination: Database) -> Case:
    name, email, phone, note = CUSTOMERS_DATA
    sim.account.create("customers", sim.make("customers", name=name, email=email, phone=phone, description=note))
    sim.clock.advance(900)
    return Case(sim, destination)


@pytest.fixture
def case(simulator: Callable[..., Simulator], destination: Database) -> Case:
    """On each database."""
    return case_of(simulator(seed=1, customers=3, now=START, running=False), destination)


@pytest.fixture
def on_duckdb(simulator: Callable[..., Simulator], duckdb_path: Path) -> Case:
    """Where the database does not matter, or it is about DuckDB."""
    return case_of(simulator(seed=1, customers=3, now=START, running=False), Database("duckdb", str(duckdb_path)))


@pytest.fixture
def on_postgres(simulator: Callable[..., Simulator], postgres_url: str) -> Case:
    """Where it is about Postgres."""
    return case_of(simulator(seed=1, customers=3, now=START, running=False), Database("postgres", postgres_url))


# --- keys -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [UNSET, "pk_test_1", "rk_live_…"])
def test_key_that_is_missing_or_malformed(on_duckdb: Case, key: str) -> None:
    ran = on_duckdb.run(STRIPE_SECRET_KEY=key)
    ran.could_not_start("Set STRIPE_SECRET_KEY, or stripe_secret_key in", ".dlt/secrets.toml")
    assert not Path(on_duckdb.destination.address).exists()


def test_wrong_key(on_duckdb: Case) -> None:
    ran = on_duckdb.run(STRIPE_SECRET_KEY=WRONG_KEY)
    ran.could_not_start("Stripe refused the key", "HTTP 401, request req_", "Set STRIPE_SECRET_KEY")
    assert on_duckdb.recorded() == ""
    on_duckdb.loads_well()


def test_key_that_expires_between_two_runs(on_duckdb: Case) -> None:
    key = on_duckdb.sim.keys.restricted(read=["accounts", *NAMES])
    assert on_duckdb.run(STRIPE_SECRET_KEY=key).code == 0
    on_duckdb.sim.keys.expire(key)
    on_duckdb.run(STRIPE_SECRET_KEY=key).could_not_start("Stripe refused the key", "Set STRIPE_SECRET_KEY")
    on_duckdb.loads_well()


def test_key_that_is_refused_in_the_middle_of_a_run(on_duckdb: Case) -> None:
    on_duckdb.sim.faults.add("status", status=401, path="/v1/customers")
    ran = on_duckdb.run()
    ran.failed_in_part("Stripe refused the key for GET /v1/customers", "Set STRIPE_SECRET_KEY")
    assert on_duckdb.status("customers") == "error"
    assert on_duckdb.destination.value("select status from stripe.sync_runs") == "error"
    on_duckdb.loads_well()


def test_key_without_permission_for_some_resources_skips_them(on_duckdb: Case) -> None:
    key = on_duckdb.sim.keys.restricted(read=["accounts", "products"])
    ran = on_duckdb.run(STRIPE_SECRET_KEY=key)
    assert ran.code == 0
    ran.says("skipped", "rak_customer_read", "Give the key the permission")
    assert (on_duckdb.status("customers"), on_duckdb.status("products")) == ("skipped", "complete")
    on_duckdb.loads_well()


def test_key_that_may_not_read_the_account_needs_its_id(on_duckdb: Case) -> None:
    key = on_duckdb.sim.keys.restricted(read=["products"])
    ran = on_duckdb.run(STRIPE_SECRET_KEY=key)
    ran.could_not_start("The key may not read /v1/account", "SOURCES__STRIPE__ACCOUNT_ID")
    ran = on_duckdb.run(STRIPE_SECRET_KEY=key, SOURCES__STRIPE__ACCOUNT_ID=on_duckdb.sim.account.id)
    assert ran.code == 0, ran.stderr
    assert on_duckdb.differences(["products"]) == []
    nothing = on_duckdb.sim.keys.restricted(read=["exchange_rates"])
    ran = on_duckdb.run(STRIPE_SECRET_KEY=nothing, SOURCES__STRIPE__ACCOUNT_ID=on_duckdb.sim.account.id)
    ran.could_not_start("may not read any list", "STRIPE_SECRET_KEY")


def test_account_that_the_key_cannot_act_for(on_duckdb: Case) -> None:
    on_duckdb.run("--stripe-account", "acct_nobody").could_not_start("SOURCES__STRIPE__STRIPE_ACCOUNT")


# --- the command line -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--resources", "custmers"], ["no resource 'custmers'", "did you mean 'customers'?"]),
        (["--since", "yesterday"], ["--since", "(9 letters) is not a date or time", "2025-01-31"]),
        (["--since", "2025-02-01", "--until", "2025-01-01"], ["--since", "--until", "before"]),
        (["--resources", ""], ["--resources names nothing"]),
        (["--dataset", "Bad-name"], ["SOURCES__STRIPE__DATASET"]),
    ],
)
def test_arguments_that_cannot_be(on_duckdb: Case, arguments: list[str], words: list[str]) -> None:
    on_duckdb.run(*arguments).could_not_start(*words)
    assert not Path(on_duckdb.destination.address).exists()


def test_second_run_says_that_it_asked_only_for_what_is_newer(on_duckdb: Case) -> None:
    on_duckdb.pass_time(60)
    first, second = on_duckdb.run(), on_duckdb.run()
    assert (first.code, second.code) == (0, 0)
    assert "earlier run" not in first.told
    second.says("2 of these resources continued from an earlier run", "--full-refresh")


def test_settings_that_are_no_numbers(on_duckdb: Case) -> None:
    on_duckdb.run(SOURCES__STRIPE__WORKERS="many").could_not_start("SOURCES__STRIPE__WORKERS")


def test_traceback_is_for_those_who_ask(on_duckdb: Case) -> None:
    environment = on_duckdb.environment | {"STRIPE_SECRET_KEY": WRONG_KEY}
    done = processes.run(str(SCRIPT), "--resources", "products", "--debug", cwd=ROOT, env=environment)
    assert done.returncode == 2
    assert "Traceback" in done.stderr
    assert WRONG_KEY not in done.stderr


# --- Stripe -----------------------------------------------------------------------------------------------------------


def test_host_that_cannot_be_reached(on_duckdb: Case) -> None:
    ran = on_duckdb.run(SOURCES__STRIPE__API_BASE=f"http://127.0.0.1:{free_port()}")
    ran.could_not_start("could not be reached", "SOURCES__STRIPE__API_BASE")
    ran = on_duckdb.run(SOURCES__STRIPE__API_BASE="http://stripe.invalid")
    ran.could_not_start("stripe.invalid could not be reached", "SOURCES__STRIPE__API_BASE")
    on_duckdb.run(SOURCES__STRIPE__API_BASE="stripe.com").could_not_start("SOURCES__STRIPE__API_BASE")
    on_duckdb.loads_well()


def test_host_that_never_answers_is_given_up_within_the_minute() -> None:
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    def clock() -> float:
        now[0] += 5.0  # every look at the clock is a connection that timed out
        return now[0]

    settings = ClientSettings("sk_test_1", f"http://127.0.0.1:{free_port()}", max_retries=1000)
    with Client(settings, Limiter(None, None), sleep=sleep, clock=clock) as client, pytest.raises(Unreachable):
        read_account(client, None)
    assert now[0] <= 120


@pytest.mark.parametrize("kind", ["not_json", "error_200", "drop"])
def test_answer_that_is_none_to_the_very_first_question(on_duckdb: Case, kind: str) -> None:
    on_duckdb.sim.faults.add(kind, path="/v1/account")
    ran = on_duckdb.run()
    ran.could_not_start("GET /v1/account")
    assert kind == "drop" or "SOURCES__STRIPE__API_BASE" in ran.told
    on_duckdb.loads_well()


def test_page_that_is_none_is_an_error_of_its_resource(case: Case) -> None:
    case.sim.faults.add("not_json" if case.destination.kind == "duckdb" else "error_200", path="/v1/customers")
    ran = case.run()
    ran.failed_in_part("GET /v1/customers", "SOURCES__STRIPE__API_BASE")
    assert (case.status("customers"), case.status("products")) == ("error", "complete")
    assert case.destination.value("select status from stripe.sync_runs") == "partial"
    case.loads_well()


# --- Postgres ---------------------------------------------------------------------------------------------------------


def test_postgres_that_is_down(on_postgres: Case) -> None:
    address = f"postgresql://loader:{PASSWORD}@127.0.0.1:{free_port()}/warehouse?connect_timeout=2"
    on_postgres.run(DATABASE_URL=address).could_not_start("Postgres could not be reached", "DATABASE_URL")
    on_postgres.run(DATABASE_URL=f"mysql:/{PASSWORD}").could_not_start("DATABASE_URL is not a connection string")
    on_postgres.run(DATABASE_URL=UNSET).could_not_start("DATABASE_URL", ".dlt/secrets.toml")
    none = with_words(on_postgres, dbname="none")
    on_postgres.run(DATABASE_URL=none).could_not_start("<dbname> does not exist", "DATABASE_URL")


def test_postgres_that_takes_no_changes(on_postgres: Case) -> None:
    read_only = with_words(on_postgres, options="-c default_transaction_read_only=on")
    on_postgres.run(DATABASE_URL=read_only).could_not_start(
        "The database is read-only", "DATABASE_URL", "read-only transaction"
    )
    on_postgres.loads_well()
    on_postgres.run(DATABASE_URL=read_only).could_not_start("The database is read-only", "DATABASE_URL")


def test_role_without_permission(on_postgres: Case, limited_role: str) -> None:
    limited = with_words(on_postgres, options=f"-c role={limited_role}")
    on_postgres.run(DATABASE_URL=limited).could_not_start("lacks rights", "docs/postgres.md", "CREATE SCHEMA")
    on_postgres.loads_well()


@pytest.fixture
def limited_role(postgres_url: str) -> Iterator[str]:
    name = f"limited_{os.getpid()}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"create role {name}")
        yield name
        connection.execute(f"drop role {name}")


REFUSING = """
create function refuse() returns trigger language plpgsql as $$
begin raise exception '{message}' using errcode = '{code}', detail = 'Failing row contains ' || new::text; end $$;
create trigger refuse before insert on stripe.customers for each row execute function refuse()
"""
KEPT = ("A load package failed", "the next run continues from there")


@pytest.mark.parametrize(
    ("code", "message", "words"),
    [
        ("53100", "could not extend file: No space left on device", ["disk is full", "No space left on device", *KEPT]),
        ("23514", "row ada@hush.example violates a check", ["Left out", "refuses its row: CheckViolation 23514"]),
        (
            "42501",
            "permission denied for table customers",
            ["denied for table customers", "GRANT SELECT, INSERT", *KEPT],
        ),
    ],
)
def test_postgres_that_refuses_rows(on_postgres: Case, code: str, message: str, words: list[str]) -> None:
    on_postgres.loads_well()
    query(on_postgres, REFUSING.format(code=code, message=message))
    on_postgres.sim.account.create("customers", on_postgres.sim.make("customers", name=CUSTOMERS_DATA[0]))
    on_postgres.pass_time(60)
    ran = on_postgres.run()
    ran.failed_in_part(*words)
    assert on_postgres.status("customers") == "error"
    query(on_postgres, "drop trigger refuse on stripe.customers")
    on_postgres.loads_well()


CUTTING = """
create function cut() returns trigger language plpgsql as $$ begin
perform pg_terminate_backend(pid) from pg_stat_activity
where application_name = 'stripe-elt' and datname = current_database(); return new; end $$;
create trigger cut before insert on stripe.customers for each row execute function cut()
"""


def test_connection_that_is_lost_between_rows_and_progress(on_postgres: Case) -> None:
    on_postgres.loads_well()
    query(on_postgres, CUTTING)
    on_postgres.sim.account.create("customers", on_postgres.sim.make("customers", name=CUSTOMERS_DATA[0]))
    on_postgres.pass_time(60)
    on_postgres.run().failed_in_part("connection", "DATABASE_URL", "the next run continues from there")
    query(on_postgres, "drop trigger cut on stripe.customers")
    on_postgres.loads_well()
    assert on_postgres.destination.query("select status from stripe.sync_runs order by started_at")[1] == ("error",)


# --- DuckDB -----------------------------------------------------------------------------------------------------------


def test_duckdb_file_held_by_another_process(on_duckdb: Case) -> None:
    path = on_duckdb.destination.address
    with held(path):
        command = [sys.executable, str(SCRIPT), "--resources", "products"]
        done = subprocess.run(command, cwd=ROOT, env=on_duckdb.environment, capture_output=True, text=True, check=False)
    said = " ".join(done.stderr.split())
    assert done.returncode == 2
    assert "open in another process" in said
    assert "DUCKDB_PATH" in said
    assert "Traceback" not in said
    on_duckdb.loads_well()


@contextmanager
def held(path: str) -> Iterator[None]:
    code = f"import duckdb; c = duckdb.connect({path!r}); print('open', flush=True); input()"
    holder = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "open\n"
    try:
        yield
    finally:
        holder.communicate("\n")


def test_places_where_no_duckdb_file_can_be(on_duckdb: Case, tmp_path: Path) -> None:
    run = on_duckdb.run
    run("--duckdb-path", str(tmp_path / "none" / "x.duckdb")).could_not_start(
        "its folder does not exist", "DUCKDB_PATH"
    )
    run("--duckdb-path", str(tmp_path)).could_not_start("is a folder", "DUCKDB_PATH")
    (tmp_path / "letter").write_text("Dear Sir or Madam, " * 500)
    run("--duckdb-path", str(tmp_path / "letter")).could_not_start("not a DuckDB database", "DUCKDB_PATH")
    run("--duckdb-path", str(tmp_path / "letter" / "x")).could_not_start("its folder does not exist", "DUCKDB_PATH")
    run("--duckdb-path", str(tmp_path / "stripe.duckdb")).could_not_start("ambiguous", "DUCKDB_PATH")
    run(SOURCES__STRIPE__DUCKDB_MEMORY_LIMIT="much").could_not_start("SOURCES__STRIPE__DUCKDB_MEMORY_LIMIT")


def test_folder_and_file_that_may_not_be_written(on_duckdb: Case, tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    folder.mkdir(mode=0o555)
    ran = on_duckdb.run("--duckdb-path", str(folder / "x.duckdb"), wrapped=like_anybody)
    ran.could_not_start("cannot be written: permission denied", "DUCKDB_PATH")
    on_duckdb.loads_well()
    path = Path(on_duckdb.destination.address)
    path.chmod(0o444)
    on_duckdb.run(wrapped=like_anybody).could_not_start("cannot be written: permission denied", "DUCKDB_PATH")
    path.chmod(0o644)
    on_duckdb.loads_well()


@pytest.mark.long
@pytest.mark.parametrize(
    ("most", "words"), [(200_000, ["DuckDB could not", "DUCKDB_PATH"]), (20_000, ["temporary folder", "TMPDIR"])]
)
def test_disk_that_is_full(on_duckdb: Case, most: int, words: list[str]) -> None:
    def limited() -> None:  # no file grows beyond it, as if the disk were full
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))

    # each file is smaller than DuckDB's log of all of them
    ran = on_duckdb.run("--resources", *NAMES, "subscriptions", "invoices", "charges", wrapped=limited)
    ran.failed_in_part("File too large", "the next run continues from there", *words)
    on_duckdb.loads_well()


# --- means ------------------------------------------------------------------------------------------------------------


def like_anybody() -> None:
    """Root loses what lets it pass by permissions (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH) before the program starts."""
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        for capability in (1, 2):
            if libc.prctl(24, capability, 0, 0, 0):
                raise OSError(ctypes.get_errno(), "prctl")


def free_port() -> int:
    """A port at which nobody listens."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def with_words(case: Case, **words: Any) -> str:
    return make_conninfo(case.destination.address, **words)


def query(case: Case, statement: str) -> None:
    with psycopg.connect(case.destination.address, autocommit=True) as connection:
        connection.execute(statement.encode())


# --- stopped from outside ---------------------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_in_the_middle_of_a_package_it_says_so_and_goes_on(on_postgres: Case, number: signal.Signals) -> None:
    on_postgres.load("customers")
    on_postgres.sim.account.create("customers", on_postgres.sim.make("customers"))
    on_postgres.pass_time(60)
    address = on_postgres.destination.address
    with psycopg.connect(address) as holder, psycopg.connect(address, autocommit=True) as looking:
        holder.execute("lock table stripe.customers")
        command = [sys.executable, str(SCRIPT), "--resources", *NAMES]
        script = subprocess.Popen(command, cwd=ROOT, env=on_postgres.environment, stderr=subprocess.PIPE, text=True)
        waiting = "select pg_sleep(0.02), count(*) from pg_stat_activity where wait_event_type = 'Lock'"
        while script.poll() is None and not looking.execute(waiting).fetchall()[0][1]:
            pass
        script.send_signal(number)
        holder.rollback()
        _, told = script.communicate()
    assert "Interrupted. Everything that was loaded is kept" in told
    assert script.returncode == 130
    assert on_postgres.destination.query("select status from stripe.sync_runs order by started_at desc limit 1") == [
        ("interrupted",)
    ]
    on_postgres.loads_well()
