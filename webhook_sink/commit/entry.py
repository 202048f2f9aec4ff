"""What the writer commits: an event with its rows, or the rows of an object that was read again."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from sources.columns.contract import ContractedColumns
from sources.errors import StripeSourceError
from webhook_sink.commit.rows import JsonRow, json_rows
from webhook_sink.decision import Decision, Reread
from webhook_sink.event import Event

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

    `arrived` is on the event loop's clock. `broken` is why its object can be no rows, `refused` why the tables as they
    are may not have them.
    """

    decision: Decision
    account_id: str
    done: asyncio.Future[Fate]
    arrived: float = 0.0
    event: Event | None = None
    claim: Claim | None = None
    broken: StripeSourceError | None = None
    refused: StripeSourceError | None = None
    rows: Mapping[str, list[JsonRow]] = field(default_factory=dict)
    _columns: ContractedColumns | None = None

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

    def stage(self, columns: ContractedColumns) -> None:
        """Makes `rows` for these columns, unless they are for them already.

        What no row holds is `refused`, and what the schema contract does not let into the tables.
        """
        if self._columns is columns:
            return
        self._columns, self.refused = columns, self.broken
        try:
            made = ((name, json_rows(name, rows, columns)) for name, rows in self.decision.rows.items() if rows)
            self.rows = {name: rows for name, rows in made if rows}
        except StripeSourceError as error:
            self.rows, self.refused = {}, error
