"""Plain rows -> Arrow tables, page by page, every column cast to its declared type without silent conversion.

A column whose values all have exactly the declared type takes the fast way; any other goes value by value through
`coerce.fit`, which is the definition. The check is on exact Python types because pyarrow 26 is lenient: it stores 2.5
as 2 and -0.0 as 0 in int64 columns, True as 1.0 in doubles, 1.0 as a microsecond in timestamps. Knows nothing of
Stripe, dlt, databases.

Arrow types: text and json `string`, bigint `int64`, double `float64`, bool `bool_`, timestamp `timestamp("us",
"UTC")`, decimal `decimal128(38, 12)`.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import orjson
import pyarrow as pa

from sources.catalogue import FIRST_SECOND, LAST_SECOND
from sources.columns.coerce import DECIMAL, INSTANT
from sources.columns.conversion_counts import ConversionCounts
from sources.columns.layout import SYNCED_AT, Column, Values, fitted, layout, utc_now
from sources.errors import BrokenPage

if TYPE_CHECKING:
    from sources.catalogue import ColumnType, Table
    from sources.columns.columns import Columns
import pyarrow.compute as pc

_STRING = pa.string()
ARROW_TYPES: Mapping[ColumnType, pa.DataType] = {
    "text": _STRING,
    "bigint": pa.int64(),
    "double": pa.float64(),
    "bool": pa.bool_(),
    "timestamp": pa.timestamp("us", "UTC"),
    "decimal": pa.decimal128(38, 12),
    "json": _STRING,
}
_COLUMN_TYPES: Mapping[pa.DataType, ColumnType] = {kind: name for name, kind in ARROW_TYPES.items() if name != "json"}
_NULL = type(None)
_ONLY_NULLS = {_NULL}
_NOT_ALL_FIT = (pa.ArrowException, UnicodeEncodeError, OverflowError, TypeError)


def arrow_tables(
    rows: Mapping[str, Sequence[Mapping[str, Any]]],
    columns: Columns,
    *,
    clock: Callable[[], datetime] = utc_now,
    counts: ConversionCounts | None = None,
) -> dict[str, pa.Table]:
    """Rows by table, as `rows.explode` makes them -> Arrow tables by table; tables without rows are left out.

    Columns in the order of `layout.layout`, each followed by its variants. A row that cannot be stored, its values
    being nested too deep, is left out and noted in `counts`; without one, raises BrokenPage.
    """
    synced_at = clock()
    made: dict[str, pa.Table] = {}
    for name, batch in rows.items():
        if batch:
            counted = ConversionCounts()
            try:
                made[name] = _table(columns.catalogue.tables[name], batch, columns, synced_at, counted)
            except BrokenPage:
                if counts is None:
                    raise
                counted = ConversionCounts()  # without what was counted up to the row that cannot be stored
                if storable := _storable(columns.catalogue.tables[name], batch, columns, synced_at, counts):
                    made[name] = _table(columns.catalogue.tables[name], storable, columns, synced_at, counted)
            if counts is not None:
                counts.absorb(counted)
    return made


class Pattern:
    """A table of one row that is repeated, each time with another text wherever the row has the text `place`."""

    def __init__(self, row: pa.Table, place: str) -> None:
        values = [column[0] for column in row.columns]
        self._schema = row.schema
        self._values = [None if value.as_py() == place else value for value in values]

    def with_each(self, texts: Sequence[str]) -> pa.Table | None:
        """The row once for each text, None where a text cannot be stored as it is."""
        try:
            column = _text(texts)
        except _NOT_ALL_FIT:
            return None
        if column is None:
            return None
        made = [column if value is None else _repeated(value, len(texts)) for value in self._values]
        return pa.Table.from_arrays(made, schema=self._schema)


@lru_cache(maxsize=256)
def _repeated(value: pa.Scalar, count: int) -> pa.Array:
    """The same value so many times: pages of as many rows share it."""
    return pa.repeat(value, count)


def _storable(
    table: Table, rows: Sequence[Mapping[str, Any]], columns: Columns, synced_at: datetime, counts: ConversionCounts
) -> list[Mapping[str, Any]]:
    """The rows without those that cannot be stored, tried one by one."""
    fine: list[Mapping[str, Any]] = []
    for row in rows:
        try:
            _table(table, [row], columns, synced_at, None)
        except BrokenPage as error:
            counts.reject(table.name, row.get(table.key[0]) if table.key else None, str(error))
        else:
            fine.append(row)
    return fine


def concat(tables: Sequence[pa.Table]) -> pa.Table:
    """One table of all rows (at least one table), which shares their memory; columns that a table lacks are null in
    its rows.
    """
    runs = _runs_of_equal_schemas(tables)
    if len(runs) > 1:
        runs = [with_columns(run, _union([run.schema for run in runs])) for run in runs]
    return pa.concat_tables(runs)


def types_of(schema: pa.Schema) -> dict[str, ColumnType]:
    """The type of each column. Text and JSON are one type in Arrow, which is text here."""
    return {field.name: _COLUMN_TYPES[field.type] for field in schema}


def nbytes(tables: Mapping[str, pa.Table]) -> int:
    """Bytes of memory that the tables' buffers take."""
    return sum(table.get_total_buffer_size() for table in tables.values())


