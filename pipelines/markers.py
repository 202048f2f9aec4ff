"""Set markers that would change nothing: most parents have the children that the database has, or none at all.

A marker deletes the children of its parent that did not come along. Where the database holds no live children of a
parent, it has nothing to delete, and it leaves no trace either: dropping it is the same as merging it. On an initial
load that is every marker.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.database import Database
from pipelines.merge import ACCOUNT, PARENT, SET_MARKER, SOURCE


def without_idle_markers(tables: Mapping[str, pa.Table], database: Database, dataset: str) -> dict[str, pa.Table]:
    """The tables without idle markers, and without those that are empty then."""
    left = dict(tables)
    for name, table in tables.items():
        if PARENT not in table.column_names:
            continue
        is_marker = pc.equal(table[SOURCE], SET_MARKER)
        if not pc.any(is_marker).as_py():
            continue
        parents = table.filter(is_marker)[PARENT].unique()
        account = table[ACCOUNT][0].as_py()
        live = pa.array(sorted(_live_parents(database, dataset, name, account, parents.to_pylist())), pa.string())
        kept = table.filter(pc.or_(pc.invert(is_marker), pc.is_in(table[PARENT], value_set=live)))
        if kept.num_rows:
            left[name] = kept
        else:
            del left[name]
    return left


def _live_parents(database: Database, dataset: str, table: str, account: str, parents: list[str]) -> set[str]:
    """Those of the parents that have a live child in the database."""
    known = database.execute(
        "SELECT 1 FROM information_schema.tables WHERE table_schema = %s AND table_name = %s", (dataset, table)
    )
    if not known:
        return set()
    # Postgres hashes a constant array and uses the index; a subquery it joins by a guess at a table without statistics.
    among = "= ANY(%s)" if database.dialect == "postgres" else "IN (SELECT unnest(%s::text[]))"
    rows = database.execute(
        f'SELECT DISTINCT {PARENT} FROM "{dataset}"."{table}" WHERE {ACCOUNT} = %s AND _deleted_at IS NULL'
        f" AND {PARENT} {among}",
        (account, parents),
    )
    return {str(row[0]) for row in rows}
