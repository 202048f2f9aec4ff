"""One scheduled run for one account: events first, then the lists for what they do not tell; everything after a gap.

Every step saves what it has done after its data, so that a run can be stopped or killed anywhere and the next one goes
on. Knows no command line; what it has to say goes to `warn`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pipelines.account import read_account
from pipelines.cadence import due_lists
from pipelines.catch_up import EVENTS_PASS
from pipelines.events_pass import EventsPass, PassSettings
from pipelines.events_position import KEPT, MARGIN, Position
from pipelines.events_report import Report
from pipelines.gap import EventsGap, loaded_since, vanished_since
from pipelines.list_runs import ListRuns
from pipelines.loaded import followed_tables, loaded_resources
from pipelines.run import Outcome
from pipelines.session import Session
from pipelines.spending import BudgetSpent
from pipelines.state import ResourceStatus
from pipelines.sync_settings import SyncSettings
from pipelines.sync_state import SyncState
from sources.stripe_api.catalogue import RESOURCES
from sources.stripe_api.progress import Progress

RELISTING = "relisting"
Part = Literal["all", "events", "lists"]


@dataclass(slots=True)
class SyncOutcome:
    """What came of a run. `lists` are the outcomes of listing; `stopped` says why it ended early, if it did.

    `lacking` are resources that an earlier run found that the account or the key does not have.
    """

    account_id: str
    events: Report
    lists: list[Outcome] = field(default_factory=list)
    requests: int = 0
    rows: int = 0
    relisted: bool = False
    deleted_in_gap: int = 0
    stopped: str | None = None
    lacking: list[str] = field(default_factory=list)

    @property
    def failed(self) -> list[str]:
        """Resources whose lists failed."""
        return [name for outcome in self.lists for name in outcome.failed]

    @property
    def skipped(self) -> list[str]:
        """Resources that the account or the key does not have, as far as is known."""
        listed = {line.resource for outcome in self.lists for line in outcome.board.lines()}
        now = [name for outcome in self.lists for name in outcome.skipped]
        return [*now, *(name for name in self.lacking if name not in listed)]


class Sync:
    """A sync in an open session. `names` are resources or groups; none are those that were loaded before.

    A scheduler that spreads a sync over workers runs the part "events" once for an account, and the part "lists" for
    each group of resources, with the tables that the events `touched`.
    """

    def __init__(
        self,
        session: Session,
        settings: SyncSettings,
        names: Sequence[str] = (),
        warn: Callable[[str], None] = print,
        *,
        part: Part = "all",
        touched: Iterable[str] = (),
    ) -> None:
        self._session, self._settings, self._warn, self._part = session, settings, warn, part
        self._touched_before = frozenset(touched)
        self._state = SyncState(session)
        self._resources = loaded_resources(session, names)
        named = {one.name for one in self._resources}
        # What events and gaps are about, whatever this run is about: there is one position for all tables.
        self._followed = [one for one in RESOURCES.values() if one.name in named or one.name in self._state.lines]
        self._lists = ListRuns(session, self._state)
        lacking = [one.name for one in self._resources if one.name in self._state.lines]
        lacking = [name for name in lacking if self._state.lines[name].status == "skipped"]
        self._outcome = SyncOutcome(session.account_id, Report(), self._lists.outcomes, lacking=lacking)

    def run(self) -> SyncOutcome:
        """Runs; a spent budget is an outcome, not an error. Raises what stops a run otherwise, after saving that."""
        outcome, session = self._outcome, self._session
        try:
            self._run()
        except BudgetSpent as spent:
            outcome.stopped = str(spent)
        except BaseException as error:
            session.end("error", type(error).__name__)
            raise
        finally:
            outcome.requests = session.spending.spent
            outcome.rows = session.rows + sum(one.board.totals().rows for one in outcome.lists)
        errors = [str(one.error) for one in outcome.lists if one.error is not None]
        status = "error" if errors else "partial" if outcome.stopped or outcome.failed else "complete"
        session.end(status, errors[0] if errors else outcome.stopped)
        return outcome

    def _run(self) -> None:
        now = self._stripes_clock() if self._part == "lists" else self._run_events()
        if now is not None and self._part != "events":
            touched = self._outcome.events.touched | self._touched_before
            self._lists.read_due(due_lists(self._resources, self._state.last(), now, self._settings, touched), now)

    def _stripes_clock(self) -> int:
        session = self._session
        return session.now if session.now is not None else read_account(session.client, session.settings).now

    def _run_events(self) -> int | None:
        """Applies the events, or lists everything. Returns Stripe's clock, None where it was not seen."""
        position = self._position()
        if position is None or RELISTING in self._state.lines:
            return self._relist("The events of this account were never applied to these tables.", None)
        try:
            self._apply_events(position)
            return self._outcome.events.now
        except EventsGap as gap:
            return self._relist(str(gap), gap.now)

    # --- events ------------------------------------------------------------------------------------------------------

    def _position(self) -> Position | None:
        """The saved position; after a load, the moment since which all of it is right; None where nothing is."""
        if EVENTS_PASS in self._state.lines:
            return Position.from_json(self._state.lines[EVENTS_PASS].progress)
        begin = loaded_since(self._session, self._followed, self._state.lines)
        return Position(begin) if begin is not None else None

    def _apply_events(self, position: Position) -> Position:
        session, settings = self._session, self._settings
        passing = EventsPass(
            session.client,
            PassSettings(
                session.account_id,
                session.api_version,
                lag=settings.events_lag,
                overlap=settings.events_overlap,
                workers=session.settings.workers,
                keep_events=RESOURCES["events"] in self._followed,
                tables=followed_tables(one.name for one in self._followed),
            ),
            session.columns,
            session.store,
            self._save_position,
            session.tally,
        )
        self._outcome.events = passing.report
        return passing.run(position)

    def _save_position(self, position: Position) -> None:
        report = self._outcome.events
        status = ResourceStatus(
            EVENTS_PASS, "complete", position.to_json(), rows=report.rows, requests=self._session.spending.spent
        )
        self._session.save(status)

    # --- after a gap -------------------------------------------------------------------------------------------------

    def _relist(self, why: str, now: int | None) -> int:
        """Reads every list again, and every row that none of them shows; the events go on from where this began."""
        session = self._session
        now = self._stripes_clock() if now is None else now
        self._outcome.relisted = True
        begin = now
        if RELISTING in self._state.lines:
            begin = max(int(self._state.lines[RELISTING].progress["begin"]), now - KEPT + 2 * MARGIN)
            self._warn("Going on with reading every list again, which an earlier run began.")
        else:
            self._warn(
                f"{why} Stripe keeps events for thirty days, so every list is read again now, and every row that no"
                " list shows. This costs as many requests as a first load; afterwards events will do."
            )
            for one in self._followed:
                self._state.write(one.name, Progress().to_json())
            session.save(ResourceStatus(RELISTING, "running", {"begin": begin}))
        left = [one for one in self._followed if not self._state.is_listed_since(one.name, begin)]
        if left:
            self._lists.read(left, now)
        self._outcome.deleted_in_gap = vanished_since(session, self._followed, begin)
        self._state.drop(RELISTING)
        self._save_position(Position(begin))
        return now
