"""From what paging hands over to Arrow tables: where a run's account, column types and counts come together.

Knows no database.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from sources.columns.columns import Columns
from sources.columns.conversion_counts import ConversionCounts
from sources.fetch.fetch import Convert
from sources.fetch.pager import Listing
from sources.rows import Row, Stamp
from sources.stripe_api.catalogue import Resource
from sources.stripe_api.objects.rows import explode, set_marker

if TYPE_CHECKING:
    import pyarrow as pa


def converter(account_id: str, columns: Columns, counts: ConversionCounts) -> Convert:
    """A conversion for a `Fetch`."""
    from sources.columns.arrow import arrow_tables  # here, because the sink converts nothing

    def convert(resource: Resource, listings: Sequence[Listing]) -> Mapping[str, pa.Table]:
        own = counts.within(resource.name)
        rows: dict[str, list[Row]] = {}
        for listing in listings:
            stamp = Stamp(account_id, listing.as_of, "retrieve" if resource.kind == "singleton" else "list")
            exploded = explode(resource.table, listing.objects, stamp, parent_id=listing.parent_id, counts=own)
            for table, found in exploded.items():
                rows.setdefault(table, []).extend(found)
            if listing.whole and listing.parent_id is not None:
                rows.setdefault(resource.table, []).append(set_marker(resource.table, listing.parent_id, stamp))
        return arrow_tables(rows, columns, counts=own)

    return convert
