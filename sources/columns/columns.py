"""Column types of every table: what the snapshot says, what the database has, and what a run learns.

The snapshot (`snapshot.json`, made by `generate/snapshot.py` from the installed SDK) has Stripe's top-level fields.
Knows no SQL and no Arrow: those who write turn a ColumnType into their own.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from sources.stripe_api.catalogue import TABLES

ColumnType = Literal["text", "bigint", "double", "bool", "timestamp", "decimal", "json"]
"""`timestamp` is a moment: unix seconds in API v1, an RFC 3339 string in v2. `decimal` comes as a string. `json` is
anything nested; ids of objects that Stripe can expand are `text`."""

SNAPSHOT = Path(__file__).parents[1] / "stripe_api" / "catalogue" / "snapshot.json"

OWN_COLUMNS: Mapping[str, ColumnType] = MappingProxyType(
    {
        "_account_id": "text",
        "_parent_id": "text",
        "_as_of": "timestamp",
        "_source": "text",
        "_synced_at": "timestamp",
        "_deleted_at": "timestamp",
    }
)
"""Our own columns in every table; `_parent_id` only where the objects belong to another (`Table.parent`)."""

LEARNED: Mapping[type, ColumnType] = MappingProxyType(
    {bool: "bool", int: "bigint", float: "double", str: "text", dict: "json", list: "json"}
)


def columns(table: str) -> Mapping[str, ColumnType]:
    """Stripe's fields of a table in the snapshot, sorted. Raises KeyError for a table that the catalogue lacks."""
    return _tables()[table]


def all_columns(table: str) -> Mapping[str, ColumnType]:
    """Stripe's fields and our own columns of a table."""
    has_parent = TABLES[table].parent is not None
    own = {name: kind for name, kind in OWN_COLUMNS.items() if has_parent or name != "_parent_id"}
    return MappingProxyType({**columns(table), **own})


def api_version() -> str:
    """The version of Stripe's API that the snapshot describes ("2026-10-28.endive")."""
    return str(_snapshot()["api_version"])


MORE_COLUMNS = 200
"""Columns that a table may have beyond those of the snapshot: fields that came later, and variants. Postgres takes
1,600 columns, but a row with values in more than about 440 fits no page there, however much of it is moved out."""


class Columns:
    """The columns of one run: those of `all_columns`, those that the database has, and those that the run learned.

    `stored` has the columns of tables that exist: their types win, because values must go into them. Threads may share
    it: the first to learn a column decides its type.
    """

    def __init__(self, stored: Mapping[str, Mapping[str, ColumnType]] = MappingProxyType({})) -> None:
        self._stored = stored
        self._lock = threading.Lock()
        self._tables: dict[str, Mapping[str, ColumnType]] = {}

    def of(self, table: str) -> Mapping[str, ColumnType]:
        """Columns of a table with our own: a view that does not change when more are learned."""
        known = self._tables.get(table)
        if known is None:
            with self._lock:
                known = self._tables.setdefault(
                    table, MappingProxyType({**all_columns(table), **self._stored.get(table, {})})
                )
        return known

    def room(self, table: str) -> int:
        """How many more columns the table may get; none is left where it is not positive."""
        return MORE_COLUMNS - (len(self.of(table)) - len(all_columns(table)))

    def learn(self, table: str, column: str, value: object) -> ColumnType:
        """The type of a column, decided from a value (not null) where it is unknown, and remembered.

        Raises TypeError for a value that is no JSON value, or null.
        """
        kind = self.of(table).get(column)
        if kind is not None:
            return kind
        learned = LEARNED.get(type(value))
        if learned is None:
            raise TypeError(f"cannot tell the type of column {column!r} of {table} from a {type(value).__name__}")
        with self._lock:
            known = self._tables[table]
            if column not in known:
                self._tables[table] = MappingProxyType({**known, column: learned})
            return self._tables[table][column]


@cache
def _tables() -> Mapping[str, Mapping[str, ColumnType]]:
    return {name: MappingProxyType(fields) for name, fields in _snapshot()["tables"].items()}


@cache
def _snapshot() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(SNAPSHOT.read_text(encoding="utf-8"))
    return content
