"""Plain rows of one table -> rows of database values, and back to Stripe's objects. Knows no Arrow and no database."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

from sources.columns.coerce import VARIANT_MARK, canonical, restore
from sources.columns.layout import OTHER_FIELDS, RESERVED, SYNCED_AT, fitted, is_v2, layout, utc_now
from sources.json_text import escaped
from sources.rows import Row
from sources.stripe_api.catalogue import TABLES
from sources.stripe_api.objects.embedded import take

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
    for column in layout(TABLES[table], rows, columns, counts):
        name = column[0]
        if name == SYNCED_AT:
            values[name] = [synced_at] * len(rows)
            continue
        values[name], variants = fitted(table, column, columns, counts)
        values.update((variant_name, entries) for variant_name, (_, entries) in variants.items())
    return [dict(zip(values, entries, strict=True)) for entries in zip(*values.values(), strict=True)]


def object_of(table: str, row: Mapping[str, Any], columns: Columns) -> Row:
    """Stripe's object, less null fields and embedded lists, rebuilt from a database row: the inverse of this module.

    Values as `typed_rows` gives them or a database returns them: json as its text (or parsed, but for a bare string),
    timestamps as datetime (naive means UTC). Equal to `comparable` of the object that was stored. Raises KeyError for
    a column that `columns` does not know.
    """
    kinds, v2 = columns.of(table), is_v2(TABLES[table])
    fields: Row = {}
    for name, value in row.items():
        if value is None or name in RESERVED:
            continue
        field, mark, variant = name.rpartition(VARIANT_MARK)
        kind = cast("Variant", variant) if mark else kinds[name]
        fields[field or name] = restore(kind, value, v2)
    fields |= restore("json", row.get(OTHER_FIELDS) or {})
    if row.get("_deleted_at") is not None:
        fields["deleted"] = True
    return fields


def comparable(table: str, obj: Mapping[str, Any], columns: Columns) -> Row:
    """A full object of Stripe's (not changed) as `object_of` would give it back.

    Without null fields, `deleted: false` and the lists that fill tables of their own; decimals and instants in one
    spelling; unstorable characters escaped.
    """
    fields = deepcopy(dict(obj))
    for embedded in TABLES[table].embedded:
        take(fields, embedded)
    kinds, v2 = columns.of(table), is_v2(TABLES[table])
    return {
        escaped(name): canonical(kinds.get(name, "json"), value, v2)
        for name, value in fields.items()
        if value is not None and not (name == "deleted" and value is False)
    }
