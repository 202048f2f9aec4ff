"""A scheduled run for an Orb account: first its events, then the lists whose changes events do not report.

Each run applies the events. Once a day it also reads the lists that have no events, those of each parent, all drafts,
and the active subscriptions, whose billing periods advance without an event. Once a week it reads everything, which
finds deletions. If the log of events cannot be read, each run uses the lists instead. If the log no longer reaches back
to the last run, events are applied from now on, and runs read the lists as well until one of them has read everything
that changes (`resync_since`). The rows of `sync_runs` show when each was last done, by this machine's clock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Literal

from pipelines.configuration.orb_settings import OrbSettings
from pipelines.loading.run import Order
from pipelines.loading.session import Session
from pipelines.state import State
from pipelines.sync.events_pass import EventsGap, EventsPass, PassSettings, Report
from pipelines.sync.lists import SyncState, followed_tables, loaded_names, loaded_resources, reopened
from pipelines.sync.orb_api.lists import Loaded, Refresh, load_lists
from sources.catalogue import Params, Resource
from sources.fetch.event_log import NoEvents
from sources.fetch.limiter import BudgetSpent
from sources.fetch.position import Position
from sources.fetch.progress import Progress, pass_key
from sources.fetch.values import ResourceStatus
from sources.orb_api.events.reading import reaches

What = Literal["new", "changes", "everything"]
"""What a sync reads: new objects; also changed ones; or everything."""

HOUR, DAY = 3_600, 86_400
FOR_EVER = 1 << 40
CHANGING: Mapping[str, int] = MappingProxyType(dict.fromkeys(("customers", "subscriptions", "plans"), FOR_EVER))
"""Lists with a filter by time whose objects change at any age -> seconds to look back. For the others, the setting
decides."""
ACTIVE: Mapping[str, Params] = MappingProxyType({"subscriptions": (("status[]", "active"),)})
"""Lists whose changes events report only in part -> the filter for the objects that have other changes."""


@dataclass(frozen=True, slots=True)
class Synced:
    """The outcome of a sync: of its events (None if they could not be read) and of its lists (None if none was due).

    `lacking` are the resources that the account is known to lack; `stopped` says why the sync ended early; None unless
    the request budget was spent.
    """

    what: What
    events: Report | None
    lists: Loaded | None
    lacking: tuple[str, ...] = ()
    stopped: str | None = None


class OrbSync:
    """One sync in an open session. `names` are resources, groups or objects; by default, the resources that were loaded
    before.

    `warn` is called with the reason if a run cannot apply events.
    """

    def __init__(
        self, session: Session, settings: OrbSettings, warn: Callable[[str], None], names: Sequence[str] = ()
    ) -> None:
        self._session, self._settings, self._warn = session, settings, warn
        self._resources = loaded_resources(session, names)
        self._state = SyncState(session)
        self._is_of_all = not names
        self._events: Report | None = None
        self._has_log = True
        self._resync_since: datetime | None = None

    def due(self) -> What:
        """What has to be read now, by the times of earlier syncs."""
        if self._hours_since("everything") >= self._settings.everything_hours:
            return "everything"
        return "changes" if self._hours_since("changes", "everything") >= self._settings.changes_hours else "new"

    def run(self, what: What | None = None) -> Synced:
        """Reads `what`, by default what is due. Raises errors that stop a run; errors of single lists are in the
        outcome.
        """
        what = what or self.due()
        lists, stopped = None, None
        try:
            self._apply_events()
            is_told = self._events is not None and self._resync_since is None
            if what != "new" or not is_told:
                lists = self._read_lists(what, has_events=is_told)
                stopped = lists.stopped
        except BudgetSpent as spent:
            stopped = str(spent)
        return Synced(what, self._events, lists, self._lacking(), stopped)

    def _lacking(self) -> tuple[str, ...]:
        self._state.read()
        known = self._state.resources
        found = [
            resource.name
            for resource in self._resources
            if resource.name in known and known[resource.name].status == "skipped"
        ]
        return tuple(found if self._has_log else dict.fromkeys(["webhook_events", *found]))

    # --- events -------------------------------------------------------------------------------------------------------

    def _apply_events(self) -> None:
        """Applies the events since the last run, if possible, and saves the result."""
        session = self._session
        account = session.state.read_account()
        self._resync_since = account.resync_since
        position = self._position(account.events_position)
        if position is None:
            return
        passing = EventsPass(
            session.client,
            PassSettings(
                session.account_id,
                "",
                workers=session.settings.workers,
                tables=followed_tables(session.catalogue, loaded_names(session)),
            ),
            session.columns,
            session.store,
            self._save_position,
            session.counts,
            session.provider,
        )
        try:
            if not self._is_reached(position):
                since = datetime.fromtimestamp(position.reached, UTC)
                self._warn(
                    f"Orb's log shows no event from before {since:%Y-%m-%d %H:%M} UTC, so that events may be missing in"
                    " it. This run reads the lists instead."
                )
                self._begin_resync(position)
                return
            self._events = passing.report
            session.now = passing.run(position)
        except EventsGap as gap:
            self._warn(str(gap))
            self._events = None
            self._begin_resync(position)
        except NoEvents as error:
            self._warn(str(error))
            self._events, self._has_log = None, False
            # kept, because the lists advance: if the log becomes readable, it is read from here
            session.save(account={"events_status": "skipped", "events_position": position.to_json()})

    def _begin_resync(self, position: Position) -> None:
        """Starts to apply events from now on, and records that the lists have to show earlier changes."""
        began = self._session.clock()
        self._resync_since = datetime.fromtimestamp(began, UTC)
        again = replace(position, begin=began, covered=())
        self._session.save(account={"resync_since": self._resync_since, "events_position": again.to_json()})

    def _position(self, saved: Mapping[str, Any] | None) -> Position | None:
        """The saved position; after a load, one that begins with the load; None if nothing was loaded."""
        if saved is not None:
            return Position.from_json(saved)
        ends = [resource.window_end for resource in self._state.resources.values() if resource.window_end is not None]
        return Position(int(min(ends).timestamp())) if ends else None

    def _is_reached(self, position: Position) -> bool:
        """Whether the log still has the events after the position. Sends a request only the first time, and after a day
        without a run.
        """
        is_recent = position.covered and self._hours_since("new", "changes", "everything", first_load=False) < 24.0
        return bool(is_recent) or reaches(self._session.client, position.newest_from(0))

    def _save_position(self, position: Position) -> None:
        rejected = bool(self._session.counts.rejected())
        status = "error" if rejected else "complete"
        self._session.save(account={"events_status": status, "events_position": position.to_json()})

    # --- lists --------------------------------------------------------------------------------------------------------

    def _read_lists(self, what: What, *, has_events: bool) -> Loaded:
        resources = [resource for resource in self._resources if what != "new" or resource.created != "none"]
        began: float | None = None
        if what == "changes":
            if has_events:
                told = [resource for resource in resources if resource.created == "none" or resource.name in ACTIVE]
                resources = [
                    replace(resource, passes=(ACTIVE.get(resource.name, ()),)) if resource.name in ACTIVE else resource
                    for resource in told
                ]
            if not self._was_cut(what):  # otherwise it continues with the open windows
                began = self._session.clock()
                self._reopen(resources)
        refresh = self._refresh(resources) if what == "everything" else None
        if refresh is not None:
            began = refresh.began
            resources = [resource for resource in resources if resource.name not in refresh.done]
        session, command = self._session, _command(what)
        asked = {"resources": [resource.name for resource in resources], "reads": what}
        order = Order(command, resources, asked=asked)
        run_id = f"{session.state.run_id.removesuffix(self._mark)}-lists{self._mark}"
        state = State(session.database, session.settings.dataset, session.account_id, run_id, command, asked)
        loaded = load_lists(session, order, state, refresh)
        if refresh is not None and loaded.stopped is None and loaded.outcome.error is None:
            session.save(account={"full_refresh": ""})
        if loaded.stopped is None and loaded.outcome.error is None and not loaded.outcome.failed and self._is_of_all:
            self._end_resync(began)
        return loaded

    def _end_resync(self, began: float | None) -> None:
        """Ends a resync after the due lists were read; `began` is None if an earlier run read some of them."""
        if self._resync_since is not None and began is not None and began >= self._resync_since.timestamp():
            self._session.save(account={"resync_since": None})

    def _refresh(self, resources: Sequence[Resource]) -> Refresh:
        """Forgets the lists' progress, unless an unfinished refresh of them can continue.

        The second at which the refresh began is saved with the names of its lists.
        """
        names = [resource.name for resource in resources]
        second, _, what = (self._session.state.read_account().full_refresh or "").partition(" ")
        if what == ",".join(names):
            saved = self._state.resources
            return Refresh(int(second), frozenset(name for name in names if saved[name].status == "complete"))
        began = self._session.clock()
        refresh = f"{began} {','.join(names)}"
        self._session.save(*map(ResourceStatus, names), account={"full_refresh": refresh})
        return Refresh(began, frozenset())

    def _reopen(self, resources: Sequence[Resource]) -> None:
        """Reopens the windows in which objects may have changed, and the lists of all parents."""
        for resource in resources:
            status = self._state.resources.get(resource.name)
            if resource.parents and status is not None:
                self._state.save_progress(resource.name, {})
            elif resource.created != "none" and status is not None and status.progress:
                lookback = CHANGING.get(resource.name, round(self._settings.lookback_days * DAY))
                saved, keys = Progress.from_json(status.progress), set(map(pass_key, resource.passes))
                again = reopened(saved, lookback)
                covered = {**saved.covered, **{key: each for key, each in again.covered.items() if key in keys}}
                progress = replace(again, covered=covered)
                self._state.save_progress(resource.name, {**status.progress, **progress.to_json()})

    # --- when ---------------------------------------------------------------------------------------------------------

    def _hours_since(self, *whats: What, first_load: bool = True) -> float:
        """Hours since the last sync of this account that read any of `whats`; infinite if none did.

        The first full load without options counts as a sync that read everything.
        """
        commands = [_command(what) for what in whats] + ([] if first_load else ["orb_sync"])
        moments = [self._started("max", commands)]
        if first_load:
            moments.append(self._started("min", ["orb_full"], "AND asked IS NULL"))
        last = max((moment for moment in moments if moment is not None), default=None)
        return (datetime.now(UTC) - last).total_seconds() / HOUR if last is not None else float("inf")

    def _started(self, which: Literal["min", "max"], commands: Sequence[str], more: str = "") -> datetime | None:
        """When the first or the last finished run of one of these commands began, for this account."""
        places = ", ".join(["%s"] * len(commands))
        ((found,),) = self._session.database.execute(
            f'SELECT {which}(started_at) FROM "{self._session.settings.dataset}".sync_runs'
            f" WHERE command IN ({places}) AND status IN ('complete', 'partial') AND right(run_id, %s) = %s {more}",
            (*commands, len(self._mark), self._mark),
        )
        moment: datetime | None = found
        return moment

    def _was_cut(self, what: What) -> bool:
        """Whether the last sync that read `what` did not finish."""
        found = self._session.database.execute(
            f'SELECT status FROM "{self._session.settings.dataset}".sync_runs WHERE command = %s'
            " AND right(run_id, %s) = %s ORDER BY started_at DESC LIMIT 1",
            (_command(what), len(self._mark), self._mark),
        )
        return bool(found) and found[0][0] not in ("complete", "partial")

    @property
    def _mark(self) -> str:
        """The end of the ids of this account's runs in `sync_runs`."""
        return f"-{self._session.account_id}"


def _command(what: What) -> str:
    return f"orb_sync {what}"
