"""Applies the events that no sync has applied yet, so that a check does not report their changes as drift."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from pipelines.loading.session import Session
from pipelines.sync.events_pass import EventsGap, EventsPass, PassSettings
from pipelines.sync.lists import followed_tables, loaded_names
from pipelines.warehouse.stored_rows import row_key
from sources.catalogue import Catalogue
from sources.fetch.event_log import NoEvents
from sources.fetch.position import Position
from sources.rows import Key


@dataclass(slots=True)
class Changed:
    """Keys of the rows that these events changed, and ids of the parents whose whole set of children they showed, by
    table.
    """

    catalogue: Catalogue
    keys: set[tuple[str, Key]] = field(default_factory=set)
    parents: set[tuple[str, str]] = field(default_factory=set)

    def note(self, tables: Mapping[str, pa.Table]) -> None:
        """Adds the rows of tables."""
        for name, table in tables.items():
            for row in table.to_pylist():
                if row["_source"] == "set":
                    self.parents.add((name, row["_parent_id"]))
                else:
                    self.keys.add((name, row_key(self.catalogue.tables[name], row)))

    def explains(self, table: str, key: Key, parent: str | None) -> bool:
        """Whether a row differs only because its change had not been applied yet."""
        return (table, key) in self.keys or (parent is not None and (table, parent) in self.parents)


def catch_up(session: Session, *, dry_run: bool) -> Changed:
    """Applies the events from the saved position up to now, but does not save the new position.

    With `dry_run`, nothing is stored. The result is empty without a position, after a gap, or if the key may not read
    events. Raises errors that stop a run.
    """
    changed = Changed(session.catalogue)
    saved = session.state.read_account().events_position
    if saved is None:
        return changed

    def store(tables: Mapping[str, pa.Table]) -> int:
        changed.note(tables)
        return 0 if dry_run else session.store(tables)

    settings = PassSettings(
        session.account_id,
        session.api_version,
        lag=-1,
        workers=session.settings.workers,
        tables=followed_tables(session.catalogue, loaded_names(session)),
    )
    passing = EventsPass(
        session.client, settings, session.columns, store, lambda position: None, session.counts, session.provider
    )
    try:
        passing.run(Position.from_json(saved))
    except (EventsGap, NoEvents):
        return Changed(session.catalogue)
    return changed
