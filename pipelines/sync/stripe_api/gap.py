"""Before and after a gap in the events: since when the tables are right, and which rows have been deleted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pipelines.warehouse.database import has_table
from sources.catalogue import Resource
from sources.changes import ObjectRef
from sources.fetch.values import ResourceStatus
from sources.rows import merged

if TYPE_CHECKING:
    from pipelines.loading.session import Session

REPEATED = 3 * 86_400  # seconds in which Stripe repeats a webhook (https://docs.stripe.com/webhooks)
SLACK = 120  # seconds by which a read may show an earlier state than that of its request


def loaded_since(session: Session, resources: Iterable[Resource], saved: Mapping[str, ResourceStatus]) -> int | None:
    """The unix second from which events have to be applied after an earlier load; None without a load.

    It is the oldest `_as_of` of a row from a list, or for an empty list the end of its window. If webhooks arrived
    before the load, it is the oldest `_as_of` of a row that only webhooks reported: a load does not list an object that
    was deleted before it, and the webhook that reported the deletion may be lost.
    """
    lines = [(resource, saved[resource.name]) for resource in resources if resource.name in saved]
    if not any(line.status == "complete" for _, line in lines):
        return None
    ends = [int(line.window_end.timestamp()) for _, line in lines if line.window_end is not None]
    tables = {resource.table for resource, _ in lines}
    seconds = [second for table in tables for second in _oldest(session, table)]
    begin = min((*ends, *seconds), default=None)
    if begin is None:
        return None
    return min((begin, *(second for table in tables for second in _oldest_of_events(session, table, begin))))


def vanished_since(session: Session, resources: Iterable[Resource], begin: int) -> int:
    """Retrieves the rows that no list has shown since `begin`; returns how many are deleted."""
    deleted = 0
    for resource in resources:
        if resource.kind != "root" or resource.not_loaded or resource.shown_for is not None:
            continue
        for batch in session.provider.retrieve(
            session.client,
            list(unseen_rows(session, resource, begin - SLACK)),
            session.account_id,
            workers=session.settings.workers,
            entries=session.counts,
        ):
            rows = merged(retrieved.rows for retrieved in batch)
            deleted += sum(retrieved.state == "gone" for retrieved in batch)
            for retrieved in batch:
                if retrieved.state in ("broken", "failed"):
                    session.counts.reject(retrieved.ref.table, "/".join(retrieved.ref.key), retrieved.why)
            if tables := session.tables_of(rows):
                session.store(tables)
    return deleted


def unseen_rows(session: Session, resource: Resource, before: int) -> Iterator[ObjectRef]:
    """References to the live rows of a root list's table whose state is older than `before`, unix seconds."""
    table = session.catalogue.tables[resource.table]
    if not has_table(session.database, session.settings.dataset, table.name):
        return
    key = ", ".join(f'"{name}"' for name in table.key)
    own = " AND _parent_id IS NULL" if table.parent is not None else ""
    parent = "_parent_id" if table.parent is not None else "NULL"
    rows = session.database.execute(
        f'SELECT {key}, {parent} FROM "{session.settings.dataset}"."{table.name}" WHERE _account_id = %s'
        f" AND _deleted_at IS NULL AND _as_of < to_timestamp(%s){own} ORDER BY {key}",
        (session.account_id, before),
    )
    for row in rows:
        if row[0] != session.account_id:
            yield ObjectRef(table.name, tuple(map(str, row[:-1])), row[-1], None, before)


def _oldest(session: Session, table: str) -> list[int]:
    return _oldest_where(session, table, "_source <> 'event'")


def _oldest_of_events(session: Session, table: str, second: int) -> list[int]:
    """The oldest `_as_of` of rows that only events reported, in the days before `second` in which Stripe repeats
    webhooks.
    """
    asked = "_source = 'event' AND _as_of BETWEEN to_timestamp(%s) AND to_timestamp(%s)"
    return _oldest_where(session, table, asked, second - REPEATED, second)


def _oldest_where(session: Session, table: str, asked: str, *parameters: int) -> list[int]:
    if not has_table(session.database, session.settings.dataset, table):
        return []
    rows: list[tuple[Any, ...]] = session.database.execute(
        f'SELECT min(_as_of) FROM "{session.settings.dataset}"."{table}"'
        f" WHERE _account_id = %s AND _deleted_at IS NULL AND {asked}",
        (session.account_id, *parameters),
    )
    return [int(rows[0][0].timestamp())] if rows and rows[0][0] is not None else []
