"""Retrieves live rows that lists should have shown but did not: their objects may be deleted or only hidden.

Knows no provider; reads and stores through an open session.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from pipelines.loading.session import Session
from pipelines.warehouse.database import has_table
from sources.catalogue import Catalogue
from sources.changes import ObjectRef, Retrieved
from sources.rows import merged


@dataclass(frozen=True, slots=True)
class Read:
    """How many rows were retrieved, and how many of them were deleted."""

    rows: int = 0
    deleted: int = 0


def tables_read_whole(catalogue: Catalogue, finished: Collection[str]) -> list[str]:
    """The tables whose rows have all been listed: every list that shows them is among the `finished` resources.

    Excludes tables whose lists show objects only for a limited time. Lists with parents count only if the table has no
    other list.
    """
    loaded = [resource for resource in catalogue.resources.values() if resource.not_loaded is None]
    lists = {
        name: catalogue.shown_by(name) or [resource for resource in loaded if resource.table == name]
        for name in dict.fromkeys(resource.table for resource in loaded)
    }
    return [
        name
        for name, table in catalogue.tables.items()
        if table.retrieve
        and table.parent is None
        and name in lists
        and all(resource.name in finished and resource.shown_for is None for resource in lists[name])
    ]


def read_unlisted(session: Session, table: str, began: int, statuses: Collection[str] = ()) -> Read:
    """Retrieves the live rows of a table whose state is older than `began`, unix seconds on the provider's clock.

    With `statuses`, only rows that have one of them. Objects that cannot be read are recorded in the session's
    `counts`. Raises errors that stop a run.
    """
    rows = deleted = 0
    refs = [ObjectRef(table, (id,), None, None, began) for id in _ids(session, table, began, statuses)]
    for batch in session.provider.retrieve(
        session.client, refs, session.account_id, workers=session.settings.workers, entries=session.counts
    ):
        _note(session, batch)
        session.store(session.tables_of(merged(retrieved.rows for retrieved in batch)))
        rows, deleted = rows + len(batch), deleted + sum(retrieved.state == "gone" for retrieved in batch)
    return Read(rows, deleted)


def _ids(session: Session, table: str, began: int, statuses: Collection[str]) -> list[str]:
    if not has_table(session.database, session.settings.dataset, table):
        return []
    where = f" AND status IN ({', '.join(['%s'] * len(statuses))})" if statuses else ""
    found = session.database.execute(
        f'SELECT id FROM "{session.settings.dataset}"."{table}"'
        f" WHERE _account_id = %s AND _deleted_at IS NULL AND _as_of < %s{where} ORDER BY id",
        (session.account_id, datetime.fromtimestamp(began, UTC), *statuses),
    )
    return [str(id) for (id,) in found]


def _note(session: Session, batch: Iterable[Retrieved]) -> None:
    for retrieved in batch:
        if retrieved.state in ("broken", "failed", "unreadable"):
            session.counts.within(retrieved.ref.table).reject(retrieved.ref.table, retrieved.ref.key[0], retrieved.why)
