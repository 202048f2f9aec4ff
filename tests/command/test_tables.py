"""`status`, `backfill`, `migrate` and dry runs, on both databases."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from dlt.common.schema.typing import SCHEMA_ENGINE_VERSION

from pipelines.loading.session import open_database
from pipelines.loading.tables import create_tables
from pipelines.warehouse.database import ENGINE_VERSION
from sources.stripe_api.catalogue import TABLES
from sources.stripe_api.provider import STRIPE
from stripe_elt.commands.tables import migrate, missing
from tests import processes
from tests.databases import Database
from tests.pipelines.mirror import Mirror
from tests.webhook_sink.conftest import settings_for

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(mirror: Mirror, root: Path) -> Run:
    """`run(*words)`: a command for the mirror's account and database."""
    return lambda *words: processes.run("-m", "stripe_elt", *words, cwd=root, env=mirror.environment)


def told(done: subprocess.CompletedProcess[str]) -> Any:
    return json.loads(done.stdout)


def test_status_says_how_far_each_account_is_and_what_is_behind(mirror: Mirror, run: Run) -> None:
    nothing = run("status", "--max-age", "1h")
    assert nothing.returncode == 1
    assert nothing.stdout.startswith("Nothing was ever loaded into the schema stripe")
    mirror.begin("customers", "events", synced=True)
    shown = run("status")
    assert shown.returncode == 0
    assert f"{mirror.sim.account.id} (test): right up to 2025-" in shown.stdout
    assert "resources: 2 complete; events: complete" in shown.stdout
    late = run("status", "--max-age", "1h", "--json")
    assert late.returncode == 1
    (account,) = told(late)["accounts"]
    assert (account["is_behind"], account["errors"]) == (True, {})
    assert "further behind than --max-age allows" in late.stderr
    assert {resource["resource"] for resource in told(late)["resources"]} == {"customers", "events"}
    assert run("status", "--max-age", "500w").returncode == 0
    mirror.destination.query(
        "update stripe.sync_status set status = 'error', error = 'odd' where resource = 'customers'"
    )
    wrong = run("status", "--max-age", "500w")
    assert wrong.returncode == 1
    assert "customers is in error: odd" in wrong.stdout


def test_a_dry_run_knows_what_was_read_and_asks_nothing(mirror: Mirror, run: Run) -> None:
    mirror.begin("customers", "events", synced=True)
    mirror.forget_requests()
    customers, setup = told(run("full", "--dry-run", "--json", "--resources", "customers", "setup_attempts"))
    assert customers["since"] is not None
    assert customers["last_time"] >= 1
    assert (customers["at_least"], setup["at_least"]) == (1, 0)
    due = told(run("sync", "--dry-run", "--json"))
    assert [listing["resource"] for listing in due] == []  # events tell of both
    assert told(run("backfill", "customer", "--dry-run", "--json"))[0]["since"] is None
    assert mirror.requests() == 0


