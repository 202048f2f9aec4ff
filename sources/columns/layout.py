"""Plain rows of one table -> its columns: which there are, of which type, in which order, and their values.

The Arrow path and the row path both start here, so that they agree. Unseen fields are learned here. Knows nothing of
Arrow, pages, databases.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from itertools import chain
from typing import TYPE_CHECKING, Any

from sources.catalogue import ColumnType
from sources.columns.coerce import VARIANT_MARK, VARIANTS, Variant, fit, is_column_name, variant_column
from sources.columns.columns import OWN_COLUMNS

if TYPE_CHECKING:
    from sources.catalogue import Table
    from sources.columns.columns import Columns
    from sources.columns.conversion_counts import ConversionCounts

SYNCED_AT = "_synced_at"
OTHER_FIELDS = "_other_fields"
"""JSON object of the fields that cannot be columns, for their names ("Amount", "a__b", "_as_of", "ctid") or because the
table has no room for more (`columns.MORE_COLUMNS`). It is made where it is needed."""

RESERVED: frozenset[str] = frozenset((*OWN_COLUMNS, OTHER_FIELDS))

Values = Sequence[Any]

_ONLY_NULLS: frozenset[type] = frozenset((type(None),))
_STORED_AS_IS: Mapping[ColumnType, frozenset[type]] = {
    "bool": _ONLY_NULLS | {bool},
    "double": _ONLY_NULLS | {float},
}
_NO_VARIANTS: Mapping[str, tuple[Variant, Values]] = {}


def utc_now() -> datetime:
    """The wall clock, for `_synced_at`."""
    return datetime.now(UTC)


Column = tuple[str, ColumnType, Values, bool]
"""Name, type, an entry per row (None for null; empty for `_synced_at`, which is stamped later), and whether timestamps
are RFC 3339 strings (`Table.moments`) rather than unix seconds. Plain tuples: there is one for every column of
every page."""


def layout(
    table: Table, rows: Sequence[Mapping[str, Any]], columns: Columns, counts: ConversionCounts | None = None
) -> list[Column]:
    """The columns of a batch: key, own columns, fields in the snapshot's order, others in the order of learning.

    Of Stripe's fields only those that some row has; of those that `columns` does not know only those with a value. The
    values are those that `columns.privacy` lets through.
    """
    cells = _transposed(columns.privacy.rows(table.name, rows))
    known = columns.of(table.name)
    if unseen := [name for name in cells if (name not in known or VARIANT_MARK in name) and name not in OWN_COLUMNS]:
        _settle(table.name, unseen, cells, columns, len(rows), counts)
        known = columns.of(table.name)
    nulls = [None] * len(rows)
    iso = table.moments == "iso"
    key: list[Column] = [
        (name, known[name], cells[name], iso and known[name] == "timestamp")
        for name in table.key
        if name not in OWN_COLUMNS
    ]
    own: list[Column] = [
        (name, kind, () if name == SYNCED_AT else cells.get(name, nulls), False)
        for name, kind in OWN_COLUMNS.items()
        if name != "_parent_id" or table.parent is not None
    ]
    fields: list[Column] = [
        (name, kind, cells[name], iso and kind == "timestamp")
        for name, kind in known.items()
        if name in cells and name not in OWN_COLUMNS and name not in table.key
    ]
    return key + own + fields


def fitted(
    table: str, column: Column, columns: Columns, counts: ConversionCounts | None
) -> tuple[Values, Mapping[str, tuple[Variant, Values]]]:
    """A column value by value: what it stores, and its variant columns by name with their types.

    An entry per row, None for null. Variant columns are learned, so that later rows set them to null. A table without
    room for more columns gets one variant of a column, which holds any value as JSON.
    """
    name, kind, values, iso = column
    if _STORED_AS_IS.get(kind, _ONLY_NULLS).issuperset(map(type, values)):
        return values, _NO_VARIANTS
    stored: list[Any] = [None] * len(values)
    variants: dict[Variant, list[Any]] = {}
    escaped = 0
    for row, value in enumerate(values):
        if value is None:
            continue
        fits, variant, changed = fit(kind, value, iso)
        if variant is not None and not _has_place(table, variant_column(name, variant), columns):
            variant = "json"
            fits, _, changed = fit(variant, value)
        escaped += changed
        if variant is None:
            stored[row] = fits
        else:
            variants.setdefault(variant, [None] * len(values))[row] = fits
    if not variants and not escaped:
        return stored, _NO_VARIANTS
    beside = {variant_column(name, kind): (kind, variants[kind]) for kind in VARIANTS if kind in variants}
    for variant_name, (kind, _) in beside.items():
        columns.learn(table, variant_name, VARIANTS[kind])
    if counts is not None:
        counts.add(table, name, escaped, {key: len(found) - found.count(None) for key, (_, found) in beside.items()})
    return stored, beside


def _has_place(table: str, column: str, columns: Columns) -> bool:
    """Whether a table has a variant column, or room for it."""
    return column in columns.of(table) or columns.room(table) > 0


def _transposed(rows: Sequence[Mapping[str, Any]]) -> dict[str, Values]:
    shape = tuple(rows[0])
    if all(tuple(row) == shape for row in rows):
        return dict(zip(shape, zip(*(row.values() for row in rows), strict=True), strict=True))
    names = dict.fromkeys(chain.from_iterable(rows))
    return {name: [row.get(name) for row in rows] for name in names}


def _settle(
    table: str,
    unseen: Sequence[str],
    cells: dict[str, Values],
    columns: Columns,
    count: int,
    counts: ConversionCounts | None,
) -> None:
    """Learn the types of unseen fields that have values; put what cannot be a column into `_other_fields`."""
    new = [name for name in unseen if name != OTHER_FIELDS]
    others = [name for name in new if not is_column_name(name)]
    if len(new) > (room := max(columns.room(table), 0)):
        candidates = (name for name in new if is_column_name(name) and any(value is not None for value in cells[name]))
        others += list(candidates)[room:]
    if others:
        if counts is not None:
            counts.set_aside(table, others)
        gathered: list[dict[str, Any]] = [dict(value or {}) for value in cells.get(OTHER_FIELDS, [None] * count)]
        for name in others:
            for fields, value in zip(gathered, cells.pop(name), strict=True):
                if value is not None:
                    fields[name] = value
        cells[OTHER_FIELDS] = [fields or None for fields in gathered]
    for name in (*unseen, OTHER_FIELDS):
        first = next((value for value in cells.get(name, ()) if value is not None), None)
        if first is not None:
            columns.learn(table, name, 0.0 if type(first) is Decimal else first)
