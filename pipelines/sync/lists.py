"""The lists of a sync: how each resource stands, when its list was last read, and reading those that are due.

They are read from where they were left by the run that loads use too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pipelines.loading.run import Order, Outcome, Run
from pipelines.loading.session import Session
from pipelines.state import State
from pipelines.sync.cadence import Due, Last, reopened
from sources.catalogue import Catalogue, Resource
from sources.fetch.limiter import BudgetSpent
from sources.fetch.progress import Progress
from sources.fetch.values import ResourceStatus

COMMAND = "stripe_sync"
LISTED_AT = "listed_at"
"""The key in a resource's progress that says when its list was last read to its end, in unix seconds."""


class SyncState:
    """How the resources of one account stood when they were last read; each resource's own run writes its row."""

    def __init__(self, session: Session) -> None:
        self._session, self._state = session, session.state
        self.resources: Mapping[str, ResourceStatus] = {}
        self.read()

    def read(self) -> None:
        """Reads all of them again."""
        self.resources = self._state.read_resources()

    def last(self) -> dict[str, Last]:
        """When each resource was last listed: noted by a sync, or the end of the window that a load has reached."""
        return last_listed(self.resources, self._session.catalogue)

    def is_listed_within(self, resource: str, begin: int, now: int) -> bool:
        """Whether a sync has read the resource's list to its end since a second, by a clock that was not ahead."""
        one = self.resources.get(resource)
        return one is not None and bool(begin <= one.progress.get(LISTED_AT, 0) <= now)

    def note_listed(self, resources: Iterable[str], now: int) -> None:
        """Notes the moment in the resources' progress."""
        self.read()
        for name in resources:
            self.save_progress(name, {**self.resources[name].progress, LISTED_AT: now})

    def save_progress(self, name: str, progress: Mapping[str, Any]) -> None:
        """Replaces the progress of a resource, and nothing else of it; it may have none."""
        if name in self.resources:
            self.resources = {**self.resources, name: replace(self.resources[name], progress=progress)}
        self._state.save_progress(name, progress)


def last_listed(statuses: Mapping[str, ResourceStatus], catalogue: Catalogue) -> dict[str, Last]:
    """When each resource was last listed: noted by a sync, or the end of the window that a load has reached."""
    return {
        name: Last(one.progress.get(LISTED_AT, one.window_end and int(one.window_end.timestamp())), one.status)
        for name, one in statuses.items()
        if name in catalogue.resources
    }


class ListRuns:
    """Runs over lists in an open session. `outcomes` are those so far."""

    def __init__(self, session: Session, state: SyncState) -> None:
        self._session, self._state = session, state
        self.outcomes: list[Outcome] = []

    def read_due(self, due: Sequence[Due], now: int) -> None:
        """Reads what is due, up to `now`, unix seconds on Stripe's clock. Raises as `read` does."""
        for one in due:
            status = self._state.resources.get(one.resource.name)
            if status is not None and status.progress:
                progress = reopened(Progress.from_json(status.progress), one)
                self._state.save_progress(one.resource.name, {**status.progress, **progress.to_json()})
        if due:
            self.read([one.resource for one in due], now)

    def read(self, resources: Sequence[Resource], now: int) -> None:
        """Reads lists from their saved progress, and notes those that came to their end.

        Raises BudgetSpent when requests did not suffice, and what stops a run.
        """
        session = self._session
        order = Order(f"{COMMAND} lists", resources, until=now, requests_budget=session.spending.left)
        run_id = f"{session.state.run_id}-lists-{len(self.outcomes) + 1}"
        asked = {"resources": [one.name for one in resources]}
        state = State(session.database, session.settings.dataset, session.account_id, run_id, order.command, asked)
        outcome = Run(session, order, now, state).go()
        self.outcomes.append(outcome)
        done = [one.resource for one in outcome.board.statuses() if one.status in ("complete", "skipped")]
        self._state.note_listed([*done, *outcome.in_part], now)
        if outcome.error is not None:
            raise outcome.error
        if len(done) + len(outcome.failed) < len(resources):
            raise BudgetSpent(
                "The request budget is spent. Everything that was loaded is kept, and the next run continues"
                " from there."
            )


def loaded_names(session: Session) -> list[str]:
    """Names of the resources that were loaded before."""
    return [name for name in session.state.read_resources() if name in session.catalogue.resources]


def loaded_resources(session: Session, names: Sequence[str] = ()) -> list[Resource]:
    """The named resources, or those that were loaded, or the default group. Raises UnknownResource."""
    return session.catalogue.select(names or loaded_names(session))


def followed_tables(catalogue: Catalogue, names: Iterable[str]) -> frozenset[str] | None:
    """The tables that events fill where these resources are loaded; None for every table.

    It is every table, also those without a list (mandates), where all of the default group is loaded.
    It must not depend on what a single run is about: the position of the events is one for all tables.
    """
    loaded = set(names)
    if {one.name for one in catalogue.select()} <= loaded:
        return None
    return frozenset(table for name in loaded for table in catalogue.filled_with(catalogue.resources[name].table))
