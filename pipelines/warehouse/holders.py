"""Which table holds the objects that a child table's rows come embedded in, as the merge needs to know it.

Knows the catalogue and no connection.
"""

from __future__ import annotations

from collections.abc import Callable

from pipelines.warehouse.merge import Holder
from sources.stripe_api.catalogue import TABLES


def holder_of(table: str, exists: Callable[[str], bool], qualified: Callable[[str], str]) -> Holder | None:
    """The holder of a child table, None for any other table and where the holder's table does not exist yet.

    `exists` says which tables the dataset has, `qualified` quotes a table's name and puts the dataset before it.
    """
    known = TABLES.get(table)
    if known is None or known.parent is None:
        return None
    for name, holder in TABLES.items():
        for embedded in holder.embedded:
            if embedded.table == table and exists(name):
                return Holder(qualified(name), holder.key[0], not embedded.expand)
    return None
