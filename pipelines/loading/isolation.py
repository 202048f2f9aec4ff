"""Loads a package, in parts if the database refuses some of it, so that only the refused rows are left out.

Halves a table until the refused row stands alone. Knows no request and no progress: the caller, which saves that, gets
the tables of which rows were left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import inf

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.warehouse.merge import PARENT, SET_MARKER, SOURCE
from pipelines.warehouse.problems import DatabaseProblem
from sources.catalogue import Table
from sources.columns.arrow import concat
from sources.columns.columns import Columns
from sources.columns.conversion_counts import ConversionCounts

Load = Callable[[dict[str, pa.Table]], None]
"""Loads tables, which it takes out of the mapping, and puts back where it raises DatabaseProblem for a refusal."""
Note = Callable[[object, str, int], None]  # of a row that is left out: its key, why, and of how many rows


def load_isolated(
    load: Load,
    tables: dict[str, pa.Table],
    columns: Columns,
    counts: ConversionCounts,
    sources: Mapping[str, Iterable[str]],
    most: float = inf,
) -> dict[str, int]:
    """Loads the tables, which it takes out of `tables`; returns of which tables how many rows were left out.

    Each of these is noted in `counts` for its resources.
    `sources` are the names of the resources that a table's rows came from. After `most` refused rows of a table, the
    rest of it is not tried: for callers that come back to it. Raises DatabaseProblem for everything that is not about
    the rows: an outage, a lock, a missing permission.
    """
    if _refused(load, tables) is None:
        return {}
    refused: dict[str, int] = {}
    for name in list(tables):

        def note(id: object, why: str, count: int, name: str = name) -> None:
            refused[name] = 0
            for resource in sources.get(name, ("",)):
                counts.within(resource).reject(name, id, why, count)

        if count := _load_apart(load, columns.catalogue.tables[name], tables.pop(name), note, most):
            refused[name] = count
    return refused


def _load_apart(load: Load, known: Table, table: pa.Table, note: Note, most: float) -> int:
    """One table; returns how many rows were left out.

    A set marker needs all children of its parent beside it, so that markers go last, with all rows.
    """
    is_marker = pc.equal(table[SOURCE], SET_MARKER)
    rows, markers = table.filter(pc.invert(is_marker)), table.filter(is_marker)
    waiting = [(0, rows.num_rows)] if rows.num_rows else []
    left_out: list[int] = []
    found = 0
    while waiting:
        start, count = waiting.pop()
        if found >= most:
            note(None, f"{count:,} more rows were not tried, because the database had refused too many", count)
            left_out += range(start, start + count)
            continue
        why = _refused(load, {known.name: rows.slice(start, count)})
        if why is not None and count == 1:
            note(rows[known.key[0]][start].as_py() if known.key else None, f"the database refuses its row: {why}", 1)
            left_out.append(start)
            found += 1
        elif why is not None:
            half = count // 2
            waiting += [(start + half, count - half), (start, half)]
    if markers.num_rows:
        doubted = rows.take(pa.array(left_out, pa.int64()))[PARENT]
        whole = markers.filter(pc.invert(pc.is_in(markers[PARENT], value_set=doubted.combine_chunks())))
        kept = rows.filter(
            pc.invert(pc.is_in(pa.array(range(rows.num_rows)), value_set=pa.array(left_out, pa.int64())))
        )
        if whole.num_rows and (why := _refused(load, {known.name: concat([kept, whole])})) is not None:
            note(None, f"the database refuses to delete children that no longer exist: {why}", whole.num_rows)
    return len(left_out)


def _refused(load: Load, tables: dict[str, pa.Table]) -> str | None:
    """Why the database refuses the tables, None where it took them."""
    try:
        load(tables)
    except DatabaseProblem as problem:
        if problem.refusal is None:
            raise
        return problem.refusal
    return None
