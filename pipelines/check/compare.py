"""Compares listed rows with stored rows: which are missing, stale or vanished. Pure.

A stored row that is newer than the listed one, or that was written since the check began (by the webhook sink, for
example), is no drift.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from pipelines.warehouse.stored_rows import row_key
from sources.catalogue import Table
from sources.columns.columns import Columns
from sources.columns.typed import object_of
from sources.fetch.windows import AHEAD
from sources.rows import Key, Row

Drift = Literal["missing", "stale", "vanished"]


@dataclass(frozen=True, slots=True)
class Finding:
    """A row that differs from its object. `fields` are the names of a stale row's differing fields."""

    table: str
    key: Key
    drift: Drift
    fields: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        fields = {"fields": list(self.fields)} if self.fields else {}
        return {"table": self.table, "key": list(self.key), "drift": self.drift, **fields}


def drift_of(table: str, listed: Row, stored: Row | None, began: datetime, columns: Columns) -> Finding | None:
    """The difference of a stored row from the listed one; None if there is none."""
    key = row_key(columns.catalogue.tables[table], listed)
    if stored is None:
        return Finding(table, key, "missing")
    if is_fresh(stored, listed["_as_of"], began):
        return None
    fields = differing(table, listed, stored, columns)
    return Finding(table, key, "stale", fields) if fields else None


def vanished(
    table: Table, listed: Iterable[Key], stored: Iterable[Row], as_of: datetime, began: datetime
) -> list[Finding]:
    """The live stored children of a parent that its complete list does not show."""
    there = set(listed)
    return [
        Finding(table.name, row_key(table, row), "vanished")
        for row in stored
        if row_key(table, row) not in there and not is_fresh(row, as_of, began)
    ]


def is_fresh(stored: Row, as_of: datetime, began: datetime) -> bool:
    """Whether a stored row is newer than the listed one, or was written since the check began.

    An older row counts as written with a wrong clock, not as fresh, if its `_as_of` is ahead by more than `AHEAD` or
    missing.
    """
    shown: datetime | None = stored["_as_of"]
    return stored["_synced_at"] >= began or (shown is not None and as_of < shown <= as_of + timedelta(seconds=AHEAD))


def differing(table: str, listed: Row, stored: Row, columns: Columns) -> tuple[str, ...]:
    """Names of the provider's fields that differ, and of `_deleted_at` and `_parent_id` if they do."""
    should, does = object_of(table, listed, columns), object_of(table, stored, columns)
    deleted = (stored["_deleted_at"] is None) != (listed.get("_deleted_at") is None)
    for fields in (should, does):
        fields.pop("deleted", None)
    found = {name for name in should.keys() | does.keys() if should.get(name) != does.get(name)}
    if deleted:
        found.add("_deleted_at")
    told = ("_parent_id", *(name for name, _ in columns.catalogue.tables[table].kept))
    found |= {name for name in told if listed.get(name) is not None and stored.get(name) != listed[name]}
    return tuple(sorted(found))
