"""Set markers in Arrow tables: rows that close the set of a parent's children and are stored nowhere. See `rows`."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc


def rows_of(tables: Mapping[str, pa.Table]) -> int:
    """Rows that will be rows: set markers are not."""
    return sum(table.num_rows - _markers(table) for table in tables.values())


def without_markers(table: pa.Table) -> pa.Table:
    """The rows that are rows, for those who cannot act on set markers."""
    return table.filter(pc.not_equal(table["_source"], "set")) if _markers(table) else table


def _markers(table: pa.Table) -> int:
    if "_parent_id" not in table.column_names:
        return 0
    return int(pc.sum(pc.equal(table["_source"], "set")).as_py() or 0)
