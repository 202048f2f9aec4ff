"""After a gap in the events: reads every list again, and retrieves every row that no list shows.

If a run is killed or spends its budget, the next run continues: `sync_accounts` has the time at which the resync began.
Knows no event.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from pipelines.loading.session import Session
from pipelines.sync.future_rows import future_rows
from pipelines.sync.lists import SyncState
from pipelines.sync.stripe_api.gap import vanished_since
from pipelines.sync.stripe_api.lists import ListRuns
from sources.catalogue import Resource
from sources.fetch.position import KEPT, MARGIN
from sources.fetch.progress import Progress


class Resync:
    """Reads all of `resources` again in an open session. `deleted` counts the rows that were found to be deleted.

    `begin` is the unix second from which events have to be applied afterwards.
    """

    def __init__(
        self,
        session: Session,
        state: SyncState,
        lists: ListRuns,
        resources: Sequence[Resource],
        warn: Callable[[str], None],
    ) -> None:
        self._session, self._state, self._lists, self._resources, self._warn = session, state, lists, resources, warn
        self.begin = self.deleted = 0

    def run(self, why: str, now: int) -> None:
        """Begins or continues the resync. `why` is printed when it begins. Raises BudgetSpent, and other errors that
        stop a run.
        """
        since = self._session.state.read_account().resync_since
        if since is None:
            self._start(why, now)
        elif (begin := int(since.timestamp())) > now:  # the rows that it has listed are dated by the same clock
            self._start("An earlier run used a wrong clock when it read every list.", now)
        else:
            self.begin = max(begin, now - KEPT + 2 * MARGIN)
            self._warn("Continuing to read every list again, which an earlier run began.")
        future_rows(self._session, now)
        left = [
            resource for resource in self._resources if not self._state.is_listed_within(resource.name, self.begin, now)
        ]
        if left:
            self._lists.read(left, now)
        self.deleted = vanished_since(self._session, self._resources, self.begin)

    def end(self) -> None:
        """Records the end of the resync. Call it once the position of the events is saved."""
        self._session.save(account={"resync_since": None})

    def _start(self, why: str, now: int) -> None:
        self.begin = now
        self._warn(
            f"{why} Stripe keeps events for thirty days, so every list is read again now, and every row that"
            " no list shows. This costs as many requests as a first load. After that, reading events is"
            " enough."
        )
        for resource in self._resources:
            self._state.save_progress(resource.name, Progress().to_json())
        self._session.save(account={"resync_since": datetime.fromtimestamp(now, UTC)})
