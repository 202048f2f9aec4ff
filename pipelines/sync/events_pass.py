"""One pass over a provider's events: stores each object's newest state, and retrieves objects whose events do not show
it.

The position is saved after each stored piece, so that a pass can be stopped or killed at any time and continues there.
Rows of older events, stored later, cannot overwrite newer ones: the merge is guarded. Knows rows and positions; reads
through a provider, and stores through the functions that it is given.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from sources.changes import Change, Ignored, Newest, ObjectRef, Retrieved
from sources.columns.columns import Columns
from sources.columns.conversion_counts import ConversionCounts
from sources.errors import BrokenPage, ConnectorError
from sources.fetch.event_log import Piece
from sources.fetch.position import EVENTS_PASS, Position
from sources.fetch.values import Object
from sources.provider import Provider
from sources.rows import Row, merged

if TYPE_CHECKING:
    import pyarrow as pa


class EventsGap(ConnectorError):
    """Events that were not applied have expired. `now` is the provider's time, unix seconds."""

    def __init__(self, message: str, now: int) -> None:
        super().__init__(message)
        self.now = now


@dataclass(slots=True)
class Report:
    """What a pass has done, in numbers and reasons. `now` is the provider's time at its first request, unix seconds.
    `believed` counts objects whose state came from the event itself, `retrieved` those that had to be retrieved.
    """

    now: int | None = None
    events: int = 0
    applied: int = 0
    rows: int = 0
    believed: int = 0
    retrieved: int = 0
    deleted: int = 0
    doubts: Counter[str] = field(default_factory=Counter)
    ignored: Counter[str] = field(default_factory=Counter)
    unreadable: Counter[str] = field(default_factory=Counter)
    touched: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class PassSettings:
    """The settings of a pass. Times are in seconds.

    Only changes of `tables` are stored; None means all tables.
    """

    account_id: str
    api_version: str
    lag: int = 60
    overlap: int = 300
    workers: int = 8
    tables: frozenset[str] | None = None


