"""Stores single objects that were retrieved, and records those that cannot be stored.

Knows no provider; stores through an open session.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.loading.session import Session
from pipelines.warehouse.database import has_table
from sources.changes import Retrieved
from sources.errors import RequestRefused, shortened
from sources.rows import Key, merged


class UnknownObject(RequestRefused):
    """The id belongs to no object that can be read. The message names the id, and says what to do."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """An object that was stored. `is_deleted`: the provider has deleted it, and its row says so."""

    id: str
    table: str
    is_deleted: bool


def store(session: Session, found: Sequence[Retrieved]) -> list[Loaded]:
    """Merges objects in one load. An object that cannot be stored is left out, and the session's `counts` name it."""
    storable = []
    for attempt in found:
        if attempt.state in ("broken", "failed"):
            session.counts.reject(attempt.ref.table, written(attempt.ref.key), attempt.why)
        else:
            storable.append(attempt)
    session.store(session.tables_of(merged(attempt.rows for attempt in storable)))
    refused = {(entry.table, entry.id) for entry in session.counts.rejected()}
    return [
        Loaded(written(attempt.ref.key), attempt.ref.table, attempt.state == "gone")
        for attempt in storable
        if (attempt.ref.table, shortened(attempt.ref.key[0])) not in refused
    ]


def written(key: Key) -> str:
    """A key in the form that the command line takes: the parent's id first."""
    return "/".join((*key[1:], *key[:1]))


def stored(session: Session, table: str, id: str, selected: str = "1") -> list[tuple[Any, ...]]:
    """The values of `selected`, an SQL expression, in the rows of an id in a table; empty without the table."""
    if not has_table(session.database, session.settings.dataset, table):
        return []
    key = session.catalogue.tables[table].key[0]
    return session.database.execute(
        f'SELECT {selected} FROM "{session.settings.dataset}"."{table}" WHERE "{key}" = %s AND _account_id = %s',
        (id, session.account_id),
    )
