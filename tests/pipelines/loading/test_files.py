"""Files that databases copy from."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.loading.loader import BATCH_ROWS, json_of, read_csv, write_csv
from pipelines.warehouse.merge import staged_json
from pipelines.warehouse.postgres_database import PostgresDatabase
from sources.columns.arrow import ARROW_TYPES
from sources.json_text import text

MOMENT = datetime(2026, 2, 3, 4, 5, 6, 789_000, UTC)


def timestamps(*values: datetime | None) -> pa.Array:
    return pa.array(values, pa.timestamp("us", "UTC"))


def test_csv_tells_empty_from_null_and_names_no_zone(tmp_path: Path) -> None:
    table = pa.table({"id": ["a", "b"], "name": ["", None], "created": timestamps(MOMENT, None), "amount": [1, 2]})
    write_csv(table, tmp_path / "x.csv")
    assert (tmp_path / "x.csv").read_text() == (
        '"id","name","created","amount"\n"a","",2026-02-03 04:05:06.789000,1\n"b",,,2\n'
    )


def test_csv_leaves_out_what_is_null_anyway_and_what_the_merge_writes(tmp_path: Path) -> None:
    columns = {"id": pa.array(["a"]), "name": pa.array([None], pa.string()), "_synced_at": timestamps(MOMENT)}
    write_csv(pa.table(columns), tmp_path / "x.csv")
    assert (tmp_path / "x.csv").read_text() == '"id"\n"a"\n'


def test_csv_holds_all_rows_of_all_pages_in_order(tmp_path: Path) -> None:
    pages = [pa.table({"n": [page * 700 + row for row in range(700)]}) for page in range(BATCH_ROWS // 700 * 2 + 1)]
    write_csv(pa.concat_tables(pages), tmp_path / "x.csv")
    lines = (tmp_path / "x.csv").read_text().splitlines()
    assert lines == ['"n"', *map(str, range(700 * len(pages)))]


def test_years_of_any_length_are_written_as_postgres_reads_them(tmp_path: Path) -> None:
    bounds = timestamps(datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, 23, 59, 59, tzinfo=UTC))
    write_csv(pa.table({"at": bounds}), tmp_path / "x.csv")
    assert (tmp_path / "x.csv").read_text().splitlines()[1:] == [
        "0001-01-02 00:00:00.000000",
        "9999-12-30 23:59:59.000000",
    ]


VALUES = {
    "text": st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
    | st.sampled_from(["", "null", "NULL", "N/A", "true", "1", '"', "\r\n", "a,b", " ", "\\N"]),
    "bigint": st.integers(-(2**63), 2**63 - 1),
    "double": st.floats(allow_nan=False, allow_infinity=False),
    "bool": st.booleans(),
    "timestamp": st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC)),
    "decimal": st.decimals(-(10**20), 10**20, places=12).map(Decimal),
}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_what_was_written_is_read_again_exactly(data: st.DataObject, tmp_path: Path) -> None:
    names = data.draw(st.permutations(list(VALUES)))
    count = data.draw(st.integers(1, 5))
    columns = {
        f"{name} column": pa.array(
            data.draw(st.lists(st.none() | VALUES[name], min_size=count, max_size=count)), ARROW_TYPES[name]
        )
        for name in names
    }
    table = pa.table({"id": pa.array([str(place) for place in range(count)]), **columns})
    write_csv(table, tmp_path / "x.csv")
    assert read_csv(tmp_path / "x.csv", table.schema).equals(table)


@pytest.mark.parametrize("size", [1_000, 3 * 2**20])
def test_a_row_of_any_size_is_read_again(size: int, tmp_path: Path) -> None:
    table = pa.table({"id": ["a", "b", "c"], "text": ["x\n" * size, None, ""], "nothing": pa.nulls(3, pa.int64())})
    write_csv(table, tmp_path / "x.csv")
    assert read_csv(tmp_path / "x.csv", table.schema).equals(table)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | VALUES["bigint"] | VALUES["double"] | VALUES["text"],
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(VALUES["text"], inner, max_size=3),
    max_leaves=6,
).filter(lambda value: value is not None)
SQL_TYPES = {
    "text": "varchar",
    "bigint": "bigint",
    "double": "double precision",
    "bool": "boolean",
    "timestamp": "timestamptz",
    "decimal": "numeric(38,12)",
    "json": "jsonb",
}


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_few_rows_are_what_many_would_be(data: st.DataObject, tmp_path: Path, postgres_url: str) -> None:
    """Of every type: through JSON that goes along with a statement, and through CSV."""
    values = {**VALUES, "json": JSON_VALUES.map(lambda value: text(value).decode())}
    columns = {
        name: pa.array(data.draw(st.lists(st.none() | values[name], min_size=30, max_size=30)), ARROW_TYPES[name])
        for name in data.draw(st.permutations(list(values)))
    }
    table = pa.table({"place": pa.array(range(30), pa.int64()), **columns})
    types = {name: SQL_TYPES.get(name, "bigint") for name in table.column_names}
    hints: Any = {name: {"name": name, "data_type": name if name in SQL_TYPES else "bigint"} for name in types}
    write_csv(table, tmp_path / "x.csv")
    database = PostgresDatabase(postgres_url)
    try:
        with database.transaction():
            defined = ", ".join(f'"{name}" {kind}' for name, kind in types.items())
            database.execute(f"CREATE TABLE public.many ({defined})")
            database.copy_csv("public.many", tmp_path / "x.csv")
            database.execute("CREATE TABLE public.few (LIKE public.many)")
            names = ", ".join(f'"{name}"' for name in types)
            insert = f"INSERT INTO public.few ({names}) SELECT {names} FROM staged"
            database.execute(staged_json(types, "%s") + insert, (json_of(table, hints).decode(),))
            few, many = (
                database.execute(f"SELECT CAST(t AS text) FROM public.{one} AS t ORDER BY place")
                for one in ("few", "many")
            )
            assert few == many
            assert len(few) == 30
            database.execute("DROP TABLE public.few, public.many")
    finally:
        database.close()
