"""Loads of Orb's lists, and what follows from a list that was read whole: rows that it should have shown.

Orb tells of no deletion, and a draft can vanish or be issued without a trace. After all drafts were listed, a stored
draft that was not among them is read once; after a full refresh, so is every row that no list has shown.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from pipelines.loading.run import Order, Outcome, Run
from pipelines.session import Session
from pipelines.state import State
from pipelines.sync.unlisted_rows import Read, read_unlisted, tables_read_whole

DRAFTS, OF_DRAFTS = "invoice_drafts", "invoices"


@dataclass(frozen=True, slots=True)
class Loaded:
    """What came of a load: that of its lists, and of the rows that they should have shown."""

    outcome: Outcome
    unlisted: Read


def load_lists(session: Session, order: Order, state: State) -> Loaded:
    """Runs an order in an open session, in which Orb's clock is known; `state` is the run's own.

    Raises what stops a run; errors of its lists are in the outcome.
    """
    began = session.clock()
    outcome = Run(session, order, began, state).go()
    rows = deleted = 0
    if outcome.error is None:
        complete = {one.resource for one in outcome.board.statuses() if one.status == "complete"}
        for table, statuses in _to_settle(session, order, complete):
            read = read_unlisted(session, table, began, statuses)
            rows, deleted = rows + read.rows, deleted + read.deleted
    if rows:
        totals, failed = outcome.board.totals(), bool(outcome.failed or session.counts.rejected())
        status = "partial" if failed else "complete"
        state.end(status, None, rows=totals.rows + session.rows, requests=totals.requests + rows)
    return Loaded(outcome, Read(rows, deleted))


def _to_settle(session: Session, order: Order, complete: Collection[str]) -> list[tuple[str, tuple[str, ...]]]:
    """The tables of which something was read whole, with the statuses of the rows that this is about, all for none."""
    whole: list[str] = []
    if order.full_refresh and not order.since and order.until is None:
        whole = tables_read_whole(session.catalogue, complete)
    drafts = [(OF_DRAFTS, ("draft",))] if DRAFTS in complete and OF_DRAFTS not in whole else []
    return [*((one, ()) for one in whole), *drafts]
