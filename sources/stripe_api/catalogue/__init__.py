"""The catalogue: every object of Stripe's API with its lists, table, event types and id prefixes, and look-ups in them.

The objects are declared in one file for each area of the API. A new endpoint is a new declaration there, or a new list
in the declaration of its objects, never a new branch; `sources/stripe_api/declaration.py` says what a declaration can
say. `tests/sources/test_catalogue.py` holds all of them against the installed SDK. Knows no HTTP, no column and no
database.

    RESOURCES["charges"].path                  # "/v1/charges"
    TABLES["invoices"].embedded                # the lists that move from an invoice into tables of their own
    select(["core", "payouts"])                # resources in the order in which to load them
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

from sources.catalogue import Created, Embedded, Gate, Pagination, Params, Parent, Resource, Table
from sources.errors import UnknownResource, shown
from sources.stripe_api.catalogue import billing, connect, issuing, other_areas, payments, tax, treasury, v2
from sources.stripe_api.declaration import Catalogue, assemble

__all__ = [
    "CATALOGUE",
    "DECLARATIONS",
    "GROUPS",
    "NOT_EMBEDDED",
    "RESOURCES",
    "TABLES",
    "Created",
    "Embedded",
    "Gate",
    "Pagination",
    "Params",
    "Parent",
    "Resource",
    "Table",
    "gives_sets",
    "select",
    "table_of",
    "table_of_object",
    "tables_of_object",
]

DECLARATIONS = (
    *payments.OBJECTS,
    *billing.OBJECTS,
    *tax.OBJECTS,
    *connect.OBJECTS,
    *issuing.OBJECTS,
    *treasury.OBJECTS,
    *other_areas.OBJECTS,
    *v2.OBJECTS,
)
"""Every object, the likelier first where an id can belong to several."""

CATALOGUE: Catalogue = assemble(DECLARATIONS)

RESOURCES: Mapping[str, Resource] = CATALOGUE.resources
"""Every list operation and singleton by name, parents before the children that need them."""

TABLES: Mapping[str, Table] = CATALOGUE.tables
"""Every table by name."""

NOT_EMBEDDED: Mapping[tuple[str, str], str] = CATALOGUE.not_embedded
"""Lists inside objects, by `object` and field, that fill no table from there, and why."""

GROUPS = ("core", "default", "all")
"""Billing and payments; every list that needs no parent, with the singletons; all that can be loaded."""


def select(names: Sequence[str] = ()) -> list[Resource]:
    """Resources by name or group, each once, parents before children; nothing selects the default group.

    Raises UnknownResource, with the nearest name, for one that the catalogue does not have or never loads.
    """
    chosen = {name for wanted in names or ("default",) for name in _expand(wanted.strip())}
    return [line for name, line in RESOURCES.items() if name in chosen]


def gives_sets(resource: Resource) -> bool:
    """Whether a list, paged to its end for one parent, gives the whole set of that parent's rows in its table.

    Only then may rows that it does not show be taken for deleted. It is not so where the table's rows belong to no
    parent (a customer's payment methods: detached, they live on) or where the list shows a part (two parents, a range).
    """
    return (
        len(resource.parents) == 1
        and resource.range_params is None
        and TABLES[resource.table].parent == resource.parents[0].table
    )


def tables_of_object(object_name: str) -> tuple[str, ...]:
    """Tables that can hold objects with this `object` value: none, one, or several (cards, items)."""
    return tuple(name for name, table in TABLES.items() if object_name in table.objects)


def table_of_object(object_name: str) -> str | None:
    """The table of objects with this `object` value; None where there is none, or where the name does not tell."""
    tables = tables_of_object(object_name)
    return tables[0] if len(tables) == 1 else None


def table_of(obj: Mapping[str, object]) -> str | None:
    """The table of an object that came without its list (by event or by id); None where it belongs to none.

    A card or bank account belongs to the account or to the customer that it names. Line items do not name their parent.
    """
    tables = tables_of_object(str(obj.get("object")))
    owned = [name for name in tables if (field := TABLES[name].parent_field) and obj.get(field) is not None]
    return tables[0] if len(tables) == 1 else owned[0] if len(owned) == 1 else None


def _expand(wanted: str) -> list[str]:
    """Names of the resources that one name or group stands for."""
    if wanted in GROUPS:
        return [
            name
            for name, line in RESOURCES.items()
            if line.not_loaded is None and (wanted == "all" or wanted in line.groups)
        ]
    if wanted not in RESOURCES:
        raise UnknownResource(f"There is no resource {shown(wanted, _loadable())}{_nearest(wanted)} {_KNOWN}")
    if reason := RESOURCES[wanted].not_loaded:
        raise UnknownResource(f"The resource {wanted!r} is never loaded: {reason}.")
    return [wanted]


_KNOWN = f"Known are the groups {', '.join(GROUPS)} and the names of the catalogue (docs/reference)."


def _nearest(wanted: str) -> str:
    """A question that ends the message's first sentence, or its full stop where nothing is near."""
    normal = wanted.lower().replace("-", "_").replace(".", "_").replace(" ", "_")
    near = difflib.get_close_matches(normal, _loadable(), n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else "."


def _loadable() -> list[str]:
    return [*(name for name, line in RESOURCES.items() if line.not_loaded is None), *GROUPS]
