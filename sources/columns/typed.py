"""Plain rows of one table -> rows of database values, for writers that use no Arrow. Knows no database."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sources.columns.layout import SYNCED_AT, fitted, layout, utc_now
from sources.rows import Row

if TYPE_CHECKING:
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
