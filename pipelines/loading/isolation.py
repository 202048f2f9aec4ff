"""Loads a package so that only the rows that the database refuses are left out.

Halves a refused table until a refused row is alone. Knows no request and no progress: the caller gets the tables from
which rows were left out.
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
"""Loads tables and removes them from the mapping. If it raises DatabaseProblem for a refusal, they are in the mapping
again."""
Note = Callable[[object, str, int], None]  # records rows that are left out: key, reason, number of rows


def load_isolated(
    load: Load,
    tables: dict[str, pa.Table],
    columns: Columns,
    counts: ConversionCounts,
    sources: Mapping[str, Iterable[str]],
    most: float = inf,
) -> dict[str, int]:
    """Loads the tables, which it removes from `tables`; returns how many rows were left out, by table.

    Each of these rows is recorded in `counts` for its resources. `sources` are the names of the resources that a
    table's rows came from. After `most` refused rows of a table, its other rows are not tried, for callers that read
    the table again. Raises DatabaseProblem for problems other than refused rows: an outage, a lock, a missing
    permission.
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
    """Loads one table; returns how many rows were left out.

    A set marker needs all children of its parent in the same merge, so markers are loaded last, with all rows.
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
    """Why the database refuses the tables; None if it took them."""
    try:
        load(tables)
    except DatabaseProblem as problem:
        if problem.refusal is None:
            raise
        return problem.refusal
    return None
