"""One scheduled run for one account: first the events, then the lists that they do not cover; everything after a gap.

Every step saves its progress after its data, so that a run can be stopped or killed at any time, and the next run
continues. Knows no command line; messages go to `warn`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pipelines.loading.run import Outcome
from pipelines.loading.session import Session
from pipelines.state import AccountState
from pipelines.sync.events_pass import EventsGap, EventsPass, PassSettings, Report
from pipelines.sync.lists import SyncState, followed_tables, loaded_resources
from pipelines.sync.stripe_api.cadence import due_lists
from pipelines.sync.stripe_api.gap import loaded_since
from pipelines.sync.stripe_api.lists import ListRuns
from pipelines.sync.stripe_api.resync import Resync
from pipelines.sync.stripe_api.settings import SyncSettings
from sources.columns.conversion_counts import ConversionCounts, Rejected, left_out
from sources.fetch.event_log import NoEvents, Piece
from sources.fetch.limiter import BudgetSpent
from sources.fetch.position import EVENTS_PASS, Position
from sources.fetch.values import Status
from sources.rows import Row, Stamp
from sources.stripe_api.objects.rows import explode

SyncPart = Literal["all", "events", "lists"]


@dataclass(slots=True)
class SyncOutcome:
    """The outcome of a sync. `lists` are the outcomes of reading lists; `stopped` says why the sync ended early, None
    if it did not.

    `lacking` are resources that, according to an earlier run, the account or the key lacks. `has_events`: the key may
    read events. `now` is Stripe's time, unix seconds; None until it is known.
    """

    account_id: str
    events: Report
    lists: list[Outcome] = field(default_factory=list)
    requests: int = 0
    rows: int = 0
    resynced: bool = False
    deleted_in_gap: int = 0
    stopped: str | None = None
    lacking: list[str] = field(default_factory=list)
    has_events: bool = True
    now: int | None = None
    counts: ConversionCounts = field(default_factory=ConversionCounts)

    def to_json(self) -> dict[str, Any]:
        """The outcome as JSON values."""
        counted = ("events", "applied", "believed", "retrieved", "deleted")
        return {
            "account": self.account_id,
            "rows": self.rows,
            "requests": self.requests,
            "events": {name: getattr(self.events, name) for name in counted},
            "lists": [resource.to_json() for resource in self.lists],
            "resynced": self.resynced,
            "stopped": self.stopped,
            "failed": self.failed,
            "skipped": self.skipped,
        }

    @property
    def failed(self) -> list[str]:
        """Resources whose lists failed; `events_pass` if events, or objects that they report, were left out."""
        events = [EVENTS_PASS] if self.rejected else []
        return [*events, *(name for outcome in self.lists for name in outcome.failed)]

    @property
    def rejected(self) -> list[Rejected]:
        """Objects that events reported and that could not be stored; those of lists are in the lists' outcomes."""
        return [entry for entry in self.counts.rejected() if entry.resource in ("", EVENTS_PASS)]

    @property
    def skipped(self) -> list[str]:
        """Resources that the account or the key is known to lack; `events` if they cannot be read."""
        listed = {status.resource for outcome in self.lists for status in outcome.board.statuses()}
        now = [name for outcome in self.lists for name in outcome.skipped]
        events = [] if self.has_events else ["events"]
        return list(dict.fromkeys([*events, *now, *(name for name in self.lacking if name not in listed)]))


