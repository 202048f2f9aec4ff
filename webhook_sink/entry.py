"""What the writer commits: an event with its rows, or the rows of an object that was read again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from pipelines.merge import SET_MARKER
from sources.stripe_api.errors import StripeSourceError
from sources.stripe_api.schema import Columns
from webhook_sink.decision import Decision, Reread
from webhook_sink.event import Event
from webhook_sink.staging import StagedRow, staged

Fate = Literal["committed", "duplicate", "failed", "unavailable"]
"""Committed, with all that it asks for; known already; kept in the ledger as failed; not kept, to be sent again."""


@dataclass(frozen=True, slots=True)
class Claim:
    """An object that this process has taken to read again: what it is, for which events, and its generation."""

    reread: Reread
    events: Sequence[str]
    generation: int
    attempts: int


@dataclass(eq=False, slots=True)
class Entry:
    """`event` and `claim` exclude each other. `done` gets the fate when it is certain.

    `arrived` is on the event loop's clock. `broken` is why its object can be no rows, found when it was decided on.
    """

    decision: Decision
    account_id: str
    done: asyncio.Future[Fate]
    arrived: float = 0.0
    event: Event | None = None
    claim: Claim | None = None
    broken: StripeSourceError | None = None
    rows: Mapping[str, list[StagedRow]] = field(default_factory=dict)
    _columns: Columns | None = None

    @property
    def nbytes(self) -> int:
        """About what it keeps in memory."""
        return len(self.event.body) if self.event else 0

    @property
    def status(self) -> str:
        """Its event's status in the ledger, once it is committed."""
        if self.decision.ignored is not None:
            return "ignored"
        return "processing" if self.decision.waits else "processed"

    def stage(self, columns: Columns, clock: Callable[[], datetime]) -> None:
        """Makes `rows` for these columns, unless they are for them already. Raises BrokenPage for what no row holds."""
        if self.broken is not None:
            raise self.broken
        if self._columns is not columns:
            self.rows = {name: staged(name, rows, columns, clock) for name, rows in self.decision.rows.items() if rows}
            self._columns = columns


def ties_within(entries: Sequence[Entry], keys: Mapping[str, tuple[str, ...]]) -> Iterator[Entry]:
    """Entries whose object, or set of children, has another state of the same second among those before it.

    `keys`: columns by table.
    """
    seen: dict[tuple[object, ...], object] = {}
    for entry in entries:
        for name, rows in entry.decision.rows.items():
            for row in rows:
                if row.get("object") is not None:
                    state: object = row
                    key = (name, row["_as_of"], *(row[column] for column in keys[name]))
                elif row["_source"] == SET_MARKER:
                    state = {one["id"] for one in rows if one.get("object") and one["_parent_id"] == row["_parent_id"]}
                    key = (SET_MARKER, name, row["_as_of"], row["_account_id"], row["_parent_id"])
                else:
                    continue
                if seen.setdefault(key, state) != state:
                    yield entry
                seen[key] = state
