"""Indexes on references and moments: which there are, that queries use them, and that nothing is stopped by them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from pipelines.loading.session import open_database
from pipelines.models.indexes import LEAST_BYTES, keep_indexes, wanted_indexes
from pipelines.state import overview, runs_of
from pipelines.warehouse.database import Database as Opened
from pipelines.warehouse.database import stored_columns
from sources.columns.columns import OWN_COLUMNS, all_columns
from sources.stripe_api.catalogue import CATALOGUE, RESOURCES, TABLES
from tests.databases import Database
from tests.pipelines.mirror import Mirror

on_postgres = pytest.mark.parametrize("destination", ["postgres"], indirect=True)
NAMES = ("customers", "subscriptions", "invoices")
VALID = (
    "select relname from pg_index x join pg_class i on i.oid = x.indexrelid"
    " where relname ~ '_[0-9a-f]{6}$' and indisvalid"
)


@contextmanager
def opened(mirror: Mirror) -> Iterator[Opened]:
    database = open_database(mirror.settings)
    try:
        yield database
    finally:
        database.close()


def made(mirror: Mirror, patience: float = 30.0) -> int:
    """How many are made of tables of any size."""
    with opened(mirror) as database:
        tables = {
            name: {*columns, *OWN_COLUMNS} for name, columns in stored_columns(database, "stripe", "stripe").items()
        }
        return keep_indexes(database, "stripe", "stripe", CATALOGUE, tables, least_bytes=0, patience=patience)


def plan(database: Database, query: str) -> str:
    with psycopg.connect(database.address) as connection:
        connection.execute("set enable_seqscan = off")
        return "\n".join(line for (line,) in connection.execute(f"explain {query}".encode()))


def test_each_reference_and_each_list_has_one_at_most() -> None:
    tables = {name: all_columns(CATALOGUE, name) for name in TABLES}
    wanted = list(wanted_indexes("stripe", "stripe", CATALOGUE, tables))
    names = [each.name for each in wanted]
    assert len(set(names)) == len(names)
    assert max(map(len, names)) <= 63
    columns = {(each.table, each.column) for each in wanted}
    for name, table in TABLES.items():
        assert {(name, reference) for reference in CATALOGUE.references(name) if reference not in table.key} <= columns
    for resource in RESOURCES.values():
        if resource.created_field in tables[resource.table]:
            assert (resource.table, resource.created_field) in columns


@on_postgres
def test_they_are_made_once_and_queries_of_the_views_use_them(mirror: Mirror) -> None:
    mirror.begin(*NAMES)
    assert made(mirror) > 20
    names = {name for (name,) in mirror.destination.query(VALID)}
    assert made(mirror) == 0
    for where in ("customer = 'a'", "subscription_id = 'a'", "created > now()"):
        text = plan(mirror.destination, f"select * from stripe_current.invoices where {where}")
        assert any(name in text for name in names), text
    joined = "select * from stripe_current.customers as c join stripe_current.invoices as i on i.customer = c.id"
    assert "invoices_customer_" in plan(mirror.destination, f"{joined} where c.id = 'a'")
    of_month = "select sum(requests) from stripe.sync_runs where started_at >= now()"
    for query in (overview("stripe")["runs"], of_month):  # of the status page
        assert "sync_runs_started_at_" in plan(mirror.destination, query)
    begun = plan(mirror.destination, runs_of("stripe").replace("%s", "'a'"))  # of the management API
    assert "sync_runs_run_id_" in begun
    assert "Seq Scan" not in begun


@on_postgres
@pytest.mark.parametrize("setting", ["default", "none"])
def test_a_table_gets_them_when_it_has_grown_unless_the_setting_says_none(mirror: Mirror, setting: str) -> None:
    mirror.begin(*NAMES)
    assert mirror.destination.query(VALID) == []
    mirror.destination.query(
        "insert into stripe.invoices (id, _account_id, object, _as_of, description)"
        " select 'in_' || n, 'acct_x', 'invoice', now(), repeat('x', 1000) from generate_series(1, ?) as n",
        [LEAST_BYTES // 1000],
    )
    mirror.changes["indexes"] = setting
    mirror.sync()
    tables = {name.partition("_")[0] for (name,) in mirror.destination.query(VALID)}
    assert tables == ({"invoices"} if setting == "default" else set())


@on_postgres
def test_one_that_was_left_unfinished_is_made_again(mirror: Mirror, caplog: pytest.LogCaptureFixture) -> None:
    mirror.begin(*NAMES)
    unfinished = "select count(*) from pg_index where not indisvalid"
    with psycopg.connect(mirror.destination.address) as writer:
        writer.execute("lock table stripe.customers in row exclusive mode")
        assert made(mirror, patience=0.1) == 0
        assert mirror.destination.value(unfinished) == 1
    assert "a transaction that uses the table was open for too long" in caplog.text
    assert made(mirror) > 20
    assert mirror.destination.value(unfinished) == 0


@on_postgres
def test_behind_a_pooler_they_are_made_too(mirror: Mirror, pooled: Callable[..., str]) -> None:
    mirror.begin(*NAMES)
    mirror.destination = Database("postgres", pooled(pool_size=2))
    assert made(mirror) > 20


@on_postgres
def test_a_role_makes_those_of_its_own_tables_and_is_told_of_the_others(
    mirror: Mirror, caplog: pytest.LogCaptureFixture
) -> None:
    mirror.begin(*NAMES)
    query, owner = mirror.destination.query, mirror.destination
    query("create role loader_without_tables login")
    try:
        query("grant usage, create on schema stripe to loader_without_tables")
        query("grant select on all tables in schema stripe to loader_without_tables")
        query("alter table stripe.sync_runs owner to loader_without_tables")
        mirror.destination = Database("postgres", make_conninfo(owner.address, user="loader_without_tables"))
        assert made(mirror) == 2
        (said,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
        assert "such as customers, were not created, because the role does not own these tables" in said
    finally:
        query("alter table stripe.sync_runs owner to current_user")
        query("drop owned by loader_without_tables cascade")
        query("drop role loader_without_tables")


@pytest.mark.parametrize("destination", ["duckdb"], indirect=True)
def test_duckdb_has_none(mirror: Mirror) -> None:
    mirror.begin("customers", "charges")
    assert made(mirror) == 0
