"""The reference page of the live views: the columns that they have beside those of their tables."""

from __future__ import annotations

from generators.markdown_page import code, page, table
from pipelines.models.views import definitions, live_views
from sources.columns.columns import all_columns
from sources.stripe_api.catalogue import CATALOGUE, TABLES


def views_page() -> str:
    """Every view that has columns of its own, with one sentence for each."""
    columns = {name: all_columns(CATALOGUE, name) for name in TABLES}
    views = live_views("stripe", "stripe", CATALOGUE, columns)
    said = {
        name: {column.name: column.about for column in found} for name, found in definitions("stripe").columns.items()
    }
    sections = []
    for name in sorted(TABLES):
        known = said.get(name, {})
        owner = f"The row of {code(TABLES[name].parent or '')} that owns this one."
        added = [column for column in views[name].columns if column not in columns[name] or column in known]
        if added:
            sections += [
                f"## {name}",
                table(("Column", ""), [(code(column), known.get(column, owner)) for column in added]),
            ]
    return page(
        "Views",
        "The schema `stripe_current` has a view of each table, with the columns of [the table](tables.md) and those"
        " that are listed here. [Queries](../queries.md) explains the views.",
        *sections,
    )
