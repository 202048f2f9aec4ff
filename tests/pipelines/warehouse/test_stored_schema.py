"""The tables and the stored schema that we make are those that dlt's own client makes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import dlt
import duckdb
import pytest
from dlt.common.schema import Schema
from dlt.common.schema.utils import new_table
from dlt.destinations.impl.postgres.configuration import PostgresCredentials

from pipelines.configuration.settings import Settings
from pipelines.loading.session import open_database
from pipelines.warehouse.database import Database
from pipelines.warehouse.package_merge import Target, stored_columns_of
from pipelines.warehouse.stored_schema import (
    LOADS_TABLE,
    VERSION_TABLE,
    hash_of,
    make_tables,
    table_statements,
    united,
    with_own,
)
from sources.columns.columns import Columns
from sources.columns.dlt_hints import dlt_columns
from sources.stripe_api.catalogue import CATALOGUE, TABLES

Hints = dict[str, list[Any]]
KINDS = ("text", "bigint", "double", "bool", "timestamp", "decimal", "json")
MORE: list[Any] = [{"name": f"new_{kind}", "data_type": kind, "nullable": True} for kind in KINDS]


@pytest.fixture(params=["duckdb", "postgres"])
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    opened = open_database(
        Settings(destination="duckdb", duckdb_path=str(request.getfixturevalue("duckdb_path")))
        if request.param == "duckdb"
        else Settings(destination="postgres", database_url=request.getfixturevalue("postgres_url"))
    )
    yield opened
    opened.close()


def target_in(database: Database) -> Target:
    return Target(database, CATALOGUE, "stripe", "stripe", "stripe_staging")


def published(*tables: str) -> Hints:
    """Every column that Stripe publishes of these tables."""
    return {table: list(dlt_columns(table, Columns(CATALOGUE)).values()) for table in tables}


def by_dlt(schema: Schema, tables: Hints) -> Schema:
    """dlt's own schema with these tables added."""
    for table, hints in tables.items():
        schema.update_table(new_table(table, write_disposition="merge", columns=hints), normalize_identifiers=False)
    schema._bump_version()
    return schema


def dlts_statements(kind: str, tables: Hints, there: Mapping[str, Any]) -> list[str]:
    """What dlt's client would execute for the same tables, in our spelling; it makes no keys."""
    destination: Any = dlt.destinations.duckdb if kind == "duckdb" else dlt.destinations.postgres
    credentials: Any = duckdb.connect() if kind == "duckdb" else PostgresCredentials("postgresql://u:p@127.0.0.1:1/d")
    made = destination(credentials)
    schema = by_dlt(Schema("stripe"), tables)
    client = made.client(schema, made.spec()._bind_dataset_name("stripe"))
    hints = [(name, there.get(name, {})) for name in (*tables, "_dlt_version", "_dlt_loads")]
    return [spelt(statement) for statement in client._build_schema_update_sql(hints)[0]]


def spelt(statement: str) -> str:
    """One blank for any white space, none before commas and brackets; without what only one of both writes."""
    plain = re.sub(r"\s+", " ", statement.replace("IF NOT EXISTS ", "").replace(";", "")).strip()
    plain = plain.replace(" varchar", " character varying")
    return re.sub(r"\s+([,)])", r"\1", plain).replace("( ", "(")


def without_keys(statement: str) -> str:
    return re.sub(r", PRIMARY KEY \([^)]*\)", "", statement)


def test_a_new_schema_is_dlts_own() -> None:
    tables = published(*TABLES)
    made = united(None, "stripe", tables)
    assert made == by_dlt(Schema("stripe"), tables).to_dict()
    assert json.loads(json.dumps(made)) == made


def test_what_is_added_makes_the_version_that_dlt_makes() -> None:
    """More versions than a schema remembers; of a column that is stored, the stored type stays."""
    stored, theirs = united(None, "stripe", published("customers")), by_dlt(Schema("stripe"), published("customers"))
    for number in range(12):
        added: Hints = {"customers": [{"name": f"new_{number}", "data_type": "text", "nullable": True}]}
        stored, theirs = united(stored, "stripe", added), by_dlt(theirs, added)
        assert stored == theirs.to_dict()
    assert stored["version"] == 13
    other: Hints = {"customers": [{"name": "new_1", "data_type": "bigint", "nullable": True}]}
    assert united(stored, "stripe", other) == stored


def test_a_stored_schema_of_an_older_dlt_is_made_new() -> None:
    """As dlt does; what others keep in the same schema stays."""
    theirs = Schema("stripe")
    theirs.update_table(new_table("mine", columns=[{"name": "id", "data_type": "text"}]))
    older = {**theirs.to_dict(), "engine_version": 10}
    made = united(older, "stripe", published("customers"))
    assert made["engine_version"] == 11
    assert {"mine", "customers"} <= made["tables"].keys()
    assert made["version_hash"] == hash_of(made)


def test_dlts_own_tables_are_as_dlt_makes_them() -> None:
    assert Schema("stripe").to_dict()["tables"] == {
        "_dlt_version": VERSION_TABLE,
        "_dlt_loads": LOADS_TABLE,
    }


def test_tables_are_made_once_and_columns_added(database: Database) -> None:
    target, tables = target_in(database), published("prices", "payment_sources")
    assert make_tables(target, tables) == {"prices": True, "payment_sources": True}
    assert make_tables(target, tables) == {}
    assert versions(database) == [1]
    wider = {"prices": [*tables["prices"], *MORE], "payment_sources": tables["payment_sources"]}
    assert make_tables(target, wider) == {"prices": False}
    assert versions(database) == [1, 2]
    assert make_tables(target, wider) == {}
    there = stored_columns_of(database, "stripe", wider)
    assert {name: set(columns) for name, columns in there.items()} == {
        name: {hint["name"] for hint in hints} for name, hints in wider.items()
    }
    assert table_statements(target, with_own(wider), stored_columns_of(database, "stripe", with_own(wider))) == []


def test_statements_are_those_of_dlts_client_beside_keys_and_indexes(database: Database) -> None:
    target, tables = target_in(database), published(*TABLES)
    ours = table_statements(target, with_own(tables), {})
    assert [
        without_keys(statement) for statement in ours if not statement.startswith("CREATE INDEX")
    ] == dlts_statements(database.dialect, tables, {})
    for name in tables:
        key = ", ".join(f'"{column}"' for column in (*TABLES[name].key, "_account_id"))
        assert any(
            statement.startswith(f'CREATE TABLE "stripe"."{name}" ') and f"({key})" in statement for statement in ours
        )


def test_writers_at_once_make_each_table_once(postgres_url: str) -> None:
    tables = [*TABLES][:20]

    def make(number: int) -> dict[str, bool]:
        opened = open_database(Settings(destination="postgres", database_url=postgres_url))
        try:
            return make_tables(target_in(opened), published(*tables[number : number + 17]))
        finally:
            opened.close()

    with ThreadPoolExecutor(3) as threads:
        made = list(threads.map(make, range(3)))
    assert sorted(name for names in made for name in names) == sorted(tables[:19])


def versions(database: Database) -> list[int]:
    return [version for (version,) in database.execute("SELECT version FROM stripe._dlt_version ORDER BY inserted_at")]
