"""dlt's destinations with the guarded merge: keys, empty strings, JSON, one stored schema for two writers."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from psycopg.conninfo import make_conninfo

from pipelines.configuration.settings import Settings
from pipelines.loading.loader import contents_of, write_csv, write_parquet
from pipelines.loading.session import open_database
from pipelines.warehouse.database import Database
from pipelines.warehouse.package_merge import File, Target, load_files
from pipelines.warehouse.stored_schema import make_tables
from sources.stripe_api.catalogue import CATALOGUE

UTC_MICROSECONDS = pa.timestamp("us", "UTC")
NEWS: dict[str, Any] = {"news": {"data_type": "text"}}
HINTS: dict[str, Any] = {
    "id": {"data_type": "text", "primary_key": True, "nullable": False},
    "_account_id": {"data_type": "text", "primary_key": True, "nullable": False},
    "object": {"data_type": "text"},
    "description": {"data_type": "text"},
    "metadata": {"data_type": "json"},
    "unit_amount_decimal": {"data_type": "decimal", "precision": 38, "scale": 12},
    "created": {"data_type": "timestamp"},
    "_as_of": {"data_type": "timestamp"},
    "_source": {"data_type": "text"},
    "_synced_at": {"data_type": "timestamp"},
    "_deleted_at": {"data_type": "timestamp"},
}


def at(second: int) -> datetime:
    return datetime.fromtimestamp(second, UTC)


def table(rows: list[dict[str, Any]], as_of: int) -> pa.Table:
    types = {"created": UTC_MICROSECONDS, "unit_amount_decimal": pa.decimal128(38, 12)}
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {name: pa.array([row.get(name) for row in rows], types.get(name, pa.string())) for name in names}
    own = {
        "_account_id": pa.array(["acct_1"] * len(rows)),
        "object": pa.array(["thing"] * len(rows)),
        "_as_of": pa.array([at(as_of)] * len(rows), UTC_MICROSECONDS),
        "_source": pa.array(["list"] * len(rows)),
    }
    return pa.table(columns | own)


def load(database: Database, folder: Path, tables: dict[str, pa.Table], extra: dict[str, Any] | None = None) -> None:
    folder.mkdir()
    columns: Any = {column: {"name": column, **hint} for column, hint in (HINTS | (extra or {})).items()}
    files = {}
    for name, data in tables.items():
        files[name] = File(folder / name, columns, contents_of(data, ["id", "_account_id"], "object"))
        if database.dialect == "postgres":
            write_csv(data, folder / name)
        else:
            write_parquet(data, folder / name, columns)
    staging = "stripe_staging"
    load_files(Target(database, CATALOGUE, "stripe", "stripe", staging), files, make_tables)


def stored_schema(database: Database) -> dict[str, Any]:
    rows = database.execute("SELECT schema FROM stripe._dlt_version ORDER BY inserted_at DESC LIMIT 1")
    return dict(json.loads(rows[0][0])["tables"])


def test_values_arrive_as_they_were(database: Database, tmp_path: Path) -> None:
    row = {
        "id": "thing_1",
        "description": 'a "quoted", \n two-line text; with % and \\ and ü',
        "metadata": '{"a":"","b":[1,2.5,null],"c":"\\n\\""}',
        "unit_amount_decimal": Decimal("0.000000000001"),
        "created": at(1_700_000_000),
    }
    load(database, tmp_path / "1", {"things": table([row], 1)})
    selected = database.execute("SELECT description, metadata, unit_amount_decimal, created FROM stripe.things")
    description, metadata, decimal, created = selected[0]
    assert description == row["description"]
    assert (json.loads(metadata) if isinstance(metadata, str) else metadata) == json.loads(row["metadata"])
    assert decimal == Decimal("0.000000000001")
    assert created == at(1_700_000_000)


def test_empty_string_is_not_null(database: Database, tmp_path: Path) -> None:
    rows = [{"id": "thing_1", "description": ""}, {"id": "thing_2", "description": None}]
    load(database, tmp_path / "1", {"things": table(rows, 1)})
    assert database.execute("SELECT id, description FROM stripe.things ORDER BY id") == [
        ("thing_1", ""),
        ("thing_2", None),
    ]


def test_final_table_has_a_primary_key_and_staging_does_not_fail_on_duplicates(
    database: Database, tmp_path: Path
) -> None:
    rows = [{"id": "thing_1", "description": "first"}, {"id": "thing_1", "description": "second"}]
    load(database, tmp_path / "1", {"things": table(rows, 1)})
    assert database.execute("SELECT description FROM stripe.things") == [("second",)]
    with pytest.raises(Exception, match=r"(?i)duplicate|unique"):
        database.execute("INSERT INTO stripe.things (id, _account_id) VALUES ('thing_1', 'acct_1')")


def test_older_package_does_not_overwrite(database: Database, tmp_path: Path) -> None:
    load(database, tmp_path / "1", {"things": table([{"id": "thing_1", "description": "new"}], 2)})
    load(database, tmp_path / "2", {"things": table([{"id": "thing_1", "description": "old"}], 1)})
    assert database.execute("SELECT description FROM stripe.things") == [("new",)]


def test_a_value_that_the_newer_state_lacks_becomes_null(database: Database, tmp_path: Path) -> None:
    load(database, tmp_path / "1", {"things": table([{"id": "thing_1", "description": "there"}], 1)})
    load(database, tmp_path / "2", {"things": table([{"id": "thing_1"}], 2)})
    assert database.execute("SELECT description FROM stripe.things") == [(None,)]


def test_writers_with_different_schemas_add_to_one_stored_schema(database: Database, tmp_path: Path) -> None:
    load(database, tmp_path / "1", {"things": table([{"id": "thing_1"}], 1)}, {"one": {"data_type": "text"}})
    load(database, tmp_path / "2", {"things": table([{"id": "thing_2"}], 1)}, {"two": {"data_type": "bigint"}})
    load(database, tmp_path / "3", {"others": table([{"id": "other_1"}], 1)})
    stored = stored_schema(database)
    assert {"things", "others"} <= stored.keys()
    assert {"one", "two"} <= stored["things"]["columns"].keys()
    names = {
        row[0]
        for row in database.execute(
            "SELECT column_name FROM information_schema.columns WHERE table_name = 'things' AND table_schema = 'stripe'"
        )
    }
    assert {"one", "two"} <= names


def test_loads_name_the_stored_schema_version(database: Database, tmp_path: Path) -> None:
    load(database, tmp_path / "1", {"things": table([{"id": "thing_1"}], 1)})
    load(database, tmp_path / "2", {"others": table([{"id": "other_1"}], 1)})
    versions = {row[0] for row in database.execute("SELECT version_hash FROM stripe._dlt_version")}
    loads = {row[0] for row in database.execute("SELECT schema_version_hash FROM stripe._dlt_loads")}
    assert len(loads) == 2
    assert loads == versions


def test_stored_type_of_a_column_is_kept(database: Database, tmp_path: Path) -> None:
    load(database, tmp_path / "1", {"things": table([{"id": "thing_1"}], 1)}, {"one": {"data_type": "text"}})
    more = {"one": {"data_type": "bigint"}, "two": {"data_type": "text"}}
    load(database, tmp_path / "2", {"things": table([{"id": "thing_2"}], 1)}, more)
    columns = stored_schema(database)["things"]["columns"]
    assert (columns["one"]["data_type"], columns["two"]["data_type"]) == ("text", "text")


def test_a_column_that_another_writer_added_is_null_in_a_newer_state_that_lacks_it(
    database: Database, tmp_path: Path
) -> None:
    """A package is made of the columns that its run knew at its start; the user's own columns are left alone."""
    load(
        database,
        tmp_path / "1",
        {"things": table([{"id": "thing_1", "news": "yes"}], 1)},
        {"news": {"data_type": "text"}},
    )
    database.execute("ALTER TABLE stripe.things ADD COLUMN ours text")
    database.execute("UPDATE stripe.things SET ours = 'kept'")
    load(database, tmp_path / "2", {"things": table([{"id": "thing_1"}], 2)})
    assert database.execute("SELECT news, ours FROM stripe.things") == [(None, "kept")]


def test_newest_schema_counts_whatever_the_writers_clocks_say(database: Database, tmp_path: Path) -> None:
    load(database, tmp_path / "1", {"things": table([{"id": "thing_1"}], 1)})
    database.execute("UPDATE stripe._dlt_version SET inserted_at = inserted_at + INTERVAL '1 hour'")
    load(
        database,
        tmp_path / "2",
        {"things": table([{"id": "thing_1", "news": "yes"}], 2)},
        {"news": {"data_type": "text"}},
    )
    assert "news" in stored_schema(database)["things"]["columns"]


def test_text_is_utf_8_whatever_the_connection_speaks(postgres_url: str, tmp_path: Path) -> None:
    opened = open_database(Settings(destination="postgres", database_url=with_words(postgres_url)))
    load(opened, tmp_path / "1", {"things": table([{"id": "thing_1", "description": "Grüße"}], 1)})
    opened.close()
    plain = open_database(Settings(destination="postgres", database_url=postgres_url))
    assert plain.execute("SELECT description FROM stripe.things") == [("Grüße",)]
    plain.close()


def with_words(url: str) -> str:
    return make_conninfo(url, client_encoding="LATIN1")
