"""The live views: one for each table, live rows and no others, and never behind their table."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from docs.sessions import ROOT
from pipelines.loading.session import open_database
from pipelines.models.live import LiveViews
from pipelines.models.views import definitions, live_views, read_definitions
from sources.columns.columns import all_columns
from sources.stripe_api.catalogue import CATALOGUE, TABLES
from tests.databases import Database
from tests.pipelines.mirror import Mirror
from tests.pipelines.warehouse.test_rights import received
from tests.webhook_sink.conftest import event

NAMES = ("customers", "products", "prices", "subscriptions", "invoices", "invoice_payments", "charges")
COLUMNS = {name: all_columns(CATALOGUE, name) for name in TABLES}

on_postgres = pytest.mark.parametrize("destination", ["postgres"], indirect=True)


def kept(mirror: Mirror) -> None:
    """What each session does at its beginning."""
    with mirror.session("stripe_object", scope="object"):
        pass


def columns_of(database: Database, view: str) -> list[str]:
    found = database.query(
        "select column_name from information_schema.columns where table_schema = 'stripe_current' and table_name = ?"
        " order by ordinal_position",
        [view],
    )
    return [name for (name,) in found]


# --- what they show ---------------------------------------------------------------------------------------------------


def test_a_view_of_each_table_shows_its_live_rows_and_none_of_our_columns(mirror: Mirror) -> None:
    mirror.begin(*NAMES)
    account = mirror.sim.account
    gone = account.objects("customers")[0]["id"]
    account.delete("customers", gone)
    sold = account.rows("subscription_items")[0]
    other = next(obj for obj in account.objects("prices") if obj["id"] != sold.object["price"]["id"])
    new = mirror.sim.make("subscription_items", subscription=sold.parent, price=other, quantity=2)
    account.update("subscriptions", str(sold.parent), {"items": [new]})
    mirror.pass_time(120)
    mirror.sync()
    made = mirror.destination.tables("stripe_current")
    assert made == mirror.destination.tables("stripe") & TABLES.keys()
    with mirror.destination.asked() as query:
        for name in made:
            rows = query(f'select count(*) from stripe."{name}" where _deleted_at is null')
            assert query(f'select count(*) from stripe_current."{name}"') == rows, name
        assert query("select count(*) from stripe_current.customers where id = ?", [gone]) == [(0,)]
        items = query("select price_id from stripe_current.subscription_items where subscription = ?", [sold.parent])
        assert items == [(other["id"],)]
    for name in made:
        ours = {each for each in columns_of(mirror.destination, name) if each.startswith("_")}
        assert ours == {"_account_id"}, name


def moment(second: int | None) -> datetime | None:
    return None if second is None else datetime.fromtimestamp(second, UTC)


def joined(object: Mapping[str, Any], table: str, items: Mapping[str, list[Any]]) -> dict[str, Any]:
    """The columns that only the view has, for an object of the account."""
    of = object
    if table == "subscriptions":
        ends = [item["current_period_end"] for item in items[of["id"]]]
        return {"current_period_end": moment(min(ends))}
    if table == "subscription_items":
        every = of["price"]["recurring"]
        return {
            "price_id": of["price"]["id"],
            "product_id": of["price"]["product"],
            "interval": every["interval"],
            "interval_count": every["interval_count"],
        }
    if table == "prices":
        every = of["recurring"] or {}
        return {name: every.get(name) for name in ("interval", "interval_count", "usage_type")}
    if table == "invoices":
        details = (of["parent"] or {}).get("subscription_details") or {}
        at = {name: moment(of["status_transitions"][name]) for name in ("paid_at", "finalized_at", "voided_at")}
        return {"subscription_id": details.get("subscription"), **at}
    if table == "invoice_line_items":
        priced, period = (of["pricing"] or {}).get("price_details") or {}, of["period"]
        return {
            "invoice_id": of["invoice"],
            "price_id": priced.get("price"),
            "product_id": priced.get("product"),
            "period_start": moment(period["start"]),
            "period_end": moment(period["end"]),
        }
    paid = of["payment"]
    return {"charge_id": paid.get("charge"), "payment_intent_id": paid.get("payment_intent")}


def test_columns_to_join_by_are_what_the_account_says(mirror: Mirror) -> None:
    mirror.begin(*NAMES)
    account = mirror.sim.account
    items: dict[str, list[Any]] = {}
    for row in account.rows("subscription_items"):
        items.setdefault(str(row.parent), []).append(row.object)
    with mirror.destination.asked() as query:
        for table in ("subscriptions", "subscription_items", "prices", "invoices", "invoice_line_items"):
            right = {row.object["id"]: joined(row.object, table, items) for row in account.rows(table)}
            names = next(iter(right.values()))
            rows = query(f"select id, {', '.join(names)} from stripe_current.{table}")
            assert {id: dict(zip(names, values, strict=True)) for id, *values in rows} == right
            for name in names.keys() - {"voided_at", "interval", "interval_count", "usage_type"}:
                assert any(each[name] is not None for each in right.values()), (table, name)
        right = {obj["id"]: joined(obj, "invoice_payments", items) for obj in account.objects("invoice_payments")}
        rows = query("select id, charge_id, payment_intent_id from stripe_current.invoice_payments")
        assert {id: {"charge_id": each, "payment_intent_id": two} for id, each, two in rows} == right


COMMENTS = {
    "postgres": "select n.nspname || '.' || c.relname, coalesce(a.attname, ''), d.description from pg_description d"
    " join pg_class c on c.oid = d.objoid and d.classoid = 'pg_class'::regclass"
    " join pg_namespace n on n.oid = c.relnamespace"
    " left join pg_attribute a on a.attrelid = c.oid and a.attnum = d.objsubid and d.objsubid > 0",
    "duckdb": "select schema_name || '.' || table_name, column_name, comment from duckdb_columns()"
    " where comment is not null union all select schema_name || '.' || table_name, '', comment from duckdb_tables()",
}


def test_tables_and_columns_have_the_comments_that_the_reference_shows(mirror: Mirror) -> None:
    mirror.begin(*NAMES)
    page = (ROOT / "docs/reference/tables.md").read_text("utf-8")
    comments: dict[str, dict[str, str]] = {}
    for name, column, text in mirror.destination.query(COMMENTS[mirror.destination.kind]):
        comments.setdefault(name, {})[column] = text
    for name in ("customers", "invoices", "subscription_items"):
        told = comments[f"stripe.{name}"]
        assert told.keys() == {"", *COLUMNS[name]}
        section = page.partition(f"\n## {name}\n\n")[2].partition("\n## ")[0]
        assert section.startswith(told[""])
        for column in CATALOGUE.fields(name):
            assert f"| `{column}` | {CATALOGUE.fields(name)[column]} | {told[column]} |" in section.replace("\\|", "|")
    assert comments["stripe_current.invoices"]["subscription_id"] == "The subscription that the invoice bills."


# --- they follow their tables -----------------------------------------------------------------------------------------


def test_a_new_column_reaches_the_view_after_the_columns_that_it_had(mirror: Mirror) -> None:
    mirror.begin("customers", "charges")
    before = columns_of(mirror.destination, "customers")
    made = mirror.sim.account.create("customers", mirror.sim.make("customers", brand_new="x", _odd="y"))
    mirror.load("customers")
    assert mirror.destination.query("select brand_new from stripe_current.customers where id = ?", [made["id"]]) == [
        ("x",)
    ]
    after = columns_of(mirror.destination, "customers")
    assert set(after) - set(before) == {"brand_new", "_other_fields"}
    if mirror.destination.kind == "postgres":  # what is built on it names columns by their places
        assert after[: len(before)] == before


@on_postgres
def test_a_new_column_of_an_event_reaches_the_view_and_rights_and_views_on_it_stay(mirror: Mirror) -> None:
    mirror.begin("customers", "charges")
    query = mirror.destination.query
    query("create view names as select id, name from stripe_current.customers")
    query("grant select on stripe_current.customers to public")
    new = event("customer.created", {"id": "cus_1", "object": "customer", "name": "Ada", "brand_new_field": "x"})
    assert received(mirror.destination.address, mirror.sim, new) == ["committed"]
    assert query("select brand_new_field from stripe_current.customers where id = 'cus_1'") == [("x",)]
    assert query("select name from names where id = 'cus_1'") == [("Ada",)]
    told = "select grantee::text from information_schema.role_table_grants where table_schema = 'stripe_current'"
    assert ("PUBLIC",) in query(told)


def test_what_is_missing_or_outdated_is_made_again_and_nothing_else(mirror: Mirror) -> None:
    mirror.begin("customers", "charges")
    query = mirror.destination.query
    comments = {
        "postgres": "select relname, obj_description(oid) from pg_class where relkind = 'v'",
        "duckdb": "select view_name, comment from duckdb_views()",
    }[mirror.destination.kind]
    for name in ("customers", "tax_ids", "charges"):
        query(f"drop view stripe_current.{name}")
    for name, comment in (("tax_ids", "another definition"), ("charges", "")):
        query(f"create view stripe_current.{name} as select 1 as one")
        query(f"comment on view stripe_current.{name} is '{comment or live_comment(name)}'")
    kept(mirror)
    assert {name: comment for name, comment in query(comments) if name in COLUMNS} == {
        name: live_comment(name) for name in mirror.destination.tables("stripe") & TABLES.keys()
    }
    assert "name" in columns_of(mirror.destination, "customers")
    assert "value" in columns_of(mirror.destination, "tax_ids")
    assert columns_of(mirror.destination, "charges") == ["one"]  # by its comment it is up to date


def live_comment(name: str) -> str:
    return live_views("stripe", "stripe", CATALOGUE, COLUMNS)[name].comment


def test_what_cannot_be_made_is_said_once_and_stops_nothing(mirror: Mirror, caplog: pytest.LogCaptureFixture) -> None:
    mirror.destination.query("create schema stripe_current")
    mirror.destination.query("create table stripe_current.customers (a_table_of_somebody_elses int)")
    mirror.load("customers", "charges")
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(said) == 1
    assert said[0].startswith("The view stripe_current.customers was not created or updated")
    assert mirror.destination.value("select count(*) from stripe_current.charges") > 0


# --- Postgres alone ---------------------------------------------------------------------------------------------------


@on_postgres
def test_a_role_that_may_not_create_the_schema_loads_all_the_same(
    mirror: Mirror, caplog: pytest.LogCaptureFixture
) -> None:
    query = mirror.destination.query
    query("create role loader_without_views login")
    try:
        query("create schema stripe authorization loader_without_views")
        query("create schema stripe_staging authorization loader_without_views")
        owner = mirror.destination
        mirror.destination = Database(
            "postgres", psycopg.conninfo.make_conninfo(owner.address, user="loader_without_views", password="…")
        )
        mirror.load("customers")
        said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
        assert said == [
            "The views in the schema stripe_current were not created, because the role loader_without_views may not"
            " create them. The tables are not affected. Run this statement as the owner of the database: CREATE SCHEMA"
            ' "stripe_current" AUTHORIZATION "loader_without_views";'
        ]
        owner.query(said[0].partition("database: ")[2])
        mirror.load("customers")
        assert mirror.destination.value("select count(*) from stripe_current.customers") > 0
    finally:
        query("drop owned by loader_without_views cascade")
        query("drop role loader_without_views")


@on_postgres
def test_a_reader_who_holds_a_view_delays_a_run_for_a_second_at_most(mirror: Mirror) -> None:
    mirror.begin("customers", "charges")
    mirror.destination.query("comment on view stripe_current.customers is 'another definition'")
    comment = "select obj_description('stripe_current.customers'::regclass)"
    with psycopg.connect(mirror.destination.address) as reader:
        reader.execute("select count(*) from stripe_current.customers")
        kept(mirror)
        assert mirror.destination.value(comment) == "another definition"
    kept(mirror)
    assert mirror.destination.value(comment).startswith("Live rows of stripe.customers.")


@on_postgres
@pytest.mark.parametrize("through", ["directly", "a pooler"])
def test_two_processes_make_them_at_once(mirror: Mirror, through: str, request: pytest.FixtureRequest) -> None:
    mirror.begin("customers", "charges")
    mirror.destination.query("drop schema stripe_current cascade")
    if through == "a pooler":
        mirror.destination = Database("postgres", request.getfixturevalue("pooled")(pool_size=2))
    both, failures = threading.Barrier(2), list[BaseException]()

    def make() -> None:
        database = open_database(mirror.settings)
        try:
            both.wait(30)
            LiveViews("stripe", "stripe", CATALOGUE).keep(database)
        except BaseException as error:
            failures.append(error)
        finally:
            database.close()

    threads = [threading.Thread(target=make) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert mirror.destination.tables("stripe_current") == mirror.destination.tables("stripe") & TABLES.keys()


# --- the definitions --------------------------------------------------------------------------------------------------


def test_each_definition_belongs_to_a_table_whose_columns_it_can_have() -> None:
    made = live_views("stripe", "stripe", CATALOGUE, COLUMNS)
    for table, columns in definitions("stripe").columns.items():
        assert table in TABLES
        assert [column.name for column in columns if column.name not in made[table].columns] == []
        assert [column.name for column in columns if not column.about.endswith(".") or column.about.count(". ")] == []


def test_a_child_that_does_not_name_its_parent_gets_a_column_that_does() -> None:
    made = live_views("stripe", "stripe", CATALOGUE, COLUMNS)
    assert made["quote_line_items"].columns["quote_id"] == "_parent_id"
    assert made["checkout_session_line_items"].columns["checkout_session_id"] == "_parent_id"
    assert "subscription_id" not in made["subscription_items"].columns


def test_a_column_waits_for_what_it_is_made_of() -> None:
    few = {"subscriptions": COLUMNS["subscriptions"], "invoices": COLUMNS["invoices"].keys() - {"parent"}}
    made = live_views("stripe", "stripe", CATALOGUE, few)
    assert "current_period_end" not in made["subscriptions"].columns
    assert "subscription_id" not in made["invoices"].columns
    assert "paid_at" in made["invoices"].columns


def test_an_older_versions_field_fills_the_column_where_the_table_has_it() -> None:
    told = {**COLUMNS, "invoices": {**COLUMNS["invoices"], "subscription": "text"}}
    columns = live_views("stripe", "stripe", CATALOGUE, told)["invoices"].columns
    assert columns["subscription_id"].endswith('"subscription")')
    old = {**COLUMNS, "subscriptions": {**COLUMNS["subscriptions"], "current_period_end": "bigint"}}
    assert (
        '"current_period_end"'
        in live_views("stripe", "stripe", CATALOGUE, old)["subscriptions"].columns["current_period_end"]
    )


def test_a_view_of_its_own_comes_after_what_it_reads_and_another_dataset_has_its_own(tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_text("-- All of b.\nselect id from stripe_current.b;\n")
    (tmp_path / "b.sql").write_text("-- Ids.\nwith c as (select id from stripe.charges) select id from c\n")
    (tmp_path / "z.sql").write_text("-- Never.\nselect id from stripe_current.not_there\n")
    said = read_definitions(tmp_path)
    made = live_views("other", "stripe", CATALOGUE, {"charges": COLUMNS["charges"]}, said)
    assert list(made) == ["charges", "b", "a"]
    assert made["a"].select() == 'select id from "other_current".b'
    assert made["b"].select() == 'with c as (select id from "other".charges) select id from c'
    assert made["b"].about == "Ids."


def test_every_step_into_json_but_the_last_is_in_brackets() -> None:
    """DuckDB 2.0.0 stores `a -> 'b' ->> 'c'` of a view in the order `a -> ('b' ->> 'c')`, which 2.0.1 cannot read."""
    files = [*(ROOT / "pipelines/models").rglob("*.sql"), ROOT / "pipelines/models/metrics/source_tables.py"]
    found = {path.name: re.findall(r"[\w.}]+ -> '[^']*' ->.*", path.read_text("utf-8")) for path in files}
    assert len(files) > 20
    assert {name: paths for name, paths in found.items() if paths} == {}
