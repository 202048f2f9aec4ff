"""From what paging hands over to Arrow tables: where a run's account, column types and counts come together.

Knows no provider: how objects become rows is given. Knows no database.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from sources.catalogue import Resource
from sources.columns.columns import Columns
from sources.columns.conversion_counts import ConversionCounts
from sources.fetch.pager import Convert, Converted, Listing
from sources.rows import ClosedSets, Row, Stamp

if TYPE_CHECKING:
    import pyarrow as pa


PLACE = "parent"
"""What stands for a parent's id in the one marker of a page that the others are made of."""


class Explode(Protocol):
    """Rows by table of the objects of one table and of all inside them: `sources.stripe_api.objects.rows.explode`."""

    def __call__(
        self,
        table: str,
        objects: Sequence[Row],
        stamp: Stamp,
        *,
        parent_id: str | None,
        counts: ConversionCounts,
        closed: ClosedSets,
    ) -> dict[str, list[Row]]:
        """Adds the parents of set markers to `closed`, and notes in `counts` the objects that no row can hold."""
        ...


SetMarker = Callable[[str, str, Stamp], Row]
"""The row that closes the set of a parent's children: of which table, of which parent, from where."""


def conversion(
    account_id: str, columns: Columns, counts: ConversionCounts, explode: Explode, set_marker: SetMarker
) -> Convert:
    """A conversion for a `Fetch`."""
    from sources.columns.arrow import Pattern, arrow_tables, concat  # here, because the sink converts nothing

    patterns: dict[str, tuple[Stamp, Pattern]] = {}  # a marker of each table: pages of one second share it

    def pattern_of(table: str, stamp: Stamp) -> Pattern:
        if table not in patterns or patterns[table][0] != stamp:
            row = arrow_tables({table: [set_marker(table, PLACE, stamp)]}, columns)[table]
            patterns[table] = stamp, Pattern(row, PLACE)
        return patterns[table][1]

    def convert(resource: Resource, listings: Sequence[Listing]) -> Converted:
        own = counts.within(resource.name)
        rows: dict[str, list[Row]] = {}
        markers: dict[str, list[pa.Table]] = {}
        odd = 0  # markers that no pattern can hold
        for listing in listings:
            stamp = Stamp(account_id, listing.as_of, "retrieve" if resource.kind == "singleton" else "list")
            closed: ClosedSets = {}
            exploded = explode(
                resource.table, listing.objects, stamp, parent_id=listing.parent_id, counts=own, closed=closed
            )
            for table, found in exploded.items():
                rows.setdefault(table, []).extend(found)
            if listing.whole and listing.parent_id is not None:
                closed.setdefault(resource.table, []).append(listing.parent_id)
            for table, parents in closed.items():
                if (made := pattern_of(table, stamp).with_each(parents)) is not None:
                    markers.setdefault(table, []).append(made)
                else:
                    rows.setdefault(table, []).extend(set_marker(table, parent, stamp) for parent in parents)
                    odd += len(parents)
        tables = arrow_tables(rows, columns, counts=own)
        count = sum(table.num_rows for table in tables.values()) - odd
        for table, made_of_it in markers.items():
            tables[table] = concat([tables[table], *made_of_it] if table in tables else made_of_it)
        return tables, count

    return convert
