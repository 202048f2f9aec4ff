"""The catalogue: every object of Stripe's API with its lists, table, event types and id prefixes. Data only.

The objects are declared in one file for each area of the API. A new endpoint is a new declaration there, or a new list
in the declaration of its objects, never a new branch; `sources/stripe_api/declaration.py` documents declarations.
`tests/sources/stripe_api/test_catalogue.py` and `test_event_types.py` compare all of them with the installed SDK. Event
types that Stripe adds later need no declaration: the table follows from the payload's own `object`. Knows no HTTP, no
column and no database.

    RESOURCES["charges"].path                  # "/v1/charges"
    TABLES["invoices"].embedded                # the lists that move from an invoice into tables of their own
    select(["core", "payouts"])                # resources in the order in which to load them
    CATALOGUE.types["invoice.paid"].table      # "invoices"
"""

from __future__ import annotations

from collections.abc import Mapping

from sources.catalogue import Catalogue, Resource, Table
from sources.stripe_api.catalogue import billing, connect, issuing, other_areas, payments, tax, treasury, v2
from sources.stripe_api.catalogue.fields import DESCRIPTIONS, fields_of, references_of, shape_of
from sources.stripe_api.declaration import assemble

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
"""Every object. If several share a prefix of ids, the likelier one comes first."""

CATALOGUE: Catalogue = assemble(DECLARATIONS, fields_of, references_of, DESCRIPTIONS, shape_of)

RESOURCES: Mapping[str, Resource] = CATALOGUE.resources
"""Every list operation and singleton by name, parents before the children that need them."""

TABLES: Mapping[str, Table] = CATALOGUE.tables
"""Every table by name."""

select = CATALOGUE.select
