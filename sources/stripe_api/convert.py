"""From what paging hands over to Arrow tables: where a run's account, column types and counts come together.

Knows no database.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from sources.stripe_api.arrow import arrow_tables
from sources.stripe_api.catalogue import Resource
from sources.stripe_api.paging import Convert
from sources.stripe_api.rows import Row, Stamp, explode, set_marker
from sources.stripe_api.schema import Columns
from sources.stripe_api.tally import Tally
from sources.stripe_api.work import Listing


def converter(account_id: str, columns: Columns, tally: Tally) -> Convert:
    """A conversion for `sources.stripe_api.paging.fetch`."""

    def convert(resource: Resource, listings: Sequence[Listing]) -> Mapping[str, pa.Table]:
        rows: dict[str, list[Row]] = {}
        for listing in listings:
            stamp = Stamp(account_id, listing.as_of, "retrieve" if resource.kind == "singleton" else "list")
            exploded = explode(resource.table, listing.objects, stamp, parent_id=listing.parent_id)
            for table, found in exploded.items():
                rows.setdefault(table, []).extend(found)
            if listing.whole and listing.parent_id is not None:
                rows.setdefault(resource.table, []).append(set_marker(resource.table, listing.parent_id, stamp))
        return arrow_tables(rows, columns, tally=tally)

    return convert


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
