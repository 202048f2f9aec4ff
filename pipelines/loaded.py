"""Which resources a dataset has of an account: what a sync is about when nobody names any, and what events may fill."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pipelines.session import Session
from sources.stripe_api.catalogue import RESOURCES, TABLES, Resource, select


def loaded_names(session: Session) -> list[str]:
    """Names of the resources that have a line in `sync_status`."""
    rows = session.database.execute(
        f'SELECT resource FROM "{session.settings.dataset}".sync_status WHERE _account_id = %s', (session.account_id,)
    )
    return [name for (name,) in rows if name in RESOURCES]


def loaded_resources(session: Session, names: Sequence[str] = ()) -> list[Resource]:
    """The named resources, or those that were loaded, or the default group. Raises UnknownResource."""
    return select(names or loaded_names(session))


def followed_tables(names: Iterable[str]) -> frozenset[str] | None:
    """The tables that events fill where these resources are loaded; None for every table.

    It is every table, also those without a list (mandates, discounts), where all of the default group is loaded.
    It must not depend on what a single run is about: the position of the events is one for all tables.
    """
    loaded = set(names)
    if {one.name for one in select()} <= loaded:
        return None
    tables = {RESOURCES[name].table for name in loaded}
    return frozenset(tables | {embedded.table for name in tables for embedded in TABLES[name].embedded})
