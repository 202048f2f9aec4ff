"""A scheduled run over Orb's lists: what is new each time, what changes once a day, everything once a week.

Orb's lists cannot be asked for what has changed, so that a change of an older object is found when its list is read
again. When each was last done, the rows of `sync_runs` tell, by this machine's clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Literal

from pipelines.configuration.orb_settings import OrbSettings
from pipelines.loading.run import Order
from pipelines.session import Session
from pipelines.state import State
from pipelines.sync.cadence import Due, reopened
from pipelines.sync.lists import SyncState, loaded_resources
from pipelines.sync.orb_lists import Loaded, load_lists
from sources.catalogue import Resource
from sources.fetch.progress import Progress

What = Literal["new", "changes", "everything"]
"""What a sync reads: what is new; also what changes without being new; or everything."""

HOUR, DAY = 3_600, 86_400
FOR_EVER = 1 << 40
CHANGING: Mapping[str, int] = MappingProxyType(dict.fromkeys(("customers", "subscriptions", "plans"), FOR_EVER))
"""Lists with a filter by time whose objects change at any age: seconds to look back. The others look back as set."""


class OrbSync:
    """One sync in an open session. `names` are resources, groups or objects; none: what was loaded before."""

    def __init__(self, session: Session, settings: OrbSettings, names: Sequence[str] = ()) -> None:
        self._session, self._settings = session, settings
        self._resources = loaded_resources(session, names)

    def due(self) -> What:
        """What has to be read now, by when the syncs before have read the same."""
        if self._hours_since("everything") >= self._settings.everything_hours:
            return "everything"
        return "changes" if self._hours_since("changes", "everything") >= self._settings.changes_hours else "new"

    def run(self, what: What | None = None) -> Loaded:
        """Reads what is due. Raises what stops a run; errors of single lists are in the outcome."""
        what = what or self.due()
        resources = [one for one in self._resources if what != "new" or one.created != "none"]
        if what == "changes":
            self._reopen(resources)
        session, command = self._session, _command(what)
        asked = {"resources": [one.name for one in resources], "reads": what}
        order = Order(command, resources, full_refresh=what == "everything", asked=asked)
        run_id = f"{session.state.run_id.removesuffix(self._mark)}-lists{self._mark}"
        state = State(session.database, session.settings.dataset, session.account_id, run_id, command, asked)
        return load_lists(session, order, state)

    def _reopen(self, resources: Sequence[Resource]) -> None:
        """Has the windows read again in which objects may have changed."""
        state = SyncState(self._session)
        for one in resources:
            status = state.resources.get(one.name)
            if one.created != "none" and status is not None and status.progress:
                lookback = CHANGING.get(one.name, round(self._settings.lookback_days * DAY))
                progress = reopened(Progress.from_json(status.progress), Due(one, "cadence", lookback))
                state.save_progress(one.name, {**status.progress, **progress.to_json()})

    def _hours_since(self, *whats: What) -> float:
        """Hours since the last sync of this account that has read such a thing; infinite where none has.

        The first full load, without options, has read everything too.
        """
        commands = [_command(what) for what in whats]
        moments = [self._started("max", commands), self._started("min", ["orb_full"], "AND asked IS NULL")]
        last = max((one for one in moments if one is not None), default=None)
        return (datetime.now(UTC) - last).total_seconds() / HOUR if last is not None else float("inf")

    def _started(self, which: Literal["min", "max"], commands: Sequence[str], more: str = "") -> datetime | None:
        """When the first or the last run of such a command began, of those of this account that came to their end."""
        places = ", ".join(["%s"] * len(commands))
        ((found,),) = self._session.database.execute(
            f'SELECT {which}(started_at) FROM "{self._session.settings.dataset}".sync_runs'
            f" WHERE command IN ({places}) AND status IN ('complete', 'partial') AND right(run_id, %s) = %s {more}",
            (*commands, len(self._mark), self._mark),
        )
        moment: datetime | None = found
        return moment

    @property
    def _mark(self) -> str:
        """How the keys of this account's runs end in `sync_runs`."""
        return f"-{self._session.account_id}"


def _command(what: What) -> str:
    return f"orb_sync {what}"
