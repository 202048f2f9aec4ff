"""What an id says about its object, by its prefix; the longest that fits counts. Knows no HTTP and no database.

Prefixes are not documented as a whole; these are those of Stripe's own fixtures and documentation. An id may say
nothing at all: coupons, plans and products can have ids that users chose, and some lists have ids of their own kind
("US" of the country specs). Several objects can share a prefix, so that only the API can tell.

    tables_of_id("sub_sched_1")     # ("subscription_schedules",): not "sub_"
    tables_of_id("SPRING25")        # None
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from sources.errors import shape
from sources.stripe_api.catalogue import CATALOGUE, TABLES

OBJECTS_BY_PREFIX: Mapping[str, tuple[str, ...]] = CATALOGUE.objects_by_prefix
"""Prefix -> the `object` values that have such ids, the likeliest first; some are in no table."""

CHOSEN_BY_USERS = tuple(name for name, table in TABLES.items() if table.chosen_id and name != "prices")
"""Tables whose ids can be of the user's choosing: where an id without a known prefix is looked for. A price that has
such an id is a plan as well, which is found here."""

_LONGEST_FIRST = tuple(sorted(OBJECTS_BY_PREFIX, key=len, reverse=True))


def prefix_of(id: str) -> str | None:
    """The longest known prefix that an id begins with; None where there is none, or nothing behind it."""
    return next((prefix for prefix in _LONGEST_FIRST if id.startswith(prefix) and len(id) > len(prefix)), None)


def shown_id(id: str) -> str:
    """An id as a message may repeat it: quoted where it begins as Stripe's do, else only its shape."""
    return repr(id) if prefix_of(id) and re.fullmatch(r"[\w/-]{1,100}", id, re.ASCII) else shape(id)


def tables_of_id(id: str) -> tuple[str, ...] | None:
    """The tables that can hold the object with this id, none for objects that no table holds.

    None where the id says nothing.
    """
    prefix = prefix_of(id)
    if prefix is None:
        return None
    return tuple(
        dict.fromkeys(table for name in OBJECTS_BY_PREFIX[prefix] for table in CATALOGUE.tables_of_object(name))
    )


def tables_named(name: str) -> tuple[str, ...]:
    """The tables that somebody means by a table's name or by an `object` value: "coupons", "coupon"."""
    return (name,) if name in TABLES else CATALOGUE.tables_of_object(name)
