"""Judges live rows that a list, read to its end, does not show: each is retrieved once, because its object may be
deleted or only hidden from lists.

Decides nothing about listed rows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from pipelines.check.compare import Finding, differing
from pipelines.loading.session import Session
from pipelines.warehouse.stored_rows import StoredRows
from sources.catalogue import Catalogue, Resource
from sources.changes import ObjectRef, Retrieved
from sources.columns.arrow import arrow_tables
from sources.fetch.position import MARGIN
from sources.rows import Key, Stamp


@dataclass(frozen=True, slots=True)
class Judged:
    """A row that no list shows. `finding` is None if its object lives and the row is right.

    `tables` are the rows that repair it, children included.
    """

    table: str
    finding: Finding | None
    tables: dict[str, pa.Table]


def other_lists(catalogue: Catalogue, resource: Resource) -> set[str]:
    """Names of the other lists whose objects contain rows of this list's table, such as prices inside plans.

    Empty if this list's rows can be told apart: by its filter by time, or because they have no parent.
    """
    if resource.created != "none" or catalogue.tables[resource.table].parent is not None:
        return set()
    return {shown.name for shown in catalogue.shown_by(resource.table) if shown.table != resource.table}


class Unlisted:
    """The unlisted rows of one check, which began at `began` on the database's clock, and at `now` on the provider's
    clock.
    """

    def __init__(self, session: Session, stored: StoredRows, began: datetime, now: int) -> None:
        self._session, self._stored, self._began, self._now = session, stored, began, now

    def judge(self, resource: Resource, seen: Collection[Key], since: int, until: int) -> Iterator[Judged]:
        """Retrieves the rows created in `[since, until)` that the list should have shown but did not; `seen` are the
        listed keys.

        Raises errors that stop a run.
        """
        table = self._session.catalogue.tables[resource.table]
        is_cut = resource.created != "none" and resource.created_field is None and since > 0
        if resource.kind != "root" or is_cut or not self._stored.is_there(table.name):
            return
        session = self._session
        where, parameters = self._within(resource, since, until)
        unlisted = [
            ObjectRef(table.name, key, None, None, self._now)
            for key in self._stored.live_keys(table.name, where, parameters)
            if key not in seen and key != (session.account_id,)
        ]
        workers = session.settings.workers
        for batch in session.provider.retrieve(
            session.client, unlisted, session.account_id, workers=workers, entries=session.counts
        ):
            yield from map(self._judged, batch)

    def _within(self, resource: Resource, since: int, until: int) -> tuple[str, list[Any]]:
        """The SQL condition for rows that the list should show (created in the window, stored before the check began),
        and its parameters.
        """
        where, parameters = "_synced_at < %s", list[Any]([self._began])
        if self._session.catalogue.tables[resource.table].parent is not None:
            where += " AND _parent_id IS NULL"
        if resource.shown_for is not None:
            since = max(since, self._now - resource.shown_for + MARGIN)
        if other_lists(self._session.catalogue, resource):  # one of their objects may have been created later
            where += " AND _as_of < %s"
            parameters.append(datetime.fromtimestamp(until, UTC))
        if resource.statuses:
            where += f" AND status IN ({', '.join(['%s'] * len(resource.statuses))})"
            parameters += resource.statuses
        if resource.created_field is not None:
            field = f'"{resource.created_field}"'
            where += f" AND ({field} >= %s AND {field} < %s{f' OR {field} IS NULL' if since <= 0 else ''})"
            parameters += [datetime.fromtimestamp(since, UTC), datetime.fromtimestamp(until, UTC)]
        return where, parameters

    def _judged(self, retrieved: Retrieved) -> Judged:
        """The judgement on a retrieved row: deleted, or alive and perhaps stale."""
        session, table, key = self._session, retrieved.ref.table, retrieved.ref.key
        finding, rows = None, retrieved.rows
        if retrieved.state == "gone":
            finding = Finding(table, key, "vanished")
        elif retrieved.state == "unreadable" and session.catalogue.tables[table].retrieve is None:
            finding = Finding(table, key, "vanished")
            rows = session.provider.gone(table, key[0], Stamp(session.account_id, self._now, "retrieve"))
        elif retrieved.state in ("broken", "failed"):
            session.counts.within(table).reject(table, "/".join(key), retrieved.why)
        elif retrieved.state == "read":
            made = arrow_tables(rows, session.columns, counts=session.counts.within(table))
            read = made[table].to_pylist()[0] if table in made else None
            stored = self._stored.by_key(table, [key]).get(key)
            if read is not None and stored is not None and (fields := differing(table, read, stored, session.columns)):
                finding = Finding(table, key, "stale", fields)
        tables = session.tables_of(rows) if finding is not None else {}
        return Judged(table, finding, tables)
