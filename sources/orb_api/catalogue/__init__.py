"""The catalogue: every list, table and event type of Orb's API. Data only; `lists.py` and `tables.py` declare it.

`tests/sources/orb_api/test_orb_catalogue.py` compares all of it with the installed SDK. Knows no HTTP, no column and no
database.

    CATALOGUE.resources["invoices"].path          # "/v1/invoices"
    CATALOGUE.tables["invoices"].embedded         # the line items, which have a table of their own
    CATALOGUE.types["invoice.issued"].table       # "invoices"
"""

from __future__ import annotations

from sources.catalogue import Catalogue
from sources.orb_api.catalogue.events import TYPES, subject_of
from sources.orb_api.catalogue.fields import fields_of, references_of
from sources.orb_api.catalogue.lists import LISTS
from sources.orb_api.catalogue.people import shape_of
from sources.orb_api.catalogue.tables import TABLES

CATALOGUE = Catalogue(
    resources={resource.name: resource for resource in sorted(LISTS, key=lambda resource: resource.kind == "child")},
    tables={table.name: table for table in sorted(TABLES, key=lambda table: table.parent is not None)},
    fields=fields_of,
    references=references_of,
    types=TYPES,
    subject_of=subject_of,
    log="webhook_events",
    shape_of=shape_of,
    page="docs/reference/orb.md",
)
"""Everything that Orb's API has."""
