"""Rows that claim to show a state from the future, or none that can be compared: a wrong clock has written them.

The guarded merge keeps every later state out of such a row, so its `_as_of` is set to a moment before now: whatever is
read from then on wins. Tables and views that users keep in the dataset are left alone. Knows no resource.
"""

from __future__ import annotations

from collections import Counter

from pipelines.loading.session import Session
from sources.fetch.windows import AHEAD

MARGIN = 300  # seconds; more than `gap.SLACK`, so that rows which no list shows any more are read


def future_rows(session: Session, now: int, *, dry_run: bool = False) -> Counter[str]:
    """Finds such rows of the session's account, by table, and unless `dry_run` lets later states overwrite them.

    `now` is Stripe's clock, unix seconds. Raises DatabaseProblem.
    """
    dataset, execute = session.settings.dataset, session.database.execute
    tables = execute(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = %s AND table_type = 'BASE TABLE'"
        " ORDER BY table_name",
        (dataset,),
    )
    found: Counter[str] = Counter()
    for table in (name for (name,) in tables if name in session.catalogue.tables):
        where = "_account_id = %s AND (_as_of IS NULL OR _as_of > to_timestamp(%s))"
        asked = (session.account_id, now + AHEAD)
        rows = execute(f'SELECT count(*) FROM "{dataset}"."{table}" WHERE {where}', asked)
        if rows[0][0]:
            found[table] = int(rows[0][0])
            if not dry_run:
                lowered = f'UPDATE "{dataset}"."{table}" SET _as_of = to_timestamp(%s) WHERE {where}'
                execute(lowered, (now - MARGIN, *asked))
    return found