def test_backfill_reads_a_range_again_and_nothing_else(mirror: Mirror, run: Run) -> None:
    mirror.begin("customers", "events", synced=True)
    mirror.destination.query("update stripe.customers set name = 'wrong', _as_of = timestamptz '2020-01-01 00:00:00Z'")
    created = sorted(int(row["created"].timestamp()) for row in mirror.rows("customers"))
    middle = created[len(created) // 2]
    mirror.forget_requests()
    done = run("backfill", "customer", "--since", str(middle), "--json")
    assert done.returncode == 0, done.stderr
    names = {row["id"]: (int(row["created"].timestamp()) >= middle, row["name"]) for row in mirror.rows("customers")}
    assert {name == "wrong" for is_new, name in names.values() if is_new} == {False}
    assert {name == "wrong" for is_new, name in names.values() if not is_new} == {True}
    assert mirror.requests() < 10
    assert run("backfill", "customer").returncode == 0
    assert mirror.differences(["customers"]) == []
    mirror.forget_requests()
    assert told(run("full", "--resources", "customers", "--json"))[0]["rows"] == 0, "a later run has forgotten nothing"


@pytest.mark.long
def test_migrate_makes_every_table_once_and_a_load_fills_them(mirror: Mirror, run: Run) -> None:
    few = ("--resources", "customer", "invoices")
    assert run("migrate", "--check", *few).returncode == 3
    sql = run("migrate", "--dry-run", *few).stdout
    assert mirror.destination.tables("stripe") == set()
    assert "customers" in sql
    assert "PRIMARY KEY" in sql
    made = run("migrate", "--json", *few)
    assert made.returncode == 0, made.stderr
    tables = {"customers", "payment_sources", "tax_ids", "invoices", "invoice_line_items", "discounts"}
    assert set(told(made)["tables"]) == tables
    assert {*tables, "sync_runs"} <= mirror.destination.tables("stripe")
    assert mirror.destination.tables("stripe_current") >= {"customers", "invoices"}
    again = run("migrate", *few)
    assert again.stdout.startswith("0 tables of the schema stripe were created or changed")
    assert run("migrate", "--check", *few).returncode == 0
    mirror.load("customers", "invoices")
    assert mirror.differences(["customers", "invoices"]) == []
    database = open_database(mirror.settings)
    try:
        assert set(create_tables(database, "stripe", STRIPE, list(TABLES))) == TABLES.keys() - tables
    finally:
        database.close()


def test_a_dry_run_prints_all_that_migrate_executes(mirror: Mirror) -> None:
    """Tables, sync_*, the ledger, views with their comments, indexes: executed by hand, nothing is missing."""
    tables = ["customers", "invoices", "invoice_line_items", "prices"]
    database = open_database(mirror.settings)
    try:
        planned = missing(database, mirror.settings, tables)
        for part in ("sync_status", "sync_checks", "sync_forgotten", "stripe_current", "COMMENT ON"):
            assert any(part in statement for statement in planned), part
        assert any("webhook_events" in each for each in planned) is (database.dialect == "postgres")
        for statement in planned:
            database.execute(statement)
        assert missing(database, mirror.settings, tables) == []
        migrate(database, mirror.settings, tables)
        assert missing(database, mirror.settings, tables) == []
        database.execute("DROP VIEW stripe_current.prices")
        database.execute("DROP TABLE stripe.sync_checks")
        again = missing(database, mirror.settings, tables)
        assert "sync_checks" in again[0]
        assert "stripe_current" in again[1]
        if database.dialect == "postgres":
            database.execute(
                "INSERT INTO stripe.prices (id, _account_id, product) SELECT 'p' || i, 'a', repeat('x', 500)"
                " FROM generate_series(1, 10000) AS s (i)"
            )
            assert any("CREATE INDEX CONCURRENTLY" in each for each in missing(database, mirror.settings, tables))
    finally:
        database.close()


def test_two_migrations_at_once_both_end_well(postgres_url: str) -> None:
    settings, tables = settings_for(postgres_url), list(TABLES)[:30]

    def migrate() -> list[str]:
        database = open_database(settings)
        try:
            return create_tables(database, "stripe", STRIPE, tables)
        finally:
            database.close()

    with ThreadPoolExecutor(2) as threads:
        both = [each.result() for each in [threads.submit(migrate) for _ in range(2)]]
    assert sorted(both[0] + both[1]) == sorted(tables)
    assert set(tables) <= Database("postgres", postgres_url).tables("stripe")


def test_one_role_migrates_one_writes_one_reads(postgres_url: str, root: Path, mirrored: Callable[..., Mirror]) -> None:
    """The statements are those of docs/postgres.md."""
    page = (root / "docs/postgres.md").read_text("utf-8")
    section = page.partition("### One role migrates, one writes, one reads")[2]
    before, after = section.split("```sql\n")[1].split("```")[0], section.split("```sql\n")[2].split("```")[0]
    mirror = Mirror(mirrored().sim, Database("postgres", postgres_url))
    suffix = psycopg.conninfo.conninfo_to_dict(postgres_url)["dbname"][-8:]
    roles = {name: f"{name}_{suffix}" for name in ("stripe_owner", "stripe_writer", "stripe_analyst")}

    def sql(text: str) -> None:
        for name, own in roles.items():
            text = text.replace(name, own)
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute(text.replace("login password '…'", "login").encode())

    def command(role: str, *words: str) -> subprocess.CompletedProcess[str]:
        address = psycopg.conninfo.make_conninfo(postgres_url, user=roles[role])
        env = {**mirror.environment, "DATABASE_URL": address}
        return processes.run("-m", "stripe_elt", *words, cwd=root, env=env)

    try:
        with psycopg.connect(postgres_url) as connection:
            name = connection.info.dbname
        sql(before.replace("warehouse", name))
        assert command("stripe_writer", "full", "--resources", "customers").returncode == 2
        assert command("stripe_owner", "migrate").returncode == 0
        sql(after)
        loaded = command("stripe_writer", "full", "--resources", "customers")
        assert loaded.returncode == 0, loaded.stderr
        assert command("stripe_writer", "migrate", "--check").returncode == 0
        reader = psycopg.conninfo.make_conninfo(postgres_url, user=roles["stripe_analyst"])
        with psycopg.connect(reader, autocommit=True) as connection:
            assert connection.execute("select count(*) from stripe.customers").fetchone() != (0,)
            assert connection.execute("select count(*) from stripe_current.customers").fetchone() != (0,)
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute("delete from stripe.customers")
    finally:
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            for own in roles.values():
                connection.execute(f'drop owned by "{own}" cascade'.encode())
                connection.execute(f'drop role "{own}"'.encode())


def test_a_schema_that_a_newer_dlt_has_written_is_refused_in_one_paragraph(mirror: Mirror, run: Run) -> None:
    mirror.begin("customers", "events", synced=True)
    mirror.destination.query(
        """update stripe._dlt_version set schema = replace(schema, '"engine_version":11', '"engine_version":99')"""
    )
    for words in (["full"], ["sync"], ["migrate"], ["object", mirror.rows("customers")[0]["id"]]):
        done = run(*words)
        assert done.returncode == 2, words
        assert "were created or changed by a newer dlt" in " ".join(done.stderr.split())
        assert "Traceback" not in done.stderr


def test_the_format_of_stored_schemas_is_that_of_the_installed_dlt() -> None:
    assert ENGINE_VERSION == SCHEMA_ENGINE_VERSION


def test_a_read_only_database_is_named_by_every_command(
    postgres_url: str, root: Path, mirrored: Callable[..., Mirror]
) -> None:
    mirror = Mirror(mirrored().sim, Database("postgres", postgres_url))
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(f'alter database "{name}" set default_transaction_read_only = on'.encode())
    for words in (["full", "--resources", "customers"], ["migrate"], ["sync"]):
        done = processes.run("-m", "stripe_elt", *words, cwd=root, env=mirror.environment)
        assert done.returncode == 2, words
        assert "The database is read-only" in " ".join(done.stderr.split())
    doctor = processes.run("-m", "stripe_elt", "doctor", "--no-permissions", cwd=root, env=mirror.environment)
    assert doctor.returncode == 1
    assert "problem  database: it is read-only" in doctor.stdout
