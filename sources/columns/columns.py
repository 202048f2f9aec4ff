"""Column types of every table: what the catalogue says, what the database has, and what a run learns.

Knows no provider, no SQL and no Arrow: each writer maps a ColumnType to its own types.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from types import MappingProxyType

from sources.catalogue import Catalogue, ColumnType, Table
from sources.privacy import Privacy

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
"""Our own columns in every table; `_parent_id` only if the table has a parent (`Table.parent`)."""

ABOUT_OWN_COLUMNS: Mapping[str, str] = MappingProxyType(
    {
        "_account_id": "The account that the object belongs to.",
        "_parent_id": "The object that owns this one.",
        "_as_of": "The moment whose state the row shows, on the provider's clock.",
        "_source": "Where the row is from: a list, an event, or a single object that was read (retrieve).",
        "_synced_at": "When the row was written, on the database's clock.",
        "_deleted_at": "When the object was deleted; null while it lives.",
    }
)
"""One sentence on each of our own columns."""

LEARNED: Mapping[type, ColumnType] = MappingProxyType(
    {bool: "bool", int: "bigint", float: "double", str: "text", dict: "json", list: "json"}
)


def own_columns(table: Table) -> Mapping[str, ColumnType]:
    """Our own columns of a table."""
    return {name: kind for name, kind in OWN_COLUMNS.items() if table.parent is not None or name != "_parent_id"}


def all_columns(catalogue: Catalogue, table: str) -> Mapping[str, ColumnType]:
    """The provider's fields and our own columns of a table. Raises KeyError for one that the catalogue lacks."""
    return MappingProxyType({**catalogue.fields(table), **own_columns(catalogue.tables[table])})


MORE_COLUMNS = 200
"""How many columns a table may have beyond those of the catalogue: fields that the API added later, and variants.
Postgres allows 1,600 columns, but a row with values in more than about 440 does not fit into one of its pages, even
with its large values moved out (TOAST)."""


class Columns:
    """The columns of one run: those of the `catalogue`, those that the database has, and those that the run learned.

    `stored` has the columns of tables that exist: their types take precedence, because values must fit into them.
    Thread-safe: the first thread to learn a column decides its type. `privacy` says which fields are hashed or dropped.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        stored: Mapping[str, Mapping[str, ColumnType]] = MappingProxyType({}),
        privacy: Privacy | None = None,
    ) -> None:
        self.catalogue = catalogue
        self.privacy = privacy or Privacy(catalogue)
        self._stored = stored
        self._lock = threading.Lock()
        self._tables: dict[str, Mapping[str, ColumnType]] = {}

    def of(self, table: str) -> Mapping[str, ColumnType]:
        """Columns of a table, our own included: a view that does not change when more are learned."""
        known = self._tables.get(table)
        if known is None:
            with self._lock:
                known = self._tables.setdefault(
                    table, MappingProxyType({**all_columns(self.catalogue, table), **self._stored.get(table, {})})
                )
        return known

    def room(self, table: str) -> int:
        """How many more columns the table may get; zero or less if it is full."""
        return MORE_COLUMNS - (len(self.of(table)) - len(all_columns(self.catalogue, table)))

    def learn(self, table: str, column: str, value: object) -> ColumnType:
        """The type of a column. The type of an unknown column is decided by this value, and remembered.

        Raises TypeError if the value is null or not JSON.
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