class Sync:
    """A sync in an open session. `names` are resources or groups; by default, the resources that were loaded before.

    A scheduler that spreads a sync over workers runs the part "events" once for each account, and the part "lists" for
    each group of resources, with the tables that the events `touched`.
    """

    def __init__(
        self,
        session: Session,
        settings: SyncSettings,
        names: Sequence[str] = (),
        warn: Callable[[str], None] = print,
        *,
        part: SyncPart = "all",
        touched: Iterable[str] = (),
    ) -> None:
        self._session, self._settings, self._warn, self._part = session, settings, warn, part
        self._touched_before = frozenset(touched)
        self._state = SyncState(session)
        self._resources = loaded_resources(session, names)
        named = {resource.name for resource in self._resources}
        # Events and gaps concern these resources, whichever this run reads: all tables share one position.
        self._followed = [
            resource
            for resource in session.catalogue.resources.values()
            if resource.name in named or resource.name in self._state.resources
        ]
        self._lists = ListRuns(session, self._state)
        known = self._state.resources
        lacking = [
            resource.name
            for resource in self._resources
            if resource.name in known and known[resource.name].status == "skipped"
        ]
        self._outcome = SyncOutcome(
            session.account_id, Report(), self._lists.outcomes, lacking=lacking, counts=session.counts
        )
        if part == "lists":
            self._outcome.has_events = session.state.read_account().events_status != "skipped"

    def run(self) -> SyncOutcome:
        """Runs the sync. A spent budget is an outcome, not an error. Other errors that stop a run are saved, then
        raised.
        """
        outcome, session = self._outcome, self._session
        try:
            with session.noting_failure():
                try:
                    self._run()
                except BudgetSpent as spent:
                    outcome.stopped = str(spent)
        finally:
            outcome.requests = session.spending.spent
            outcome.rows = session.rows + sum(resource.board.totals().rows for resource in outcome.lists)
        errors = [str(resource.error) for resource in outcome.lists if resource.error is not None]
        status = "error" if errors else "partial" if outcome.stopped or outcome.failed else "complete"
        lost = left_out(outcome.rejected, is_load=True) if outcome.rejected else None
        session.end(status, errors[0] if errors else outcome.stopped or lost)
        return outcome

    def _run(self) -> None:
        now = self._outcome.now = self._session.clock() if self._part == "lists" else self._run_events()
        if self._part != "events":
            touched = self._outcome.events.touched | self._touched_before
            last, has_events = self._state.last(), self._outcome.has_events
            due = due_lists(self._resources, last, now, self._settings, touched, has_events=has_events)
            self._lists.read_due(due, now)

    def _run_events(self) -> int:
        """Applies the events, or reads everything again, or skips events that cannot be read. Returns Stripe's time."""
        account = self._session.state.read_account()
        position = self._position(account)
        if position is None or account.resync_since is not None:
            now = self._session.clock()
            position = self._resync("The events of this account have never been applied to these tables.", now)
            if position.begin >= now:
                return now
        try:
            return self._apply_events(position)
        except EventsGap as gap:
            self._resync(str(gap), gap.now)
            return gap.now
        except NoEvents as denied:
            return self._go_without(position, denied)

    # --- events ------------------------------------------------------------------------------------------------------

    def _position(self, account: AccountState) -> Position | None:
        """The saved position; after a load, one that begins with the load; None if nothing was loaded."""
        if account.events_position is not None:
            return Position.from_json(account.events_position)
        begin = loaded_since(self._session, self._followed, self._state.resources)
        return Position(begin) if begin is not None else None

    def _apply_events(self, position: Position) -> int:
        session, settings = self._session, self._settings
        passing = EventsPass(
            session.client,
            PassSettings(
                session.account_id,
                session.api_version,
                lag=settings.events_lag,
                overlap=settings.events_overlap,
                workers=session.settings.workers,
                tables=followed_tables(session.catalogue, (resource.name for resource in self._followed)),
            ),
            session.columns,
            session.store,
            self._save_position,
            session.counts,
            session.provider,
            self._events_of,
        )
        self._outcome.events = passing.report
        return passing.run(position)

    def _events_of(self, piece: Piece) -> dict[str, list[Row]]:
        """Rows of the events themselves, if the resource `events` is loaded."""
        session = self._session
        if session.catalogue.resources["events"] not in self._followed:
            return {}
        stamp, counts = Stamp(session.account_id, piece.as_of, "list"), session.counts.within(EVENTS_PASS)
        return explode("events", [dict(event) for event in piece.events], stamp, counts=counts)

    def _save_position(self, position: Position, denied: str | None = None) -> None:
        rejected = self._outcome.rejected
        status: Status = "skipped" if denied else "error" if rejected else "complete"
        error = denied or (left_out(rejected, is_load=True) if rejected else None)
        self._session.save(
            account={"events_status": status, "events_position": position.to_json(), "events_error": error}
        )

    def _resync(self, why: str, now: int) -> Position:
        """Reads every list again, and retrieves every row that none of them shows.

        Returns the position from which events continue: the beginning of the resync, which may have been in an earlier
        run.
        """
        resync = Resync(self._session, self._state, self._lists, self._followed, self._warn)
        self._outcome.resynced = True
        resync.run(why, now)
        self._outcome.deleted_in_gap = resync.deleted
        position = Position(resync.begin)
        self._save_position(position)
        resync.end()
        return position

    def _go_without(self, position: Position, denied: NoEvents) -> int:
        """Skips the events. The position stays: once the key may read events, they continue from there."""
        self._warn(str(denied))
        self._outcome.has_events = False
        self._save_position(position, str(denied))
        return self._session.clock()
