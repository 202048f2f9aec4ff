"""Reads the due lists of a sync from their saved progress, with the same run that loads use."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.loading.run import Order, Outcome, Run
from pipelines.loading.session import Session
from pipelines.state import State
from pipelines.sync.lists import SPENT, SyncState, reopened
from pipelines.sync.stripe_api.cadence import Due
from sources.catalogue import Resource
from sources.fetch.limiter import BudgetSpent
from sources.fetch.progress import Progress

COMMAND = "stripe_sync"


class ListRuns:
    """Runs over lists in an open session. `outcomes` are those of the runs so far."""

    def __init__(self, session: Session, state: SyncState) -> None:
        self._session, self._state = session, state
        self.outcomes: list[Outcome] = []

    def read_due(self, due: Sequence[Due], now: int) -> None:
        """Reads the due lists up to `now`, unix seconds on Stripe's clock. Raises like `read`."""
        for listing in due:
            status = self._state.resources.get(listing.resource.name)
            if status is not None and status.progress:
                progress = reopened(Progress.from_json(status.progress), listing.lookback)
                self._state.save_progress(listing.resource.name, {**status.progress, **progress.to_json()})
        if due:
            self.read([listing.resource for listing in due], now)

    def read(self, resources: Sequence[Resource], now: int) -> None:
        """Reads lists from their saved progress, and records which were read to their end.

        Raises BudgetSpent, and other errors that stop a run.
        """
        session = self._session
        order = Order(f"{COMMAND} lists", resources, until=now, requests_budget=session.spending.left)
        run_id = f"{session.state.run_id}-lists-{len(self.outcomes) + 1}"
        asked = {"resources": [resource.name for resource in resources]}
        state = State(session.database, session.settings.dataset, session.account_id, run_id, order.command, asked)
        outcome = Run(session, order, now, state).go()
        self.outcomes.append(outcome)
        done = [status.resource for status in outcome.board.statuses() if status.status in ("complete", "skipped")]
        self._state.note_listed([*done, *outcome.in_part], now)
        if outcome.error is not None:
            raise outcome.error
        if len(done) + len(outcome.failed) < len(resources):
            raise BudgetSpent(SPENT)
