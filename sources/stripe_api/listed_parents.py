"""Finds the parents of child lists without a database: reads the parents' ids from their lists. Knows no dlt.

All ids of a parent's table are held in memory, sorted. A list is read once for all children of a run.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

from sources.catalogue import Parent, Resource
from sources.columns.arrow import without_markers
from sources.columns.columns import Columns
from sources.columns.conversion_counts import ConversionCounts
from sources.errors import SkipResource
from sources.fetch.fetch import Chunk, Failed
from sources.provider import Account
from sources.stripe_api.catalogue import CATALOGUE, RESOURCES, TABLES
from sources.stripe_api.client.client import Client
from sources.stripe_api.objects.rows import converter
from sources.stripe_api.paging.plan import fetch

ParentRow = tuple[str | None, ...]


class ListedParents:
    """Parents of one account. It is a `sources.fetch.parents.rows.ParentIds`. Thread-safe."""

    def __init__(self, client: Callable[[], Client], account: Account) -> None:
        self._client, self._account = client, account
        self._lock = threading.Lock()
        self._lists: dict[str, threading.Lock] = {}
        self._rows: dict[str, list[ParentRow]] = {}

    def __call__(self, parent: Parent, after: str | None) -> Iterator[tuple[str, ...]]:
        """Rows in the order of their ids, after `after`. Raises SkipResource if the parents cannot be listed."""
        wanted = ",".join((parent.table, parent.when, *(column for _, column in parent.also)))
        with self._lock:
            lock = self._lists.setdefault(wanted, threading.Lock())
        with lock:
            if wanted not in self._rows:
                self._rows[wanted] = self._listed(parent)
        for row in self._rows[wanted]:
            values = tuple(value for value in row if value is not None)
            if len(values) == len(row) and values[0].startswith(parent.prefix) and values[0] > (after or ""):
                yield values

    def _listed(self, parent: Parent) -> list[ParentRow]:
        names = (TABLES[parent.table].key[0], *(column for _, column in parent.also))
        rows: set[ParentRow] = set()
        lists = _lists_of(parent.table)
        if not lists:
            raise SkipResource(f"Stripe has no list of {parent.table}, so their children cannot be requested.")
        convert = converter(self._account.id, Columns(CATALOGUE), ConversionCounts())
        skipped = []
        with (
            self._client() as client,
            fetch(client, lists, convert=convert, until=self._account.now, workers=4) as pages,
        ):
            for page in pages:
                if isinstance(page, Chunk) and parent.table in page.tables:
                    table = without_markers(page.tables[parent.table])
                    if parent.when:
                        table = table.filter(table[parent.when])
                    columns = [table[name].to_pylist() if name in table.column_names else () for name in names]
                    rows.update(zip(*(column or [None] * table.num_rows for column in columns), strict=True))
                elif isinstance(page, Failed):
                    if not isinstance(page.error, SkipResource):
                        raise page.error
                    skipped.append(page.error)
        if len(skipped) == len(lists):
            raise skipped[0]
        return sorted(rows, key=lambda row: row[0] or "")


def _lists_of(table: str) -> list[Resource]:
    """The lists that need no parent and show objects of a table, or objects with them embedded."""
    return [
        resource
        for resource in RESOURCES.values()
        if not resource.parents
        and resource.not_loaded is None
        and (resource.table == table or any(embedded.table == table for embedded in TABLES[resource.table].embedded))
    ]
