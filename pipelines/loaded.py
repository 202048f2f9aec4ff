"""Which resources a sync or a check is about when nobody names any: those that were loaded before."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.session import Session
from sources.stripe_api.catalogue import RESOURCES, Resource, select


def loaded_resources(session: Session, names: Sequence[str] = ()) -> list[Resource]:
    """The named resources, or those with a line in `sync_status`, or the default group. Raises UnknownResource."""
    if names:
        return select(names)
    rows = session.database.execute(
        f'SELECT resource FROM "{session.settings.dataset}".sync_status WHERE _account_id = %s', (session.account_id,)
    )
    return select([name for (name,) in rows if name in RESOURCES])
