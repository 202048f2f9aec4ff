"""Tables as the connector loads them, filled from rows of JSON: what the metrics are built from in tests."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from pipelines.models.metrics.build import OF_CUSTOMERS, OF_SUBSCRIPTIONS, PAYMENTS, WHOLE, Build, Built
from pipelines.models.metrics.source_tables import SOURCE_TABLES, columns_of
from pipelines.warehouse.database import Database as Connection
from pipelines.warehouse.duckdb_database import open_duckdb
from pipelines.warehouse.postgres_database import open_postgres
from tests.databases import Database

TYPES = {
    "text": "text",
    "bigint": "bigint",
    "decimal": "decimal(38, 12)",
    "bool": "boolean",
    "timestamp": "timestamptz",
}


@contextmanager
def connected(database: Database) -> Iterator[Connection]:
    """The project's own connection to a test's database."""
    if database.kind == "duckdb":
        connection: Connection = open_duckdb(database.address, "stripe", "2GB")
    else:
        connection = open_postgres(database.address, None)
    try:
        yield connection
    finally:
        connection.close()


def type_of(database: Database, kind: str) -> str:
    other = {"json": "jsonb", "double": "double precision"} if database.kind == "postgres" else {}
    return (TYPES | {"json": "json", "double": "double"} | other)[kind]


Tables = Mapping[str, Sequence[Mapping[str, Any]]]


def fill(database: Database, tables: Tables, like: Tables | None = None) -> None:
    """Makes the tables in the schema `stripe`, each with the columns of its rows, or `like` others."""
    with database.asked() as query:
        query("create schema if not exists stripe")
        for table in tables:
            kinds = columns_of(table)
            given = {name for row in (like or tables)[table] for name in row if name in kinds}
            names = sorted(given | {"_account_id", "_synced_at"} & kinds.keys())
            made = ", ".join(f'"{name}" {type_of(database, kinds[name])}' for name in names)
            query(f"create table if not exists stripe.{table} ({made})")
    store(database, tables)


def beside(cases: Mapping[str, Tables]) -> dict[str, list[dict[str, Any]]]:
    """Several cases as one load, each in the account of its name, so that one build answers all of them."""
    merged: dict[str, list[dict[str, Any]]] = {}
    for account, tables in cases.items():
        for table, rows in tables.items():
            column = SOURCE_TABLES[table].account
            merged.setdefault(table, []).extend({**row, column: account} for row in rows)
    return merged


def store(database: Database, tables: Tables) -> None:
    """Inserts rows into tables that are there, stored now."""
    with database.asked() as query:
        for table, rows in tables.items():
            kinds = columns_of(table)
            names = sorted({name for row in rows for name in row if name in kinds and name != "_synced_at"})
            shown = ", ".join(f'"{name}"' for name in names)
            cells = [f"cast(? as {type_of(database, kinds[name])})" for name in names]
            if "_synced_at" in kinds:
                shown, cells = f'{shown}, "_synced_at"', [*cells, "now()"]
            place = f"({', '.join(cells)})"
            for start in range(0, len(rows), 200):
                some = rows[start : start + 200]
                values = [cell(row.get(name), kinds[name]) for row in some for name in names]
                query(f"insert into stripe.{table} ({shown}) values {', '.join([place] * len(some))}", values)


def cell(value: Any, kind: str) -> Any:
    if value is None:
        return None
    return json.dumps(value) if kind == "json" else value


def build(database: Database, *, full: bool = False, **options: Any) -> Built:
    """Builds the metrics, with options that differ from the defaults."""
    if options:
        set_options(database, **options)
    with connected(database) as connection:
        return Build(connection, "stripe", starting=timedelta(0)).run(full=full)


def built(database: Database) -> dict[str, Counter[tuple[Any, ...]]]:
    """All rows of all tables that a build makes."""
    tables = (*OF_SUBSCRIPTIONS, *OF_CUSTOMERS, *PAYMENTS, *WHOLE, "_months")
    with database.asked() as query:
        return {table: Counter(query(f"select * from stripe_metrics.{table}")) for table in tables}


def set_options(database: Database, **options: Any) -> None:
    """Changes the options of metrics that are built already. Rates go to their table."""
    rates = options.pop("exchange_rates", None)
    with database.asked() as query:
        for name, value in options.items():
            query(f"update stripe_metrics.settings set {name} = ?", [value])
        for currency, rate in (rates or {}).items():
            query("insert into stripe_metrics.exchange_rates values (?, cast(? as decimal(38, 12)))", [currency, rate])
