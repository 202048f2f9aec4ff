"""Customers' data is in the tables and the ledger, and nowhere else: no staging table, no file, no log line."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipelines.loading.working_folders import PREFIX, YOUNG
from pipelines.warehouse.postgres_database import PostgresDatabase
from sources.stripe_api.catalogue import TABLES
from tests.pipelines.mirror import Mirror
from tests.pipelines.warehouse.test_rights import received
from tests.webhook_sink.conftest import event

on_postgres = pytest.mark.parametrize("destination", ["postgres"], indirect=True)
TABLES_OF_ALL = (
    "select table_schema, table_name from information_schema.tables"
    " where table_type = 'BASE TABLE' and table_schema not in ('information_schema', 'pg_catalog')"
)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folders for temporary files, of the user and of dlt, of this test alone: all are below the one returned."""
    folder = tmp_path / "temporary"
    (folder / "home").mkdir(parents=True)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    for name, value in {"TMPDIR": folder, "HOME": folder / "home", "DLT_DATA_DIR": folder / "home/dlt"}.items():
        monkeypatch.setenv(name, str(value))
    return folder


def places(mirror: Mirror, temporary: Path) -> set[str]:
    """The tables and files that hold the e-mail address of a customer."""
    emails = {obj["email"] for obj in mirror.sim.account.objects("customers")} - {None}
    assert len(emails) > 5
    pattern = "|".join(sorted(email.replace(".", "[.]").replace("+", "[+]") for email in emails))
    matches = "cast(t as text) ~ ?" if mirror.destination.kind == "postgres" else "regexp_matches(cast(t as text), ?)"
    with mirror.destination.asked() as query:
        found = {
            f"{schema}.{table}"
            for schema, table in query(TABLES_OF_ALL)
            if query(f'select count(*) from "{schema}"."{table}" as t where {matches}', [pattern]) != [(0,)]
        }
    files = [path for path in temporary.rglob("*") if path.is_file()]
    found |= {str(path) for path in files if any(email.encode() in path.read_bytes() for email in emails)}
    return found


@contextmanager
def left_by_killed_runs(mirror: Mirror, temporary: Path) -> Iterator[None]:
    """Two killed runs have left what they had staged and written; it is there before, and the block ends it."""
    for scope in ("", "_object"):
        mirror.destination.query(f"create schema if not exists stripe_staging{scope}")
        mirror.destination.query(f"create table stripe_staging{scope}.customers as select * from stripe.customers")
    folder = temporary / f"{PREFIX}1"
    folder.mkdir()
    (folder / "customers.csv").write_text(mirror.rows("customers")[0]["email"])
    os.utime(folder, (0, folder.stat().st_mtime - 2 * YOUNG))
    before = places(mirror, temporary)
    assert {"stripe_staging.customers", "stripe_staging_object.customers", str(folder / "customers.csv")} <= before
    yield


def test_no_copy_is_left_anywhere(mirror: Mirror, temporary: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    mirror.load("customers", "charges", "invoices")
    account, expected = mirror.sim.account, {f"stripe.{name}" for name in TABLES}
    assert "stripe.customers" in places(mirror, temporary) <= expected
    assert mirror.destination.tables("stripe_staging") == set()

    first = account.objects("customers")[0]["id"]
    account.update("customers", first, {"name": "Changed"})
    mirror.pass_time(120)
    assert mirror.sync().rows > 0
    mirror.destination.query("update stripe.customers set name = 'wrong'")
    assert mirror.check("customers").findings
    mirror.read(first)
    if mirror.destination.kind == "postgres":
        shown = dict(next(obj for obj in account.objects("customers") if obj["id"] == first))
        changed = event("customer.updated", shown, created=int(mirror.sim.clock.time()) + 1)
        assert received(mirror.destination.address, mirror.sim, changed) == ["committed"]
        expected |= {"stripe.stripe_webhook_events"}
    assert places(mirror, temporary) <= expected

    with left_by_killed_runs(mirror, temporary):
        mirror.sync()
    assert places(mirror, temporary) <= expected
    assert not any(obj["email"] in caplog.text for obj in account.objects("customers") if obj["email"])


def test_a_run_that_fails_leaves_none_either(mirror: Mirror) -> None:
    mirror.begin("customers", "charges")

    def fail_after_a_package() -> None:
        with mirror.session("stripe_sync") as session:
            row = {"id": "cus_1", "object": "customer", "_account_id": session.account_id, "_source": "list"}
            session.store(session.tables_of({"customers": [{**row, "_as_of": int(mirror.sim.clock.time())}]}))
            # gone with the package's transaction; a DuckDB file cannot be opened twice
            assert mirror.destination.kind == "duckdb" or mirror.destination.tables("stripe_staging") == set()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_after_a_package()
    assert mirror.destination.tables("stripe_staging") == set()


@on_postgres
def test_what_a_session_of_another_scope_has_staged_stays_while_it_lives(mirror: Mirror) -> None:
    mirror.begin("customers", "charges")
    query = mirror.destination.query
    query("create schema stripe_staging_object")
    query("create table stripe_staging_object.customers (id text)")
    query("create schema stripe_stagingx")  # of another dataset
    query("create table stripe_stagingx.customers (id text)")
    other = PostgresDatabase(mirror.destination.address)
    other.lock_run("stripe/object")
    mirror.sync()
    assert mirror.destination.tables("stripe_staging_object") == {"customers"}
    other.close()
    mirror.sync()
    assert mirror.destination.tables("stripe_staging_object") == set()
    assert mirror.destination.tables("stripe_stagingx") == {"customers"}


@on_postgres
def test_tables_of_another_owner_are_emptied(mirror: Mirror) -> None:
    query = mirror.destination.query
    query("create role loader_of_others login")
    try:
        query("create schema stripe authorization loader_of_others")
        query("create schema stripe_current authorization loader_of_others")
        query("create schema stripe_staging")
        query("create table stripe_staging.tax_ids (id text)")
        query("insert into stripe_staging.tax_ids values ('a customer')")
        query("grant usage, create on schema stripe_staging to loader_of_others")
        query("grant select, insert, truncate on all tables in schema stripe_staging to loader_of_others")
        mirror.changes["database_url"] = mirror.destination.address.replace("://postgres", "://loader_of_others")
        mirror.load("products")
        assert query("select count(*) from stripe_staging.tax_ids") == [(0,)]
        assert mirror.destination.tables("stripe_staging") == {"tax_ids"}
    finally:
        query("drop owned by loader_of_others cascade")
        query("drop role loader_of_others")