def _table(
    table: Table,
    rows: Sequence[Mapping[str, Any]],
    columns: Columns,
    synced_at: datetime,
    counts: ConversionCounts | None,
) -> pa.Table:
    names: list[str] = []
    arrays: list[pa.Array] = []
    for column in layout(table, rows, columns, counts):
        name, kind, _, _ = column
        names.append(name)
        if name == SYNCED_AT:
            arrays.append(pa.repeat(pa.scalar(synced_at, ARROW_TYPES["timestamp"]), len(rows)))
        elif (array := _exact(column)) is not None:
            arrays.append(array)
        else:
            stored, variants = fitted(table.name, column, columns, counts)
            arrays.append(pa.array(stored, ARROW_TYPES[kind]))
            for variant_name, (variant, values) in variants.items():
                names.append(variant_name)
                arrays.append(pa.array(values, ARROW_TYPES[variant]))
    return pa.Table.from_arrays(arrays, names=names)


def _exact(column: Column) -> pa.Array | None:
    """The column when every value is null or has the declared type and fits as it is; None otherwise."""
    _, kind, values, iso = column
    types = set(map(type, values))
    if types == _ONLY_NULLS:
        return _nulls(len(values), ARROW_TYPES[kind])
    if not types <= (_TEXT_TYPES if iso else _EXACT_TYPES[kind]):
        return None
    try:
        return _instants(values) if iso else _BUILD[kind](values)
    except _NOT_ALL_FIT:
        return None


@lru_cache(maxsize=256)
def _nulls(count: int, kind: pa.DataType) -> pa.Array:
    """Nothing but nulls: a third of the columns of most pages, which share them."""
    return pa.nulls(count, kind)


def _runs_of_equal_schemas(tables: Sequence[pa.Table]) -> list[pa.Table]:
    """Neighbours of equal schema joined (free of copies), so that few tables need new columns."""
    runs: list[list[pa.Table]] = []
    for table in tables:
        if runs and runs[-1][0].schema.equals(table.schema):
            runs[-1].append(table)
        else:
            runs.append([table])
    return [pa.concat_tables(run) for run in runs]


def _union(schemas: Sequence[pa.Schema]) -> pa.Schema:
    """All columns; one that only a later schema has stands where that schema has it, behind the same neighbour."""
    fields: dict[str, pa.Field] = {}
    order: list[str] = []
    for schema in schemas:
        place = 0
        for field in schema:
            if field.name in fields:
                place = order.index(field.name) + 1
            else:
                fields[field.name] = field
                order.insert(place, field.name)
                place += 1
    return pa.schema([fields[name] for name in order])


