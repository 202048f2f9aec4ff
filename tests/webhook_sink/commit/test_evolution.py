"""Fields that nobody has seen become columns, through the stored schema that the batch path shares."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
import psycopg
import pytest

from pipelines.loading.loader import Loader
from pipelines.loading.tables import missing_sql
from pipelines.warehouse.database import stored_columns
from pipelines.warehouse.postgres_database import PostgresDatabase
from sources.columns.arrow import arrow_tables
from sources.columns.columns import MORE_COLUMNS, Columns
from sources.columns.contract import contract_of
from sources.rows import Stamp
from sources.stripe_api.catalogue import CATALOGUE
from sources.stripe_api.objects.rows import explode
from sources.stripe_api.provider import STRIPE
from tests.webhook_sink.conftest import ACCOUNT, NOW, Served, Stored, deliver, event
from webhook_sink.commit.schema import SchemaState
from webhook_sink.sink import Sink

Serve = Callable[..., Served]


def customer(**fields: Any) -> dict[str, Any]:
    return {"id": "cus_1", "object": "customer", **fields}


def load(url: str, obj: dict[str, Any], as_of: int, columns: Columns | None = None) -> None:
    """One object by the batch path: its own columns, its own load."""
    database = PostgresDatabase(url)
    try:
        columns = columns or Columns(CATALOGUE, stored_columns(database, "stripe", "stripe"))
        rows = explode("customers", [obj], Stamp(ACCOUNT, as_of, "list"))
        tables = arrow_tables(rows, columns)
        Loader(database, "stripe", columns, "stripe").load(tables)
    finally:
        database.close()


def columns_of(stored: Stored, table: str) -> dict[str, str]:
    where = "table_schema = 'stripe' and table_name = %s"
    return dict(stored.query(f"select column_name, data_type from information_schema.columns where {where}", table))


@pytest.mark.parametrize(
    ("value", "type", "back"),
    [
        (True, "boolean", True),
        (7, "bigint", 7),
        (2.5, "double precision", 2.5),
        ("text", "character varying", "text"),
        ({"a": [1, None]}, "jsonb", {"a": [1, None]}),
        ([], "jsonb", []),
    ],
)
def test_unseen_field_becomes_a_column_of_its_type(
    serve: Serve, stored: Stored, value: Any, type: str, back: Any
) -> None:
    assert serve().send(event("customer.updated", customer(invented_lately=value))) == [200]
    assert columns_of(stored, "customers")["invented_lately"] == type
    assert stored.value("select invented_lately from stripe.customers") == back
    database = PostgresDatabase(stored.url)
    assert "invented_lately" in stored_columns(database, "stripe", "stripe")["customers"]
    database.close()


def test_table_that_nobody_has_loaded_is_created_with_its_key(serve: Serve, stored: Stored) -> None:
    assert serve().send(event("climate.order.created", {"id": "climorder_1", "object": "climate.order"})) == [200]
    assert stored.value("select id from stripe.climate_orders") == "climorder_1"
    where = "constraint_type = 'PRIMARY KEY' and table_name = 'climate_orders'"
    assert stored.value(f"select count(*) from information_schema.table_constraints where {where}") == 1


def test_value_of_another_type_goes_to_a_variant_column_and_back(serve: Serve, stored: Stored) -> None:
    served = serve()
    assert served.send(event("customer.updated", customer(balance="a lot"))) == [200]
    assert stored.query("select balance, balance__v_text from stripe.customers") == [(None, "a lot")]
    assert served.send(event("customer.updated", customer(balance=5), id="evt_2", created=NOW + 1)) == [200]
    assert stored.query("select balance, balance__v_text from stripe.customers") == [(5, None)]


def test_field_that_is_gone_becomes_null(serve: Serve, stored: Stored) -> None:
    served = serve()
    served.send(event("customer.updated", customer(invented=1, name="a")))
    served.send(event("customer.updated", customer(name="b"), id="evt_2", created=NOW + 1))
    assert stored.query("select name, invented from stripe.customers") == [("b", None)]


def test_batch_load_agrees_with_a_column_that_an_event_added(serve: Serve, stored: Stored) -> None:
    serve().send(event("customer.updated", customer(invented="by an event")))
    load(stored.url, customer(invented="by a list", other_field=1), NOW + 1)
    assert stored.query("select invented, other_field, _source from stripe.customers") == [("by a list", 1, "list")]


def test_column_that_somebody_added_by_hand_is_noted_and_filled(serve: Serve, stored: Stored) -> None:
    """The table lacks nothing, but the sink uses only columns of the stored schema."""
    load(stored.url, customer(), NOW - 10)
    stored.query("alter table stripe.customers add column invented text")
    serve().send(event("customer.updated", customer(invented="x")))
    assert stored.query("select invented from stripe.customers") == [("x",)]


def test_tables_that_somebody_made_by_hand_are_noted_and_filled(serve: Serve, stored: Stored) -> None:
    database = PostgresDatabase(stored.url)
    try:
        database.execute_all(["create schema stripe", *missing_sql(database, "stripe", STRIPE, ["customers"])])
    finally:
        database.close()
    serve().send(event("customer.updated", customer(name="x")))
    assert stored.query("select name from stripe.customers") == [("x",)]


def test_few_rows_wait_for_a_column_that_another_writer_is_adding(stored: Stored) -> None:
    """Their newer state does not have the column, so the older state's value in it must be cleared."""
    load(stored.url, customer(invented="old"), NOW - 10)
    stored.query("alter table stripe.customers drop column invented")
    with (
        psycopg.connect(stored.url) as other,
        psycopg.connect(stored.url, autocommit=True) as watching,
        ThreadPoolExecutor(1) as threads,
    ):
        other.execute("alter table stripe.customers add column invented text")
        other.execute("update stripe.customers set invented = 'old'")
        loading = threads.submit(load, stored.url, customer(name="new"), NOW, Columns(CATALOGUE))
        while not watching.execute("select 1 from pg_locks where not granted").fetchone():
            assert not loading.done()
        other.commit()
        loading.result()
    assert stored.query("select name, invented from stripe.customers") == [("new", None)]


