"""The rows of a batch, for a schema that has all of their tables and columns. Knows no transaction and no queue."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence, Set

from sources.columns.contract import SchemaFrozen
from webhook_sink.commit.entry import Entry
from webhook_sink.commit.schema import SchemaRefused, SchemaState
from webhook_sink.metrics import Metrics

log = logging.getLogger("stripe_elt.sink")


class Stager:
    """Makes rows, and adds to the schema what they need and the contract allows."""

    def __init__(self, schema: SchemaState, metrics: Metrics) -> None:
        self._schema, self._metrics = schema, metrics

    def stage(self, entry: Entry) -> None:
        """Makes an entry's rows for the schema as it is known now, unless they are for it already."""
        entry.stage(self._schema.columns)

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
                await self._add(batch, missing)
                self._stage(batch)

    async def _add(self, batch: Sequence[Entry], missing: Mapping[str, Set[str]]) -> None:
        """Adds what the batch lacks; where the database refuses, what each entry lacks by itself."""
        try:
            await self._schema.add(missing)
        except SchemaRefused as refusal:
            alone = [own for entry in batch if (own := self._missing([entry]))]
            if all(own == missing for own in alone):
                self._schema.refuse(missing, refusal)
                return
            for own in alone:
                if self._schema.refusal(own) is None:
                    await self._add_alone(own)
        else:
            self._added(missing)

    async def _add_alone(self, missing: Mapping[str, Set[str]]) -> None:
        try:
            await self._schema.add(missing)
        except SchemaRefused as refusal:
            self._schema.refuse(missing, refusal)
        else:
            self._added(missing)

    def _added(self, missing: Mapping[str, Set[str]]) -> None:
        self._metrics.schema_changes.inc()
        log.info("added to the schema: %s", ", ".join(sorted(missing)))

    async def refresh(self, batch: Sequence[Entry]) -> None:
        """Reads the schema again, and makes the rows for it."""
        await self._schema.refresh()
        self._stage(batch)

    def _stage(self, batch: Sequence[Entry]) -> None:
        for entry in batch:
            self.stage(entry)

    def _missing(self, batch: Sequence[Entry]) -> dict[str, set[str]]:
        """Tables, and columns of them, that the batch needs and the database is not known to have.

        An entry that needs what the database is known to refuse is `refused`, and has no rows.
        """
        missing: dict[str, set[str]] = {}
        for entry in batch:
            own: dict[str, set[str]] = {}
            for name, rows in entry.rows.items():
                for row in rows:
                    if self._schema.lacks(name, row.columns):
                        own.setdefault(name, set()).update(self._schema.missing(name, row.columns))
            if own and (refusal := self._schema.refusal(own)) is not None:
                entry.refused, entry.rows = refusal, {}
                continue
            for name, columns in own.items():
                missing.setdefault(name, set()).update(columns)
        return missing
