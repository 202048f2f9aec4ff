"""What Stripe's event types mean: each one's table, which ones delete the object, which are ignored and why.

`tests/sources/stripe_api/test_event_types.py` holds the types against the installed SDK. Types that Stripe adds later
need no declaration: the payload's own `object` names the table. Knows no HTTP, no column and no database.

    TYPES["customer.subscription.updated"]     # EventType(table="subscriptions", deletes=False, ignored=None)
    table_of_event("customer.source.updated", {"object": "card", ...})         # "payment_sources"
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from sources.catalogue import EventType
from sources.stripe_api.catalogue import CATALOGUE, TABLES

TYPES: Mapping[str, EventType] = CATALOGUE.types
"""Every snapshot event type of the SDK."""

IGNORED: Mapping[str, str] = MappingProxyType({name: kind.ignored for name, kind in TYPES.items() if kind.ignored})
"""Types whose object is no state of anything, and why."""


def is_deletion(event_type: str) -> bool:
    """Whether a type, known or not, says that its object is gone."""
    name = event_type.removeprefix("v1.")
    return TYPES[name].deletes if name in TYPES else name.endswith(".deleted")


def unwrapped(obj: Mapping[str, Any]) -> Mapping[str, Any]:
    """The API's object that an event's object stands for: itself, or the one that it carries."""
    carried = obj.get(CATALOGUE.carried_by.get(str(obj.get("object")), ""))
    return carried if isinstance(carried, Mapping) else obj


def table_of_event(event_type: str, obj: Mapping[str, Any]) -> str | None:
    """The table of an event's object; None where no table can hold it.

    The object's own name and parent decide; where they leave it open (a card that shows no
    customer), its type does.
    """
    known = TYPES.get(event_type.removeprefix("v1."))
    if known is not None and obj.get("object") in TABLES[known.table].objects:
        return known.table
    return CATALOGUE.table_of(obj)
