"""One run: fetch -> package -> load -> progress, for some resources of one account into one dataset.

Fetching continues in its own threads while a package loads. Progress is saved after its package, never before: a run
that is killed at any time loses nothing, and the next one fetches at most one package again. Knows no command line.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from pipelines.configuration.settings import CommonSettings
from pipelines.loading.journal import Journal, progress_of, reopened
from pipelines.loading.package import Limits, Package, Packages
from pipelines.loading.parents import StoredParents
from pipelines.loading.session import Session, open_session
from pipelines.state import State
from pipelines.terminal.display import Board, showing
from pipelines.terminal.process import raise_if_interrupted
from pipelines.warehouse.database import Database
from pipelines.warehouse.problems import DatabaseProblem, database_problems
from sources.catalogue import Resource
from sources.columns.conversion_counts import ConversionCounts
from sources.errors import ConnectorError
from sources.fetch.fetch import Fetch
from sources.fetch.windows import AHEAD, Window
from sources.provider import Provider


@dataclass(frozen=True, slots=True)
class Order:
    """What a run has to read: resources, and objects created in `[since, until)`, unix seconds on the provider's clock.

    `again` reads this range even if it was read before; `full_refresh` ignores all earlier progress. `asked` are the
    options of the command, for `sync_runs`.
    """

    command: str
    resources: Sequence[Resource]
    since: int = 0
    until: int | None = None
    full_refresh: bool = False
    again: bool = False
    requests_budget: int | None = None
    asked: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a run: the lines of the summary, and the error that ended it early, if any.

    `resumed` is how many resources continued from an earlier run. `in_part` are those that failed only because objects
    were left out: their lists were read to the end.
    """

    board: Board
    counts: ConversionCounts
    failed: list[str]
    skipped: list[str]
    error: ConnectorError | None = None
    resumed: int = 0
    in_part: Sequence[str] = ()

    def to_json(self) -> dict[str, Any]:
        """The outcome as JSON values."""
        totals = self.board.totals()
        return {
            "rows": totals.rows,
            "requests": totals.requests,
            "seconds": round(totals.seconds, 3),
            "error": str(self.error) if self.error else None,
            "resources": [
                {
                    "resource": status.resource,
                    "status": status.status,
                    "rows": status.rows,
                    "requests": status.requests,
                    "seconds": round(status.seconds, 3),
                    "error": status.error,
                }
                for status in self.board.statuses()
            ],
        }


def run(
    settings: CommonSettings,
    order: Order,
    provider: Provider,
    *,
    run_id: str | None = None,
    opened: Database | None = None,
) -> Outcome:
    """Runs the order. Raises `StopRun` if it could not start; later errors are in the outcome.

    `run_id` and `opened` are those of `open_session`.
    """
    opening = open_session(
        settings, order.command, provider=provider, clock=True, run_id=run_id, asked=order.asked, opened=opened
    )
    with database_problems(), opening as session:
        session.state.close_abandoned()
        return Run(session, order, session.clock(), session.state).go()


