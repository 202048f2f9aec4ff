"""Whose children to ask for: the parents' ids, read from the tables that an earlier part of the run has filled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from pipelines.warehouse.database import Database, has_table
from sources.catalogue import Parent, Table
from sources.errors import SkipResource

BATCH = 1_000


class StoredParents:
    """Parents of one account. Callable as `sources.stripe_api.paging.parents.ParentIds`; may be called from any thread.

    `changed_since`: only parents that were written since then, None for all of them.
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
        """Rows in the order of their ids, after `after`. Raises SkipResource where the parents were never loaded."""
        if not has_table(self._database, self._dataset, parent.table):
            raise SkipResource(
                f"The table {self._dataset}.{parent.table} has never been loaded, so the parents are unknown."
                f" Load it too: --resources {parent.table} …"
            )
        key = self._tables[parent.table].key[0]
        selected = ", ".join(f'"{name}"' for name in (key, *(column for _, column in parent.also)))
        present = "".join(f' AND "{column}" IS NOT NULL' for _, column in parent.also)
        while True:
            rows = self._database.execute(
                f'SELECT {selected} FROM "{self._dataset}"."{parent.table}" WHERE _account_id = %s'
                f' AND _deleted_at IS NULL AND "{key}" > %s AND starts_with("{key}", %s){present}'
                + (" AND _synced_at >= %s" if self._changed_since else "")
                + f' ORDER BY "{key}" LIMIT {BATCH}',
                (self._account_id, after or "", parent.prefix, *filter(None, (self._changed_since,))),
            )
            yield from (tuple(map(str, row)) for row in rows)
            if len(rows) < BATCH:
                return
            after = str(rows[-1][0])
