"""Finds the tables of an id by its prefix; the longest matching prefix counts. Knows no HTTP and no database.

Stripe has no complete list of prefixes; these come from its fixtures and documentation. An id may have no known prefix:
coupons, plans and products can have ids that users chose, and some lists have other ids ("US" of the country specs).
Several objects can share a prefix; then only the API can tell them apart.

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
"""Tables whose ids users can choose, in which an id without a known prefix is looked up. A price with such an id is
found as a plan, which Stripe shows under the same id."""

_LONGEST_FIRST = tuple(sorted(OBJECTS_BY_PREFIX, key=len, reverse=True))


def prefix_of(id: str) -> str | None:
    """The longest known prefix of an id; None if it has none, or consists of nothing else."""
    return next((prefix for prefix in _LONGEST_FIRST if id.startswith(prefix) and len(id) > len(prefix)), None)


def shown_id(id: str) -> str:
    """An id as a message may repeat it: quoted if it begins like Stripe's ids, otherwise only its shape."""
    return repr(id) if prefix_of(id) and re.fullmatch(r"[\w/-]{1,100}", id, re.ASCII) else shape(id)


def tables_of_id(id: str) -> tuple[str, ...] | None:
    """The tables that can hold the object with this id; empty if no table holds such objects.

    None if the prefix is unknown.
    """
    prefix = prefix_of(id)
    if prefix is None:
        return None
    return tuple(
        dict.fromkeys(table for name in OBJECTS_BY_PREFIX[prefix] for table in CATALOGUE.tables_of_object(name))
    )


def tables_named(name: str) -> tuple[str, ...]:
    """The tables that a user's word means: a table's name, or an `object` value ("coupons", "coupon")."""
    return (name,) if name in TABLES else CATALOGUE.tables_of_object(name)
