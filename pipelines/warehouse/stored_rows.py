"""Reads stored rows of tables, by key or by parent, for comparisons. Knows SQL and tables, but no API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pipelines.warehouse.database import Database
from sources.catalogue import Table
from sources.columns.coerce import VARIANT_MARK
from sources.columns.columns import OWN_COLUMNS, Columns
from sources.rows import Key, Row

BATCH = 500


class StoredRows:
    """The stored rows of one account in one dataset. Values of JSON columns are text, exactly as stored."""

    def __init__(self, database: Database, dataset: str, account_id: str, columns: Columns) -> None:
        self._database, self._dataset, self._account_id, self._columns = database, dataset, account_id, columns
        self._selected: dict[str, list[tuple[str, str]]] = {}

    @property
    def tables(self) -> Mapping[str, Table]:
        """The tables of the catalogue."""
        return self._columns.catalogue.tables

    def now(self) -> datetime:
        """The time on the database's clock, as in `_synced_at`."""
        found: datetime = self._database.execute("SELECT now()")[0][0]
        return found

    def is_there(self, table: str) -> bool:
        """Whether the table exists."""
        return bool(self._columns_of(table))

    def by_key(self, table: str, keys: Sequence[Key]) -> dict[Key, Row]:
        """key -> row, for keys that exist."""
        known = self.tables[table]
        if not known.key:
            return {row_key(known, row): row for row in self._select(table, "TRUE", ())}
        found: dict[Key, Row] = {}
        ids = sorted({key[0] for key in keys})
        for start in range(0, len(ids), BATCH):
            part = ids[start : start + BATCH]
            marks = ", ".join(["%s"] * len(part))
            for row in self._select(table, f'"{known.key[0]}" IN ({marks})', part):
                found[row_key(known, row)] = row
        return found

    def children(self, table: str, parents: Sequence[str]) -> Iterator[Row]:
        """Live rows with one of these parents."""
        for start in range(0, len(parents), BATCH):
            part = parents[start : start + BATCH]
            marks = ", ".join(["%s"] * len(part))
            yield from self._select(table, f"_deleted_at IS NULL AND _parent_id IN ({marks})", part)

    def live_keys(self, table: str, where: str = "TRUE", parameters: Sequence[Any] = ()) -> list[Key]:
        """Keys of all live rows that meet an SQL condition."""
        names = ", ".join(f'"{name}"' for name in self.tables[table].key)
        rows = self._database.execute(
            f'SELECT {names} FROM "{self._dataset}"."{table}"'
            f" WHERE _account_id = %s AND _deleted_at IS NULL AND {where}",
            (self._account_id, *parameters),
        )
        return [tuple(map(_text, row)) for row in rows]

    def random_seconds(self, table: str, field: str, count: int) -> list[int]:
        """The unix seconds in the column `field` (`created`, for example) of `count` random rows."""
        rows = self._database.execute(
            f'SELECT "{field}" FROM "{self._dataset}"."{table}" WHERE _account_id = %s AND "{field}" IS NOT NULL'
            f" ORDER BY random() LIMIT {int(count)}",
            (self._account_id,),
        )
        return [int(row[0].timestamp()) for row in rows]

    def _select(self, table: str, where: str, parameters: Sequence[Any]) -> Iterator[Row]:
        columns = self._columns_of(table)
        if not columns:
            return
        rows = self._database.execute(
            f"SELECT {', '.join(expression for _, expression in columns)}"
            f' FROM "{self._dataset}"."{table}" WHERE _account_id = %s AND {where}',
            (self._account_id, *parameters),
        )
        names = [name for name, _ in columns]
        for row in rows:
            yield dict(zip(names, row, strict=True))

    def _columns_of(self, table: str) -> list[tuple[str, str]]:
        """Names and SQL expressions of the table's columns."""
        if table not in self._selected:
            rows = self._database.execute(
                "SELECT column_name, data_type FROM information_schema.columns"
                " WHERE table_schema = %s AND table_name = %s",
                (self._dataset, table),
            )
            known = self._columns.of(table)
            self._selected[table] = [
                (name, f'CAST("{name}" AS text)' if str(kind).lower() in ("json", "jsonb") else f'"{name}"')
                for name, kind in rows
                if name in known or name in OWN_COLUMNS or VARIANT_MARK in name
            ]
        return self._selected[table]


def row_key(table: Table, row: Mapping[str, Any]) -> Key:
    """The key of a row, without `_account_id`."""
    return tuple(_text(row[name]) for name in table.key)


def _text(value: Any) -> str:
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else str(value)
