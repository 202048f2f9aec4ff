"""Loads Orb's lists, and retrieves the rows that a list should have shown but did not.

Orb does not report deletions, and a draft invoice can disappear or be issued without an event. After all drafts were
listed, stored drafts that were not among them are retrieved; after a full refresh, so is every row that no list has
shown.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from pipelines.loading.run import Order, Outcome, Run
from pipelines.loading.session import Session
from pipelines.state import State
from pipelines.sync.lists import SPENT
from pipelines.sync.unlisted_rows import Read, read_unlisted, tables_read_whole
from sources.fetch.limiter import BudgetSpent

DRAFTS, OF_DRAFTS = "invoice_drafts", "invoices"


@dataclass(frozen=True, slots=True)
class Loaded:
    """The outcome of a load: of its lists, and of the rows that no list has shown.

    `stopped` says why the load ended early; None unless the request budget was spent.
    """

    outcome: Outcome
    unlisted: Read
    stopped: str | None = None


@dataclass(frozen=True, slots=True)
class Refresh:
    """A refresh of everything, which may take several runs.

    `began` is the unix second at which it began; `done` are the lists that earlier runs have read to their end.
    """

    began: int
    done: frozenset[str]


def load_lists(session: Session, order: Order, state: State, refresh: Refresh | None = None) -> Loaded:
    """Runs an order in an open session, whose `now` must be known.

    With `refresh`, the order is what is left of it. Raises errors that stop a run; errors of single lists are in the
    outcome.
    """
    now = session.clock()
    outcome = Run(session, replace(order, requests_budget=session.spending.left), now, state).go()
    rows, deleted, stopped = 0, 0, None
    if outcome.error is None:
        complete = {status.resource for status in outcome.board.statuses() if status.status == "complete"}
        try:
            if len(complete) + len(outcome.skipped) + len(outcome.failed) < len(order.resources):
                raise BudgetSpent(SPENT)
            for table, statuses in _to_settle(session, order, complete, refresh):
                read = read_unlisted(session, table, refresh.began if refresh else now, statuses)
                rows, deleted = rows + read.rows, deleted + read.deleted
        except BudgetSpent as spent:
            stopped = str(spent)
    if rows or stopped:
        totals, failed = outcome.board.totals(), bool(outcome.failed or session.counts.rejected())
        status = "interrupted" if stopped else "partial" if failed else "complete"
        state.end(status, stopped, rows=totals.rows + session.rows, requests=totals.requests + rows)
    return Loaded(outcome, Read(rows, deleted), stopped)


def _to_settle(
    session: Session, order: Order, complete: set[str], refresh: Refresh | None
) -> list[tuple[str, tuple[str, ...]]]:
    """The tables whose lists were read whole, with the statuses of the rows that this covers; () means all rows."""
    whole: list[str] = []
    if refresh is not None:
        whole = tables_read_whole(session.catalogue, complete | refresh.done)
    elif order.full_refresh and not order.since and order.until is None:
        whole = tables_read_whole(session.catalogue, complete)
    drafts = [(OF_DRAFTS, ("draft",))] if DRAFTS in complete and OF_DRAFTS not in whole else []
    return [*((resource, ()) for resource in whole), *drafts]
