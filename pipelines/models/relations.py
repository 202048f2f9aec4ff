"""The keys of the live views and the relations between them, for object-relational mappers. Pure; knows no database.

The databases have no foreign keys, because objects arrive in any order and may be deleted. Mappers find them here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipelines.models.views import PARENT, View
from sources.catalogue import Catalogue

ACCOUNT = "_account_id"


@dataclass(frozen=True, slots=True)
class Relation:
    """Rows of `view` name a row of `other` by its id in `column`, within the same account."""

    view: str
    column: str
    other: str


def key_of_view(catalogue: Catalogue, view: View) -> tuple[str, ...]:
    """The columns that identify a row of the view of a table: `("id", "_account_id")` for most."""
    table = catalogue.tables[view.name]
    names = {expression.rpartition(".")[2].strip('"'): column for column, expression in view.columns.items()}
    return (*(names.get(column) or table.parent_field or column for column in table.key), ACCOUNT)


def relations(catalogue: Catalogue, views: dict[str, View]) -> Iterator[Relation]:
    """The relations between views: columns that hold ids of rows in exactly one view that is keyed by id."""
    for name, view in views.items():
        if name not in catalogue.tables:
            continue
        references, parent = catalogue.references(name), catalogue.tables[name].parent
        for column, expression in view.columns.items():
            targets = references.get(column) or catalogue.tables_of_object(column.removesuffix("_id"))
            if expression.endswith(PARENT) and parent is not None:
                targets = (parent,)
            named = column in references or column.endswith("_id")
            if named and len(targets) == 1 and targets[0] in views and catalogue.tables[targets[0]].key == ("id",):
                yield Relation(name, column, targets[0])