def test_running_sink_notices_a_column_that_the_batch_path_added(serve: Serve, stored: Stored) -> None:
    """An event that does not show the new field speaks for it too: the field is null since then."""
    served = serve()
    served.send(event("customer.created", customer(name="first")))
    load(stored.url, customer(name="second", added_by_a_load="x"), NOW + 1)
    served.send(event("customer.updated", customer(name="third"), id="evt_3", created=NOW + 2))
    assert stored.query("select name, added_by_a_load from stripe.customers") == [("third", None)]


def test_type_that_the_batch_path_chose_meanwhile_is_kept(serve: Serve, stored: Stored) -> None:
    served = serve()
    served.send(event("customer.created", customer()))
    load(stored.url, customer(contested=7), NOW + 1)
    assert served.send(event("customer.updated", customer(contested="x"), id="evt_2", created=NOW + 2)) == [200]
    assert stored.query("select contested, contested__v_text from stripe.customers") == [(None, "x")]


def test_events_of_one_batch_that_disagree_on_a_new_field_both_land(
    with_sink: Callable[..., Any], stored: Stored
) -> None:
    async def body(sink: Sink) -> list[str]:
        return await deliver(
            sink,
            event("customer.created", customer(contested=7), id="evt_1"),
            event("customer.created", {"id": "cus_2", "object": "customer", "contested": "x"}, id="evt_2"),
        )

    assert with_sink(body) == ["committed", "committed"]
    rows = stored.query("select id, contested, contested__v_text from stripe.customers order by id")
    assert rows == [("cus_1", 7, None), ("cus_2", None, "x")]


def test_names_that_no_column_can_have_are_kept_beside(serve: Serve, stored: Stored) -> None:
    odd = {"Ärger": 1, "a__b": 2, "_as_of": 3, "x" * 80: 4, "drop table": 5, "%s": 6, '"': 7}
    assert serve().send(event("customer.updated", customer(**odd))) == [200]
    assert stored.value("select _other_fields from stripe.customers") == odd


def test_fields_named_like_columns_of_the_database_are_kept_beside(serve: Serve, stored: Stored) -> None:
    served, system = serve(), {"ctid": 1, "xmin": "a", "xmax": {}, "cmin": 2, "cmax": 3, "tableoid": 4, "rowid": 5}
    assert served.send(event("customer.updated", customer(name="a", **system))) == [200]
    assert stored.query("select name, _other_fields from stripe.customers") == [("a", system)]
    load(stored.url, customer(name="b", **system), NOW + 1)
    assert stored.query("select name, _other_fields from stripe.customers") == [("b", system)]