class Run:
    """A run in an open session, up to `now`, unix seconds on the provider's clock."""

    def __init__(self, session: Session, order: Order, now: int, state: State) -> None:
        self._session, self._order, self._state = session, order, state
        self._until, self._latest = min(order.until or now, now), now + AHEAD
        self._spent_at_start = session.spending.spent
        self._spent_before = 0 if state is session.state else self._spent_at_start
        settings = session.settings
        self._limits = Limits(
            rows=settings.package_rows,
            nbytes=settings.package_megabytes * 2**20,
            seconds=settings.package_seconds,
        )
        self._board = Board(resource.name for resource in order.resources)

    def go(self) -> Outcome:
        """Reads and loads everything; returns the outcome."""
        self._prepare()
        error: ConnectorError | None = None
        try:
            with database_problems(), showing(self._board):
                self._fetch([resource for resource in self._order.resources if not resource.parents], None)
                for since, children in self._children().items():
                    dataset = self._session.settings.dataset
                    tables, account_id = self._session.catalogue.tables, self._session.account_id
                    parents = StoredParents(self._session.database, dataset, account_id, tables, since)
                    self._fetch(children, parents)
        except ConnectorError as stopped:
            error = stopped
            self._journal.cut_short()
        except KeyboardInterrupt:
            self._end("interrupted", None)
            raise
        self._board.settle(self._journal.statuses())
        failed, skipped = self._journal.with_status("error"), self._journal.with_status("skipped")
        self._end("error" if error else "partial" if failed else "complete", error)
        return Outcome(self._board, self._session.counts, failed, skipped, error, self._resumed, self._journal.in_part)

    def _prepare(self) -> None:
        saved = {} if self._order.full_refresh else self._state.read_resources()
        if self._order.again:
            given = Window(self._order.since, self._until)
            saved = {name: replace(status, progress=reopened(status.progress, given)) for name, status in saved.items()}
        now = datetime.now(UTC)
        self._journal = Journal(
            progress_of(resource, saved.get(resource.name), now, self._latest) for resource in self._order.resources
        )
        covered = sum(bool(progress.covered) for progress in self._journal.progress().values())
        self._resumed = 0 if self._order.again else covered
        self._save(None)

    def _children(self) -> dict[datetime | None, list[Resource]]:
        """Child resources, grouped by the time since which their parents must have changed."""
        groups: dict[datetime | None, list[Resource]] = {}
        for resource in self._order.resources:
            if resource.parents:
                groups.setdefault(self._journal.entry(resource.name).since, []).append(resource)
        return groups

    def _fetch(self, resources: Sequence[Resource], parents: StoredParents | None) -> None:
        if not resources:
            return
        session = self._session
        fetching = session.provider.fetch(
            session.client,
            resources,
            convert=session.provider.converter(session.account_id, session.columns, session.counts),
            since=self._order.since,
            until=self._until,
            progress=self._journal.progress(),
            parents=parents,
            workers=session.settings.workers,
            requests_budget=self._budget,
        )
        with fetching:
            self._board.watch(fetching.snapshot)
            self._load(fetching)
        self._board.settle(self._journal.statuses())

    def _load(self, fetching: Fetch) -> None:
        """Collects deliveries into packages, and loads each when it is due; after an error too, for the last one."""
        packages = Packages(self._limits)
        try:
            for delivery in fetching:
                raise_if_interrupted()
                packages.add(delivery, time.monotonic())
                for package in packages.due(time.monotonic()):
                    self._commit(package)
        except ConnectorError as error:
            if not isinstance(error, DatabaseProblem):
                self._commit(packages.rest())
            raise
        self._commit(packages.rest())

    def _commit(self, package: Package) -> None:
        """The data first, then the progress."""
        session = self._session
        refused = session.load(package.take_tables(), package.sources) if package.parts else set()
        in_doubt = {resource for name in refused for resource in package.sources[name]}
        for chunk in package.chunks:
            self._journal.committed(chunk, stays=chunk.resource in in_doubt)
        self._board.loaded = self._journal.rows
        for end in package.ends:
            self._journal.ended(end, session.counts.rejected(end.resource))
        self._save({part.resource for part in (*package.chunks, *package.ends)})

    def _save(self, resources: set[str] | None) -> None:
        statuses = self._journal.statuses(resources)
        rejected = self._session.counts.take_unsaved()
        self._state.save(statuses, rows=self._journal.rows, requests=self._requests, rejected=rejected)

    def _end(self, status: str, error: ConnectorError | None) -> None:
        message = str(error) if error else None
        try:
            if error is not None:
                self._save(None)
            self._state.end(status, message, rows=self._journal.rows, requests=self._requests)
        except Exception:
            if error is None:  # a database that is unreachable cannot be updated
                raise

    @property
    def _budget(self) -> int | None:
        """The requests that are left of the order's budget."""
        budget = self._order.requests_budget
        return None if budget is None else budget - (self._session.spending.spent - self._spent_at_start)

    @property
    def _requests(self) -> int:
        return self._session.spending.spent - self._spent_before