def with_columns(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table's columns in the order of a schema; those that it lacks are null."""
    present = set(table.column_names)
    return pa.Table.from_arrays(
        [table[field.name] if field.name in present else pa.nulls(table.num_rows, field.type) for field in schema],
        schema=schema,
    )


def _plain(kind: ColumnType) -> Callable[[Values], pa.Array]:
    arrow_type = ARROW_TYPES[kind]
    return lambda values: pa.array(values, arrow_type)


def _text(values: Values) -> pa.Array | None:
    array = pa.array(values, _STRING)
    return None if b"\0" in array.buffers()[2].to_pybytes() else array


def _json(values: Values) -> pa.Array | None:
    """From the buffers: orjson's text is UTF-8, and Arrow need not look at each value and check that."""
    if None in values:
        given = [value is not None for value in values]
        present = pa.array(given, pa.bool_()).buffers()[1]
        texts = [orjson.dumps(value) if is_given else b"" for value, is_given in zip(values, given, strict=True)]
    else:
        present, texts = None, list(map(orjson.dumps, values))
    data = b"".join(texts)
    if b"\\u0000" in data:
        return None
    ends = pa.py_buffer(array("i", accumulate(map(len, texts), initial=0)))
    return pa.StringArray.from_buffers(len(texts), ends, pa.py_buffer(data), present)


def _timestamp(values: Values) -> pa.Array | None:
    seconds = [value for value in values if value is not None]
    if min(seconds) < FIRST_SECOND or max(seconds) > LAST_SECOND:
        return None
    return pa.array([None if value is None else value * 1_000_000 for value in values], ARROW_TYPES["timestamp"])


def _instants(values: Values) -> pa.Array | None:
    return _cast(values, _INSTANTS, "timestamp")


def _decimals(values: Values) -> pa.Array | None:
    return _cast(values, _DECIMALS, "decimal")


def _cast(values: Values, lines: re.Pattern[str], kind: ColumnType) -> pa.Array | None:
    """The column by Arrow's cast from text, where all values are of a form that it reads as `coerce.fit` does."""
    if lines.fullmatch("".join([f"{value}\n" for value in values if value is not None])) is None:
        return None
    return pa.array(values, _STRING).cast(ARROW_TYPES[kind])


_INSTANTS = re.compile(f"(?:(?!000[01]|9999){INSTANT}\n)*")  # not where a moment can be out of bounds
_DECIMALS = re.compile(f"(?:{DECIMAL}\n)*")
_TEXT_TYPES: frozenset[type] = frozenset((str, _NULL))
_EXACT_TYPES: Mapping[ColumnType, frozenset[type]] = {
    "text": _TEXT_TYPES,
    "bigint": frozenset((int, _NULL)),
    "double": frozenset((float, int, _NULL)),  # pyarrow refuses integers beyond 2**53 here
    "bool": frozenset((bool, _NULL)),
    "timestamp": frozenset((int, _NULL)),
    "decimal": _TEXT_TYPES,
    "json": frozenset((dict, list, str, int, float, bool, _NULL)),
}
_BUILD: Mapping[ColumnType, Callable[[Values], pa.Array | None]] = {
    "text": _text,
    "bigint": _plain("bigint"),
    "double": _plain("double"),
    "bool": _plain("bool"),
    "timestamp": _timestamp,
    "decimal": _decimals,
    "json": _json,
}


def count_rows(tables: Mapping[str, pa.Table]) -> int:
    """Rows that will be rows: set markers are not."""
    return sum(table.num_rows - _markers(table) for table in tables.values())


def without_markers(table: pa.Table) -> pa.Table:
    """The rows that are rows, for those who cannot act on set markers."""
    return table.filter(pc.not_equal(table["_source"], "set")) if _markers(table) else table


def _markers(table: pa.Table) -> int:
    if "_parent_id" not in table.column_names:
        return 0
    return int(pc.sum(pc.equal(table["_source"], "set")).as_py() or 0)
