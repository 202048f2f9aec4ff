"""The lines of `sync_status` that a sync goes by: how each resource stands, and when its list was last read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipelines.session import Session
from pipelines.sync.cadence import Last
from sources.stripe_api.catalogue import RESOURCES, TABLES, Resource, select
from sources.stripe_api.events.position import EVENTS_PASS

LISTED_AT = "listed_at"
"""The key in a resource's progress that says when its list was last read to its end, in unix seconds."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of `sync_status`: `window_end` in unix seconds."""

    status: str
    progress: Mapping[str, Any]
    window_end: int | None


class SyncState:
    """The lines of one account, as they stood when they were last read. Each resource's own is written by its run."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._table = f'"{session.settings.dataset}".sync_status'
        self.lines: Mapping[str, Line] = {}
        self.read()

    def read(self) -> None:
        """Reads all lines again."""
        rows = self._session.database.execute(
            f"SELECT resource, status, progress, window_end FROM {self._table} WHERE _account_id = %s",
            (self._session.account_id,),
        )
        self.lines = {
            name: Line(
                status,
                (json.loads(progress) if isinstance(progress, str) else progress) or {},
                int(end.timestamp()) if end is not None else None,
            )
            for name, status, progress, end in rows
        }

    @property
    def has_events(self) -> bool:
        """Whether the last pass over the events found that the key may read them, or there was none."""
        return EVENTS_PASS not in self.lines or self.lines[EVENTS_PASS].status != "skipped"

    def last(self) -> dict[str, Last]:
        """When each resource was last listed: noted by a sync, or the end of the window that a load has reached."""
        return {
            name: Last(line.progress.get(LISTED_AT, line.window_end), line.status)
            for name, line in self.lines.items()
            if name in RESOURCES
        }

    def is_listed_within(self, resource: str, begin: int, now: int) -> bool:
        """Whether a sync has read the resource's list to its end since a second, by a clock that was not ahead."""
        line = self.lines.get(resource)
        return line is not None and bool(begin <= line.progress.get(LISTED_AT, 0) <= now)

    def note_listed(self, resources: Iterable[str], now: int) -> None:
        """Notes the moment in the resources' own lines."""
        self.read()
        for name in resources:
            self.write(name, {**self.lines[name].progress, LISTED_AT: now})

    def write(self, name: str, progress: Mapping[str, Any]) -> None:
        """Replaces the progress of a line, and nothing else of it; there may be no such line."""
        if name in self.lines:
            self.lines = {**self.lines, name: replace(self.lines[name], progress=progress)}
        self._session.database.execute(
            f"UPDATE {self._table} SET progress = %s WHERE resource = %s AND _account_id = %s",
            (json.dumps(progress), name, self._session.account_id),
        )

    def drop(self, name: str) -> None:
        """Takes a line out."""
        self.lines = {each: line for each, line in self.lines.items() if each != name}
        self._session.database.execute(
            f"DELETE FROM {self._table} WHERE resource = %s AND _account_id = %s", (name, self._session.account_id)
        )


def loaded_names(session: Session) -> list[str]:
    """Names of the resources that have a line in `sync_status`."""
    rows = session.database.execute(
        f'SELECT resource FROM "{session.settings.dataset}".sync_status WHERE _account_id = %s', (session.account_id,)
    )
    return [name for (name,) in rows if name in RESOURCES]


def loaded_resources(session: Session, names: Sequence[str] = ()) -> list[Resource]:
    """The named resources, or those that were loaded, or the default group. Raises UnknownResource."""
    return select(names or loaded_names(session))


def followed_tables(names: Iterable[str]) -> frozenset[str] | None:
    """The tables that events fill where these resources are loaded; None for every table.

    It is every table, also those without a list (mandates, discounts), where all of the default group is loaded.
    It must not depend on what a single run is about: the position of the events is one for all tables.
    """
    loaded = set(names)
    if {one.name for one in select()} <= loaded:
        return None
    tables = {RESOURCES[name].table for name in loaded}
    return frozenset(tables | {embedded.table for name in tables for embedded in TABLES[name].embedded})
