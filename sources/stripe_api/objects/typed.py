"""Database rows -> Stripe's objects again, for comparing. Knows no Arrow and no database."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import TYPE_CHECKING, Any, cast

from sources.columns.coerce import VARIANT_MARK, canonical, restore
from sources.columns.layout import OTHER_FIELDS, RESERVED
from sources.json_text import escaped
from sources.rows import Row
from sources.stripe_api.catalogue import TABLES
from sources.stripe_api.objects.embedded import take, take_expanded

if TYPE_CHECKING:
    from sources.columns.coerce import Variant
    from sources.columns.columns import Columns


def object_of(table: str, row: Mapping[str, Any], columns: Columns) -> Row:
    """Stripe's object, less null fields, embedded lists and what it does not show itself, rebuilt from a database row.

    Values as `typed_rows` gives them or a database returns them: json as its text (or parsed, but for a bare string),
    timestamps as datetime (naive means UTC). Equal to `comparable` of the object that was stored. Raises KeyError for
    a column that `columns` does not know.
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


def comparable(table: str, obj: Mapping[str, Any], columns: Columns) -> Row:
    """A full object of Stripe's (not changed) as `object_of` would give it back.

    Without null fields, `deleted: false` and the lists that fill tables of their own; with ids for
    expanded objects; decimals and instants in one spelling; unstorable characters escaped.
    """
    fields = deepcopy(dict(obj))
    for embedded in TABLES[table].embedded:
        take(fields, embedded)
    for expanded in TABLES[table].expanded:
        take_expanded(fields, expanded)
    kinds, v2 = columns.of(table), TABLES[table].moments == "iso"
    return {
        escaped(name): canonical("json" if name in RESERVED else kinds.get(name, "json"), value, v2)
        for name, value in fields.items()
        if value is not None and not (name == "deleted" and value is False)
    }
