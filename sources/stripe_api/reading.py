"""The items of dlt's resources: the pages of one list as Arrow tables, with progress in dlt's state.

Knows no database. dlt takes an item from each resource of a source in turn. Each resource has a fetch of its own, so
that it can be paused or closed, but only a few are open at once. All share one limiter and, within a run, one set of
columns.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import dlt
import pyarrow as pa
from dlt.common import logger
from dlt.extract.exceptions import CurrentSourceSchemaNotAvailable
from dlt.extract.hints import make_hints

from sources.catalogue import ColumnType, Resource
from sources.columns.arrow import concat, types_of, without_markers
from sources.columns.columns import Columns
from sources.columns.conversion_counts import ConversionCounts
from sources.columns.dlt_hints import dlt_columns, key_columns, stored_types
from sources.errors import SkipResource
from sources.fetch.fetch import Chunk, Failed, Fetch
from sources.fetch.limiter import Limiter
from sources.fetch.progress import Advance, Progress
from sources.privacy import Privacy
from sources.provider import Account
from sources.stripe_api.catalogue import CATALOGUE
from sources.stripe_api.client.account import read_account
from sources.stripe_api.client.client import Client
from sources.stripe_api.client.settings import ClientSettings
from sources.stripe_api.listed_parents import ListedParents
from sources.stripe_api.objects.rows import converter
from sources.stripe_api.paging.plan import fetch

AT_ONCE = 4  # open fetches
ROWS = 5_000  # rows of an item, about, and rows that wait behind it; dlt's overhead is per item
BYTES = 16 * 2**20


@dataclass(frozen=True, slots=True)
class Range:
    """Objects created in `[since, until)`, unix seconds; `again` reads earlier objects again."""

    since: int
    until: int | None
    again: bool


@dataclass(slots=True)
class Reading:
    """The state that the resources of one run share. `begun` are the resources that have begun."""

    account: Account
    columns: Columns
    parents: ListedParents
    begun: set[str] = field(default_factory=set)


class SourceRuns:
    """The runs of one source. A resource that begins a second time begins another run, with the time of that moment."""

    def __init__(
        self,
        settings: ClientSettings,
        limiter: Limiter,
        account_id: str | None,
        workers: int,
        chosen: Range,
        privacy: Privacy,
    ) -> None:
        self._privacy = privacy
        self.range, self.slots = chosen, threading.BoundedSemaphore(AT_ONCE)
        self._settings, self._limiter, self._account_id = settings, limiter, account_id
        self._workers = max(1, workers // AT_ONCE)
        self._lock = threading.Lock()
        self._now: Reading | None = None

    def begin(self, resource: Resource) -> Reading:
        """Begins a resource, and returns the run that it belongs to."""
        with self._lock:
            if self._now is None or resource.name in self._now.begun:
                with self.client() as client:
                    account = read_account(client, self._account_id)
                columns = Columns(CATALOGUE, _stored(), self._privacy)
                self._now = Reading(account, columns, ListedParents(self.client, account))
            self._now.begun.add(resource.name)
            return self._now

    def client(self) -> Client:
        """A new client, because closing a fetch closes its client's connections."""
        return Client(self._settings, self._limiter)

    def fetch(self, client: Client, reading: Reading, resource: Resource, progress: Progress) -> Fetch:
        """A fetch of what is left to read of a resource."""
        now = reading.account.now
        return fetch(
            client,
            [resource],
            convert=converter(reading.account.id, reading.columns, ConversionCounts()),
            since=self.range.since,
            until=min(self.range.until or now, now),
            progress={resource.name: progress},
            parents=reading.parents,
            workers=self._workers,
            max_rows=ROWS,
            max_bytes=BYTES,
        )


def read(runs: SourceRuns, resource: Resource) -> Iterator[Any]:
    """The items of one resource: Arrow tables, marked with their table's name; None to let dlt take another resource
    first.
    """
    logging.getLogger("dlt").addFilter(_is_news)
    while not runs.slots.acquire(blocking=False):
        yield None
    try:
        reading = runs.begin(resource)
        saved = dlt.current.resource_state().setdefault("progress", {})
        known = None if runs.range.again else saved.get(reading.account.id)
        progress = Progress.from_json(known) if known else Progress()
        hinted: dict[str, frozenset[str]] = {}
        with runs.client() as client, runs.fetch(client, reading, resource, progress) as pages:
            for tables, advances in _items(pages):
                for name, table in tables.items():
                    yield _marked(name, table, reading.columns, hinted)
                for advance in advances:
                    progress = progress.apply(advance)
                saved[reading.account.id] = progress.to_json()
    finally:
        runs.slots.release()


def _items(pages: Fetch) -> Iterator[tuple[dict[str, pa.Table], list[Advance | None]]]:
    """Joins pages until they are large enough for an item; yields them with the advances to save after them."""
    waiting: list[Chunk] = []
    for page in pages:
        if isinstance(page, Chunk):
            waiting.append(page)
            if sum(chunk.rows for chunk in waiting) >= ROWS or sum(chunk.nbytes for chunk in waiting) >= BYTES:
                yield _joined(waiting), [chunk.advance for chunk in waiting]
                waiting = []
        elif isinstance(page, Failed):
            if not isinstance(page.error, SkipResource):
                raise page.error
            logger.warning(f"The resource {page.resource} is left out: {page.error}")
    yield _joined(waiting), [chunk.advance for chunk in waiting]


def _joined(chunks: list[Chunk]) -> dict[str, pa.Table]:
    """One Arrow table for each table name; tables without rows are left out."""
    parts: dict[str, list[pa.Table]] = {}
    for chunk in chunks:
        for name, table in chunk.tables.items():
            if (rows := without_markers(table)).num_rows:
                parts.setdefault(name, []).append(rows)
    return {name: concat(tables) for name, tables in parts.items()}


def _marked(name: str, table: pa.Table, columns: Columns, hinted: dict[str, frozenset[str]]) -> Any:
    """The item of a table. It has hints the first time, and again if there are new columns."""
    known = frozenset(table.column_names)
    if name in hinted and known <= hinted[name]:
        return dlt.mark.with_table_name(table, name)
    hints = dlt_columns(name, columns, types_of(table.schema))
    hints["_as_of"]["dedup_sort"] = "desc"
    hinted[name] = frozenset(hints)
    key = key_columns(columns.catalogue.tables[name])
    return dlt.mark.with_hints(
        table,
        make_hints(
            table_name=name,
            write_disposition="merge",
            primary_key=key,
            columns=hints,
        ),
        create_table_variant=True,
    )


def _stored() -> Mapping[str, Mapping[str, ColumnType]]:
    """table -> column -> type in dlt's schema, with the types that earlier runs chose for unknown fields."""
    try:
        tables = dlt.current.source_schema().tables
    except CurrentSourceSchemaNotAvailable:  # read without a pipeline
        return {}
    return stored_types(tables)


def _is_news(record: logging.LogRecord) -> bool:
    """Whether dlt may log the record: its warning that JSON columns are text in Arrow would repeat for each item."""
    return "when merging arrow schema with dlt schema" not in record.getMessage()
