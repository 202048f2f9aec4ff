"""Arrow tables hold exactly what `typed_rows` gives, whatever the mix of values, pages and threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from itertools import permutations
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sources.catalogue import FIRST_SECOND, LAST_SECOND, ColumnType
from sources.columns.arrow import ARROW_TYPES, arrow_tables, concat, nbytes
from sources.columns.coerce import INT64, fit, variant_column
from sources.columns.columns import OWN_COLUMNS, Columns, all_columns
from sources.columns.conversion_counts import ConversionCounts
from sources.columns.typed import object_of, typed_rows
from sources.rows import Stamp
from sources.stripe_api.catalogue import CATALOGUE, TABLES
from sources.stripe_api.catalogue.fields import fields_of
from tests.sources.columns.test_rows import MANY_VALUES, assert_same_object, batches, exploded
from tests.sources.json_values import decimals, floats, identical, instants, integers, strings, values

STAMP = Stamp("acct_1", 1_760_000_000, "list")
NOW = datetime(2025, 11, 1, 12, 30, 0, 123456, tzinfo=UTC)

FIELD_OF: dict[ColumnType, tuple[str, str]] = {
    "text": ("charges", "description"),
    "bigint": ("charges", "amount"),
    "double": ("coupons", "percent_off"),
    "bool": ("charges", "captured"),
    "timestamp": ("charges", "created"),
    "decimal": ("prices", "unit_amount_decimal"),
    "json": ("charges", "metadata"),
}
WITNESSES: tuple[Any, ...] = (
    *(True, False, 0, 1, -1, 2**53, -(2**53), 2**53 + 1, INT64[0], INT64[-1], 2**63, -(2**63) - 1, 2**64, 10**30),
    *(FIRST_SECOND, FIRST_SECOND - 1, LAST_SECOND, LAST_SECOND + 1, 0.0, -0.0, 1.0, 2.5, 1e22, Decimal("1e400")),
    *(
        "",
        "1",
        "true",
        "2.50",
        "-0",
        "1e3",
        "a\0b",
        "\ud800",
        "é",
        "2025-03-01T12:00:00Z",
        "2025-03-01T12:00:00.1234567Z",
    ),
    *("1\n2", "1\n", "2025-03-01T12:00:00Z\n"),
    *([], {}, [1, None], {"a": "\0"}, {"\0": 1}, ["\ud800"], {"a": 2**64}, "\\u0000", ["\\u0000"]),
)
MOMENTS = (
    *("0000-12-31T23:59:59Z", "0001-01-01T23:59:59Z", "0001-01-02T00:00:00Z", "0002-01-01T00:00:00+23:59"),
    *("9998-12-31T23:59:59-23:59", "9999-12-30T23:59:59.999999Z", "9999-12-31T00:00:00Z", "9999-12-31T23:59:59-23:59"),
    *("2024-02-29T00:00:00Z", "2025-02-29T00:00:00Z", "2025-03-01T24:00:00Z", "2025-03-01T12:00:60Z"),
    *("2025-03-01T12:00:00+24:00", "2025-03-01T12:00:00.5+05:30", "2025-03-01T12:00:00Z\n2025-03-01T12:00:00Z"),
)
"""What two parsers of RFC 3339 are most likely to read in two ways."""
SUITED: dict[ColumnType, st.SearchStrategy[Any]] = {
    "text": strings,
    "bigint": integers,
    "double": st.one_of(floats, integers),
    "bool": st.booleans(),
    "timestamp": integers,
    "decimal": decimals,
    "json": values,
}


def converted(
    table: str, objects: list[dict[str, Any]], known: Columns, counts: ConversionCounts | None = None
) -> pa.Table:
    return arrow_tables({table: exploded(table, objects)}, known, clock=lambda: NOW, counts=counts)[table]


def same_rows(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> bool:
    return len(one) == len(other) and all(map(identical, one, other))


def as_rows(table: pa.Table) -> list[dict[str, Any]]:
    """Rows with Decimals and datetimes in one form, so that `identical` can compare them."""
    return [{name: plain(value) for name, value in row.items()} for row in table.to_pylist()]


def plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return value + 0 if isinstance(value, Decimal) else value


def columns_of_one_kind() -> st.SearchStrategy[tuple[ColumnType, list[Any]]]:
    """A column type and values for it: suited ones only (the fast way), or others among them."""

    def filled(kind: ColumnType) -> st.SearchStrategy[tuple[ColumnType, list[Any]]]:
        suited = st.one_of(st.none(), SUITED[kind])
        mixed = st.one_of(suited, values, instants)
        return st.tuples(
            st.just(kind), st.one_of(st.lists(suited, min_size=1), st.lists(mixed, min_size=1, max_size=6))
        )

    return st.sampled_from(sorted(FIELD_OF)).flatmap(filled)


def assert_fits_or_varies(table: str, field: str, kind: ColumnType, entries: list[Any]) -> None:
    """Each row of the column and of its variants holds what `fit` says, and nothing else."""
    arrow = converted(table, [{"id": "x_1", field: entry} for entry in entries], Columns(CATALOGUE))
    for place, entry in enumerate(entries):
        got = {name: plain(arrow[name][place].as_py()) for name in arrow.column_names if name.startswith(field)}
        stored, variant, _ = (None, None, False) if entry is None else fit(kind, entry, table.startswith("v2_"))
        expected = {**dict.fromkeys(got), variant_column(field, variant) if variant else field: plain(stored)}
        assert identical(got, expected), (got, expected)


@given(columns_of_one_kind())
def test_column_holds_what_fits_and_variants_the_rest(column: tuple[ColumnType, list[Any]]) -> None:
    kind, entries = column
    assert_fits_or_varies(*FIELD_OF[kind], kind, entries)


@given(st.lists(st.one_of(st.none(), instants, st.sampled_from(MOMENTS)), min_size=1, max_size=6))
def test_column_of_moments_holds_what_fits_and_variants_the_rest(entries: list[Any]) -> None:
    assert_fits_or_varies("v2_core_accounts", "created", "timestamp", entries)


@pytest.mark.parametrize("value", WITNESSES, ids=repr)
def test_each_kind_of_value_in_each_kind_of_column(value: Any) -> None:
    for kind, (table, field) in FIELD_OF.items():
        assert_fits_or_varies(table, field, kind, [value])
        assert_fits_or_varies(table, field, kind, [value, None, value])
    assert_fits_or_varies("v2_core_accounts", "created", "timestamp", [value, None])


@MANY_VALUES
@given(batches())
def test_arrow_and_typed_rows_agree(batch: tuple[str, list[dict[str, Any]]]) -> None:
    table, objects = batch
    one, other = ConversionCounts(), ConversionCounts()
    arrow = converted(table, objects, Columns(CATALOGUE), one)
    rows = typed_rows(table, exploded(table, objects), Columns(CATALOGUE), clock=lambda: NOW, counts=other)
    assert same_rows(as_rows(arrow), [{name: plain(value) for name, value in row.items()} for row in rows])
    assert (one.escaped(), one.variants()) == (other.escaped(), other.variants())


@MANY_VALUES
@given(batches())
def test_object_is_rebuilt_from_its_arrow_row(batch: tuple[str, list[dict[str, Any]]]) -> None:
    table, objects = batch
    known = Columns(CATALOGUE)
    for row, original in zip(converted(table, objects, known).to_pylist(), objects, strict=True):
        assert_same_object(table, object_of(table, row, known), original)


@MANY_VALUES
@given(batches(), st.permutations(range(4)))
def test_order_of_pages_does_not_change_types_once_learned(
    batch: tuple[str, list[dict[str, Any]]], order: list[int]
) -> None:
    table, objects = batch
    known = Columns(CATALOGUE)
    first = [converted(table, [obj], known) for obj in objects]
    again = {place: converted(table, [objects[place]], known) for place in order if place < len(objects)}
    whole = concat([*first, *again.values()])  # raises where two pages differ in a column's type
    rebuilt = [object_of(table, row, known) for row in whole.to_pylist()]
    for place, obj in zip([*range(len(objects)), *again], rebuilt, strict=True):
        assert_same_object(table, obj, objects[place])


@MANY_VALUES
@given(st.lists(batches(), min_size=1, max_size=5))
def test_concat_is_the_rows_of_all_pages(pages: list[tuple[str, list[dict[str, Any]]]]) -> None:
    table = pages[0][0]
    known = Columns(CATALOGUE)
    parts = [converted(table, objects, known) for name, objects in pages if name == table]
    whole = concat(parts)
    rows = [row for part in parts for row in as_rows(part)]
    assert whole.num_rows == len(rows)
    assert set(whole.column_names) == {name for part in parts for name in part.column_names}
    for got, expected in zip(as_rows(whole), rows, strict=True):
        assert {name: value for name, value in got.items() if name in expected} == expected
        assert all(value is None for name, value in got.items() if name not in expected)


def test_concat_keeps_new_columns_behind_their_neighbour() -> None:
    a, b = (
        pa.table({"id": ["1"], "x": [1], "z": [2]}),
        pa.table({"id": ["2"], "x": [3], "y": ["n"], "z": [4], "n": [0]}),
    )
    assert concat([a, b]).to_pylist() == [
        {"id": "1", "x": 1, "y": None, "z": 2, "n": None},
        {"id": "2", "x": 3, "y": "n", "z": 4, "n": 0},
    ]
    assert concat([a, b]).column_names == ["id", "x", "y", "z", "n"]


@pytest.mark.parametrize("kind", sorted(ARROW_TYPES))
def test_all_null_known_column_is_kept_with_its_type(kind: ColumnType) -> None:
    table, field = FIELD_OF[kind]
    arrow = converted(table, [{"id": "x_1", field: None}, {"id": "x_2", field: None}], Columns(CATALOGUE))
    assert arrow.schema.field(field).type == ARROW_TYPES[kind]
    assert arrow[field].null_count == 2


@pytest.mark.parametrize("table", sorted(TABLES))
def test_every_table_has_its_declared_columns(table: str) -> None:
    own = {name: kind for name, kind in all_columns(CATALOGUE, table).items() if name in OWN_COLUMNS}
    key = {
        field: "x_1" if kind == "text" else 1 for field, kind in fields_of(table).items() if field in TABLES[table].key
    }
    arrow = converted(table, [{**dict.fromkeys(fields_of(table)), **key}], Columns(CATALOGUE))
    expected = {name: ARROW_TYPES[kind] for name, kind in {**fields_of(table), **own}.items()}
    assert {field.name: field.type for field in arrow.schema} == expected


def test_absent_known_column_and_null_unseen_column_are_left_out() -> None:
    arrow = converted("charges", [{"id": "ch_1", "unheard_of": None}], Columns(CATALOGUE))
    assert not {"amount", "unheard_of"} & set(arrow.column_names)


def test_empty_strings_are_values() -> None:
    arrow = converted("charges", [{"id": "ch_1", "description": "", "metadata": {}}], Columns(CATALOGUE))
    assert arrow.select(["description", "metadata"]).to_pylist() == [{"description": "", "metadata": "{}"}]


def test_values_beside_a_row_that_cannot_be_stored_are_counted_once() -> None:
    counts = ConversionCounts()
    too_deep: Any = 1
    for _ in range(1_100):
        too_deep = {"a": too_deep}
    rows = exploded("customers", [{"id": "cus_1", "balance": "x", "name": "a\0"}, {"id": "cus_2"}])
    arrow = arrow_tables(
        {"customers": [rows[0], {**rows[1], "shipping": too_deep}]}, Columns(CATALOGUE), counts=counts
    )["customers"]
    assert arrow["id"].to_pylist() == ["cus_1"]
    assert [entry.id for entry in counts.rejected()] == ["cus_2"]
    assert counts.variants() == {("customers", "balance__v_text"): 1}
    assert counts.escaped() == {("customers", "name"): 1}


def test_tables_without_rows_are_left_out() -> None:
    assert arrow_tables({"charges": []}, Columns(CATALOGUE)) == {}


def test_stored_types_decide() -> None:
    known = Columns(CATALOGUE, {"charges": {"amount": "text", "loyalty": "decimal"}})
    arrow = converted("charges", [{"id": "ch_1", "amount": 5, "loyalty": "1.5"}], known)
    assert arrow.select(["amount", "amount__v_bigint", "loyalty"]).to_pylist() == [
        {"amount": None, "amount__v_bigint": 5, "loyalty": Decimal("1.5")}
    ]


@pytest.mark.parametrize("order", list(permutations([1, "x", 2.5, True])))
def test_first_page_decides_the_type_of_an_unseen_field(order: tuple[Any, ...]) -> None:
    known = Columns(CATALOGUE)
    pages = [converted("charges", [{"id": f"ch_{n}", "new": value}], known) for n, value in enumerate(order)]
    whole = concat(pages)
    assert whole["new"][0].as_py() == order[0]
    assert whole.schema.field("new").type == pages[0].schema.field("new").type
    assert [object_of("charges", row, known)["new"] for row in whole.to_pylist()] == list(order)


def test_threads_agree_on_the_type_of_an_unseen_field() -> None:
    known = Columns(CATALOGUE)
    mixed = [1, "x", 2.5, True, {"a": 1}] * 16

    def page(value: object) -> pa.Table:
        return converted("charges", [{"id": "ch_1", **{f"new_{n}": value for n in range(20)}}], known)

    with ThreadPoolExecutor(8) as pool:
        pages = list(pool.map(page, mixed))
    whole = concat(pages)  # raises where two pages differ in a column's type
    rebuilt = [object_of("charges", row, known) for row in whole.to_pylist()]
    assert all(identical(row["new_7"], value) for row, value in zip(rebuilt, mixed, strict=True))


def test_nbytes_counts_all_tables() -> None:
    table = converted("charges", [{"id": "ch_1", "description": "x" * 10_000}], Columns(CATALOGUE))
    assert 10_000 < nbytes({"a": table}) < 12_000
    assert nbytes({"a": table, "b": table}) == 2 * nbytes({"a": table})


@pytest.mark.parametrize("wrong", [2.5, -0.0, 1.0, True, "1", 2**63])
def test_one_wrong_value_does_not_change_its_neighbours(wrong: object) -> None:
    entries = [1, None, wrong, INT64[-1], INT64[0]]
    arrow = converted(
        "charges", [{"id": "x", "amount": entry, "created": entry} for entry in entries], Columns(CATALOGUE)
    )
    assert arrow["amount"].to_pylist() == [1, None, None, INT64[-1], INT64[0]]
    assert arrow["created"].to_pylist()[1:] == [None] * 4
