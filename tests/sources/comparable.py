"""Objects as `sources.columns.typed.object_of` gives them back, so that tests can compare both."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sources.columns.coerce import canonical
from sources.columns.layout import RESERVED
from sources.json_text import escaped
from sources.rows import Row
from sources.stripe_api.catalogue import TABLES
from sources.stripe_api.objects.embedded import take, take_expanded

if TYPE_CHECKING:
    from sources.columns.columns import Columns


def comparable(table: str, obj: Mapping[str, Any], columns: Columns) -> Row:
    """A full object of Stripe's (not changed) as `object_of` would give it back.

    Without `deleted: false` and the lists that fill tables of their own, with ids for expanded objects.
    """
    fields = pickle.loads(pickle.dumps(dict(obj)))  # several times as fast as a deep copy
    for embedded in TABLES[table].embedded:
        take(fields, embedded)
    for expanded in TABLES[table].expanded:
        take_expanded(fields, expanded)
    return as_returned(
        table, {name: fields[name] for name in fields if name != "deleted" or fields[name] is not False}, columns
    )


def as_returned(table: str, fields: Mapping[str, Any], columns: Columns) -> Row:
    """The fields of an object, less what fills tables of its own, as `object_of` would give them back.

    Without those that are null; decimals and instants in one spelling; unstorable characters escaped.
    """
    kinds, iso = columns.of(table), columns.catalogue.tables[table].moments == "iso"
    return {
        escaped(name): canonical("json" if name in RESERVED else kinds.get(name, "json"), value, iso)
        for name, value in fields.items()
        if value is not None
    }
