"""The lists of a sync: each resource's status, when its list was last read, and from where to read it again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipelines.loading.session import Session
from sources.catalogue import Catalogue, Resource
from sources.fetch.progress import Progress
from sources.fetch.values import ResourceStatus
from sources.fetch.windows import Window, subtract

SPENT = "The request budget is spent. Everything that was loaded is kept, and the next run continues from there."
LISTED_AT = "listed_at"
"""The key in a resource's progress for the unix second in which its list was last read to its end."""


@dataclass(frozen=True, slots=True)
class Last:
    """When a resource's list was last read to its end (`at`, unix seconds; None if never), and its status."""

    at: int | None
    status: str


class SyncState:
    """The statuses of the resources of one account, as last read; each resource's own run writes its row."""

    def __init__(self, session: Session) -> None:
        self._session, self._state = session, session.state
        self.resources: Mapping[str, ResourceStatus] = {}
        self.read()

    def read(self) -> None:
        """Reads all statuses again."""
        self.resources = self._state.read_resources()

    def last(self) -> dict[str, Last]:
        """When each resource was last listed: noted by a sync, or the end of the window that a load has reached."""
        return last_listed(self.resources, self._session.catalogue)

    def is_listed_within(self, resource: str, begin: int, now: int) -> bool:
        """Whether a sync has read the resource's list to its end in `[begin, now]`, unix seconds."""
        last = self.resources.get(resource)
        return last is not None and bool(begin <= last.progress.get(LISTED_AT, 0) <= now)

    def note_listed(self, resources: Iterable[str], now: int) -> None:
        """Saves in the progress of resources that their lists were read to the end at `now`, unix seconds."""
        self.read()
        for name in resources:
            self.save_progress(name, {**self.resources[name].progress, LISTED_AT: now})

    def save_progress(self, name: str, progress: Mapping[str, Any]) -> None:
        """Replaces the progress in a resource's row, if there is such a row, and nothing else."""
        if name in self.resources:
            self.resources = {**self.resources, name: replace(self.resources[name], progress=progress)}
        self._state.save_progress(name, progress)


def last_listed(statuses: Mapping[str, ResourceStatus], catalogue: Catalogue) -> dict[str, Last]:
    """When each resource was last listed: noted by a sync, or the end of the window that a load has reached."""
    return {
        name: Last(saved.progress.get(LISTED_AT, saved.window_end and int(saved.window_end.timestamp())), saved.status)
        for name, saved in statuses.items()
        if name in catalogue.resources
    }


def reopened(progress: Progress, lookback: int | None) -> Progress:
    """The progress from which a run reads again what changed in the last `lookback` seconds; None reopens all of it.

    Windows lose their last part, and lists are read from the top.
    """
    if lookback is None:
        return replace(progress, listed={})
    if lookback == 0 or not progress.covered:
        return progress
    covered = {}
    for key, windows in progress.covered.items():
        end = windows[-1].lt if windows else 0
        covered[key] = subtract(windows, [Window(max(0, end - lookback), max(end, 1))])
    return replace(progress, covered=covered)


def loaded_names(session: Session) -> list[str]:
    """Names of the resources that were loaded before."""
    return [name for name in session.state.read_resources() if name in session.catalogue.resources]


def loaded_resources(session: Session, names: Sequence[str] = ()) -> list[Resource]:
    """The named resources, or those that were loaded, or the default group. Raises UnknownResource."""
    return session.catalogue.select(names or loaded_names(session))


def followed_tables(catalogue: Catalogue, names: Iterable[str]) -> frozenset[str] | None:
    """The tables that events fill if these resources are loaded; None for every table.

    If the whole default group is loaded, it is every table, including those without a list (mandates). `names` must not
    be those of a single run, because all tables share one position of the events.
    """
    loaded = set(names)
    if {each.name for each in catalogue.select()} <= loaded:
        return None
    return frozenset(table for name in loaded for table in catalogue.filled_with(catalogue.resources[name].table))
