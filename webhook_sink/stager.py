"""The rows of a batch, for a schema that has all of their tables and columns. Knows no transaction and no queue."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime

from sources.stripe_api.contract import SchemaFrozen
from webhook_sink.entry import Entry
from webhook_sink.metrics import Metrics
from webhook_sink.schema import SchemaState

log = logging.getLogger("stripe_elt.sink")


class Stager:
    """Makes rows, and adds to the schema what they need and the contract allows."""

    def __init__(self, schema: SchemaState, metrics: Metrics, clock: Callable[[], datetime]) -> None:
        self._schema, self._metrics, self._clock = schema, metrics, clock

    def stage(self, entry: Entry) -> None:
        """Makes an entry's rows for the schema as it is known now, unless they are for it already."""
        entry.stage(self._schema.columns, self._clock)

    async def fit(self, batch: Sequence[Entry]) -> None:
        """Makes the rows of entries, and the tables and columns that they lack; what cannot be is `refused`.

        What is missing is looked for in the database first: another writer may have added it, with a type of its own.
        Raises the database's errors.
        """
        self._stage(batch)
        if any(isinstance(entry.refused, SchemaFrozen) for entry in batch):
            await self.refresh(batch)
        while self._missing(batch):
            await self.refresh(batch)
            if missing := self._missing(batch):
                await self._schema.add(missing)
                self._metrics.schema_changes.inc()
                log.info("added to the schema: %s", ", ".join(sorted(missing)))
                self._stage(batch)

    async def refresh(self, batch: Sequence[Entry]) -> None:
        """Reads the schema again, and makes the rows for it."""
        await self._schema.refresh()
        self._stage(batch)

    def _stage(self, batch: Sequence[Entry]) -> None:
        for entry in batch:
            self.stage(entry)

    def _missing(self, batch: Sequence[Entry]) -> dict[str, set[str]]:
        """Tables, and columns of them, that the batch needs and the database is not known to have."""
        missing: dict[str, set[str]] = {}
        for entry in batch:
            for name, rows in entry.rows.items():
                for row in rows:
                    if self._schema.lacks(name, row.names):
                        missing.setdefault(name, set()).update(row.names)
        return missing
