"""Single objects that were retrieved: the rows of those that can be stored, and what to say of the others.

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
    """The id belongs to no object that can be read: the message says which and what to do."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """An object that was stored. `is_deleted`: the provider has deleted it, and its row says so."""

    id: str
    table: str
    is_deleted: bool


def store(session: Session, found: Sequence[Retrieved]) -> list[Loaded]:
    """Merges objects in one load. An object that cannot be stored is left out, and the session's `counts` name it."""
    storable = []
    for one in found:
        if one.state in ("broken", "failed"):
            session.counts.reject(one.ref.table, written(one.ref.key), one.why)
        else:
            storable.append(one)
    session.store(session.tables_of(merged(one.rows for one in storable)))
    refused = {(one.table, one.id) for one in session.counts.rejected()}
    return [
        Loaded(written(one.ref.key), one.ref.table, one.state == "gone")
        for one in storable
        if (one.ref.table, shortened(one.ref.key[0])) not in refused
    ]


def written(key: Key) -> str:
    """A key as the command line takes it: the parent's id first."""
    return "/".join((*key[1:], *key[:1]))


def stored(session: Session, table: str, id: str, selected: str = "1") -> list[tuple[Any, ...]]:
    """What the rows of an id in a table show of the `selected` column, which is SQL; none without the table."""
    if not has_table(session.database, session.settings.dataset, table):
        return []
    key = session.catalogue.tables[table].key[0]
    return session.database.execute(
        f'SELECT {selected} FROM "{session.settings.dataset}"."{table}" WHERE "{key}" = %s AND _account_id = %s',
        (id, session.account_id),
    )
