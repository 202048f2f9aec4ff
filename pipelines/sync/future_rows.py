"""Repairs rows whose `_as_of` is in the future or null, because they were written with a wrong clock.

The guarded merge would refuse every later state of such a row, so its `_as_of` is set to shortly before now: then the
next state that is read replaces it. The users' own tables and views in the dataset are not touched. Knows no resource.
"""

from __future__ import annotations

from collections import Counter

from pipelines.loading.session import Session
from sources.fetch.windows import AHEAD

MARGIN = 300  # seconds; more than `gap.SLACK`, so that rows that no list shows any more are retrieved


def future_rows(session: Session, now: int, *, dry_run: bool = False) -> Counter[str]:
    """Counts such rows of the session's account by table, and repairs them unless `dry_run` is set.

    `now` is the provider's time, unix seconds. Raises DatabaseProblem.
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