def test_flood_of_new_fields_fills_a_bounded_number_of_columns(serve: Serve, stored: Stored) -> None:
    served, flood = serve(), {f"flood_{place}": str(place) * 40 for place in range(2_000)}
    assert served.send(event("customer.updated", customer(**flood))) == [200]
    flooded = [name for name in columns_of(stored, "customers") if name.startswith("flood_")]
    assert len(flooded) <= MORE_COLUMNS
    ((beside, *values),) = stored.query(f"select _other_fields, {', '.join(flooded)} from stripe.customers")
    assert beside | dict(zip(flooded, values, strict=True)) == flood
    load(stored.url, customer(flood_0=7, later=1), NOW + 1)
    assert stored.query("select flood_0, flood_0__v_json, _other_fields from stripe.customers") == [
        (None, 7, {"later": 1})
    ]


@pytest.mark.parametrize("levels", [600, 999])
def test_value_that_is_nested_deep_is_stored(serve: Serve, stored: Stored, levels: int) -> None:
    body = orjson.dumps(event("customer.updated", customer(metadata="deep")))
    assert serve().post(body.replace(b'"deep"', b"[" * levels + b"1" + b"]" * levels)).status == 200
    text = stored.value("select metadata::text from stripe.customers")
    assert text == "[" * levels + "1" + "]" * levels


@pytest.mark.parametrize(
    "value", [b"[" * 1_200 + b"1" + b"]" * 1_200, b"7" * 5_000, b"[-1e5000]", b'{"a":' * 3_000 + b"1" + b"}" * 3_000]
)
def test_event_that_cannot_be_parsed_is_kept_as_failed_alone(serve: Serve, stored: Stored, value: bytes) -> None:
    body = orjson.dumps(event("customer.updated", customer(metadata="here", name='a "[{ quoted'))).replace(
        b'"here"', value
    )
    served = serve()
    assert served.send(event("customer.updated", customer(), id="evt_2")) == [200]
    assert [served.post(body).status for _ in range(2)] == [500, 500]
    status, attempts, why = stored.ledger()
    assert (status, attempts) == ("failed", 2)
    assert why.startswith("The event cannot be parsed")
    kept = "select type, object_id, object_type, payload::text from stripe.stripe_webhook_events where id = 'evt_1'"
    assert stored.query(kept) == [("customer.updated", "cus_1", "customer", body.decode())]
    assert stored.value("select count(*) from stripe.customers") == 1
    assert served.post(body[:-1]).status == 400
    assert served.post(body[:-1] + b",NaN}").status == 400


def test_event_whose_key_no_index_holds_is_kept_as_failed_alone(serve: Serve, stored: Stored) -> None:
    served = serve()
    long, other = customer(), customer()
    long["id"], other["id"] = "k" * 5_000, "cus_2"
    assert served.send(event("customer.updated", long), event("customer.updated", other, id="evt_2")) == [500, 200]
    assert stored.ledger()[0] == "failed"
    assert stored.query("select id from stripe.customers") == [("cus_2",)]


def test_empty_database_is_given_what_the_sink_needs(serve: Serve, stored: Stored) -> None:
    served = serve()
    assert served.get("/ready").status == 200
    names = {
        name
        for (name,) in stored.query("select table_name from information_schema.tables where table_schema = 'stripe'")
    }
    assert {"stripe_webhook_events", "_dlt_version"} <= names


def test_race_for_one_table_does_not_refuse_what_was_to_be_made_with_it(postgres_url: str, stored: Stored) -> None:
    """Another session makes one of two tables; what that undoes of the other is made in a second attempt."""
    needed = {"customers": {"id", "name"}, "products": {"id"}}
    blocked = "select 1 from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"

    async def main() -> dict[str, bool]:
        other, state = (SchemaState(postgres_url, name, STRIPE, contract_of(None)) for name in ("other", "stripe"))
        await other.add({"products": {"id"}})
        await state.create()
        with psycopg.connect(postgres_url) as connection:
            connection.execute("create table stripe.products (like other.products including all)")
            adding = asyncio.create_task(state.add(needed))
            while not stored.query(blocked) and not adding.done():
                await asyncio.sleep(0)
            connection.commit()
            await adding
        return {name: state.lacks(name, columns) for name, columns in needed.items()}

    assert asyncio.run(main()) == {"customers": False, "products": False}
