"""Plain rows -> rows of database values, for writers that use no Arrow; and back to objects. Knows no database."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

from sources.columns.coerce import VARIANT_MARK, restore
from sources.columns.layout import OTHER_FIELDS, RESERVED, SYNCED_AT, fitted, layout, utc_now
from sources.rows import Row

if TYPE_CHECKING:
    from sources.columns.coerce import Variant
    from sources.columns.columns import Columns
    from sources.columns.conversion_counts import ConversionCounts


def typed_rows(
    table: str,
    rows: Sequence[Mapping[str, Any]],
    columns: Columns,
    *,
    clock: Callable[[], datetime] = utc_now,
    counts: ConversionCounts | None = None,
) -> list[Row]:
    """Rows of one table -> rows of database values: the same columns, order and values as `arrow.arrow_tables`.

    text and json str, bigint int, double float, bool bool, timestamp aware datetime, decimal Decimal, null None.
    """
    if not rows:
        return []
    synced_at = clock()
    values: dict[str, Sequence[Any]] = {}
    for column in layout(columns.catalogue.tables[table], rows, columns, counts):
        name = column[0]
        if name == SYNCED_AT:
            values[name] = [synced_at] * len(rows)
            continue
        values[name], variants = fitted(table, column, columns, counts)
        values.update((variant_name, entries) for variant_name, (_, entries) in variants.items())
    return [dict(zip(values, entries, strict=True)) for entries in zip(*values.values(), strict=True)]


def object_of(table: str, row: Mapping[str, Any], columns: Columns) -> Row:
    """The provider's object, rebuilt from a row, without null fields, embedded lists and our own columns.

    Values as `typed_rows` gives them or a database returns them: json as its text (or parsed, except a plain string),
    timestamps as datetime (naive means UTC). Raises KeyError for a column that `columns` does not know.
    """
    kinds, described = columns.of(table), columns.catalogue.tables[table]
    iso, fields = described.moments == "iso", Row()
    aside = RESERVED.union(name for name, _ in described.kept)
    for name, value in row.items():
        if value is None or name in aside:
            continue
        field, mark, variant = name.rpartition(VARIANT_MARK)
        kind = cast("Variant", variant) if mark else kinds[name]
        fields[field or name] = restore(kind, value, iso)
    fields |= restore("json", row.get(OTHER_FIELDS) or {})
    if row.get("_deleted_at") is not None:
        fields["deleted"] = True
    return fields
