"""Reads the parents of child lists from the tables that an earlier part of the run has filled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from pipelines.warehouse.database import Database, has_column, has_table
from sources.catalogue import Parent, Table
from sources.errors import SkipResource

BATCH = 1_000


class StoredParents:
    """Parents of one account. It is a `sources.fetch.parents.rows.ParentIds`. Thread-safe.

    `changed_since`: only parents written since then; None for all.
    """

    def __init__(
        self,
        database: Database,
        dataset: str,
        account_id: str,
        tables: Mapping[str, Table],
        changed_since: datetime | None,
    ) -> None:
        self._database, self._dataset, self._account_id = database, dataset, account_id
        self._tables, self._changed_since = tables, changed_since

    def __call__(self, parent: Parent, after: str | None) -> Iterator[tuple[str, ...]]:
        """Rows in the order of their ids, after `after`. Raises SkipResource if the parents were never loaded."""
        if not parent.table:
            yield from ((value,) for value in self._values(parent) if value > (after or ""))
            return
        if not has_table(self._database, self._dataset, parent.table):
            raise SkipResource(
                f"The table {self._dataset}.{parent.table} has never been loaded, so the parents are unknown."
                f" Load it too: --resources {parent.table} …"
            )
        key = self._tables[parent.table].key[0]
        selected = ", ".join(f'p."{name}"' for name in (key, *(column for _, column in parent.also)))
        present = "".join(f' AND p."{column}" IS NOT NULL' for _, column in parent.also)
        present += f' AND p."{parent.when}"' if parent.when else ""
        present += self._unread(parent, key)
        while True:
            rows = self._database.execute(
                f'SELECT {selected} FROM "{self._dataset}"."{parent.table}" AS p WHERE p._account_id = %s'
                f' AND p._deleted_at IS NULL AND p."{key}" > %s AND starts_with(p."{key}", %s){present}'
                + (" AND p._synced_at >= %s" if self._changed_since else "")
                + f' ORDER BY p."{key}" LIMIT {BATCH}',
                (self._account_id, after or "", parent.prefix, *filter(None, (self._changed_since,))),
            )
            yield from (tuple(map(str, row)) for row in rows)
            if len(rows) < BATCH:
                return
            after = str(rows[-1][0])

    def _values(self, parent: Parent) -> list[str]:
        """The values that replace ids for a parent without a table, from those of its columns that exist."""
        found = set(parent.always)
        for each in parent.values:
            table, column, *path = each.split(".")
            if not has_column(self._database, self._dataset, table, column):
                continue
            value = f'"{column}"' + "".join(f" -> '{name}'" for name in path[:-1])
            value = f"({value}) ->> '{path[-1]}'" if path else value
            rows = self._database.execute(
                f'SELECT DISTINCT {value} FROM "{self._dataset}"."{table}" WHERE _account_id = %s', (self._account_id,)
            )
            found |= {str(row[0]) for row in rows if row[0]}
        return sorted(found)

    def _unread(self, parent: Parent, key: str) -> str:
        """The SQL condition for parents whose list fills a column, if no row has the parent's id since the parent last
        changed.
        """
        table, _, column = parent.fills.partition(".")
        if not table or not has_column(self._database, self._dataset, table, column):
            return ""
        return (
            f' AND NOT EXISTS (SELECT 1 FROM "{self._dataset}"."{table}" AS c WHERE c."{column}" = p."{key}"'
            " AND c._account_id = p._account_id AND c._as_of >= p._as_of)"
        )