class EventsPass:
    """A pass for one account. `store` commits tables and returns the number of rows; `save` saves the position
    afterwards.

    `keep` returns the rows of the events themselves, if these are stored too.
    """

    def __init__(
        self,
        client: Any,
        settings: PassSettings,
        columns: Columns,
        store: Callable[[Mapping[str, pa.Table]], int],
        save: Callable[[Position], None],
        counts: ConversionCounts,
        provider: Provider,
        keep: Callable[[Piece], Mapping[str, list[Row]]] = lambda piece: {},
    ) -> None:
        self._client, self._settings, self._columns = client, settings, columns
        self._provider, self._keep = provider, keep
        self._counts = counts.within(EVENTS_PASS)
        self._store, self._save = store, save
        self.report = Report()

    def run(self, position: Position) -> int:
        """Applies the events that are left, oldest windows first. Returns the provider's time at the first page. Raises
        BudgetSpent, EventsGap, NoEvents, and other errors that stop a run.

        After an error, the saved position covers what was applied.
        """
        position = self._pay(position)
        for hole in position.holes():
            position = self._read(position, hole.gte, hole.lt)
        position = self._read(position, position.newest_from(self._settings.overlap), None)
        assert self.report.now is not None  # a pass sends at least one request
        self._save(position.forget(self.report.now))
        return self.report.now

    # --- reading -----------------------------------------------------------------------------------------------------

    def _read(self, position: Position, gte: int, lt: int | None) -> Position:
        """Applies the events of a window, newest first; without `lt`, up to the lag before now."""
        newest = Newest()
        for piece in self._provider.pieces(self._client, gte, lt, self._settings.lag, partial(self._see, position)):
            position = self._apply(position, newest, piece)
        return position

    def _see(self, position: Position, now: int) -> None:
        """Checks for a gap at the first page, which shows the provider's time."""
        if self.report.now is None:
            self.report.now = now
            _check(position, now)

    # --- storing -----------------------------------------------------------------------------------------------------

    def _apply(self, position: Position, newest: Newest, piece: Piece) -> Position:
        """Stores the changes of events, saves the position, then retrieves the objects whose events do not show their
        state.
        """
        tables = self._tables_of(self._keep(piece))  # before the events' objects become rows
        for event in piece.unusable:
            self._counts.reject("events", event.get("id"), "the list of events shows it without an id or a time")
        for event in piece.events:
            change = self._change(event)
            if change is None:
                continue
            if isinstance(change, Ignored):
                self.report.ignored[change.reason] += 1
            elif self._settings.tables is None or change.table in self._settings.tables:
                newest.add(change)
        changes = newest.take()
        doubted = [change for change in changes if self._must_be_read(change)]
        believed = [change for change in changes if not self._must_be_read(change)]
        self.report.events += len(piece.events)
        self.report.applied += len(changes)
        self.report.believed += len(believed)
        self.report.deleted += sum(change.is_deletion for change in believed)
        self.report.doubts.update(str(change.doubt) for change in doubted)
        self._put(merged(map(self._rows, believed)), tables)
        position = position.cover(piece.done).owe((*position.owed, *map(_ref, doubted)))
        if piece.done is not None or doubted:
            self._save(position)
        return self._pay(position)

    def _change(self, event: Object) -> Change | Ignored | None:
        """What an event reports. A malformed event is recorded as rejected, and the result is None."""
        try:
            return self._provider.change_of(event, self._settings.api_version, self._settings.account_id)
        except BrokenPage as error:
            self._counts.reject("events", event.get("id"), str(error))
            return None

    def _must_be_read(self, change: Change) -> bool:
        """Whether an object has to be retrieved. A deletion is retrieved only in a tie.

        Objects that the provider cannot read by id are taken from the payload, unless that has another API version's
        shape.
        """
        if change.doubt is None or (change.is_deletion and change.doubt != "tie"):
            return False
        return self._provider.catalogue.tables[change.table].retrieve is not None or change.doubt == "version"

    def _rows(self, change: Change) -> Mapping[str, list[Row]]:
        """The rows of a change. If no row can hold the object, it is recorded as rejected, and there are none."""
        try:
            return self._provider.rows_of(change, self._settings.account_id, self._counts)
        except BrokenPage as error:
            self._counts.reject(change.table, "/".join(change.key), str(error))
            return {}

    def _pay(self, position: Position) -> Position:
        """Retrieves the objects that the position owes."""
        if not position.owed:
            return position
        left = dict.fromkeys(position.owed)
        account_id, workers = self._settings.account_id, self._settings.workers
        read = self._provider.retrieve
        for batch in read(self._client, position.owed, account_id, workers=workers, entries=self._counts):
            self._put(merged(retrieved.rows for retrieved in batch), {})
            for retrieved in batch:
                self._count(retrieved)
                if retrieved.state != "failed":
                    left.pop(retrieved.ref, None)
            position = position.owe(tuple(left))
            self._save(position)
        return position

    def _count(self, retrieved: Retrieved) -> None:
        if retrieved.state in ("read", "gone"):
            self.report.retrieved += 1
            self.report.deleted += retrieved.state == "gone"
        elif retrieved.state == "broken":
            self._counts.reject(retrieved.ref.table, "/".join(retrieved.ref.key), retrieved.why)
        else:
            self.report.unreadable[f"{retrieved.ref.table}: {retrieved.why}"] += 1

    def _put(self, rows: Mapping[str, list[Row]], tables: Mapping[str, pa.Table]) -> None:
        arrow = {**self._tables_of(rows), **tables}
        if arrow:
            self.report.rows += self._store(arrow)
            self.report.touched.update(arrow)

    def _tables_of(self, rows: Mapping[str, list[Row]]) -> dict[str, pa.Table]:
        if not any(rows.values()):
            return {}
        from sources.columns.arrow import arrow_tables  # here, because a run without new events needs no Arrow

        return arrow_tables(rows, self._columns, counts=self._counts)


def _check(position: Position, now: int) -> None:
    if position.is_ahead(now):
        raise EventsGap("An earlier run used a wrong clock: the saved position of the events is in the future.", now)
    if position.has_gap(now):
        reached = datetime.fromtimestamp(position.reached, UTC)
        raise EventsGap(f"The events of this account were last applied up to {reached:%Y-%m-%d %H:%M} UTC.", now)


def _ref(change: Change) -> ObjectRef:
    return ObjectRef(change.table, change.key, change.parent_id, change.created, change.at)
