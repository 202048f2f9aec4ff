"""The package that is being filled: Arrow tables by table, and what may be recorded once they are committed. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from sources.stripe_api.arrow import concat


@dataclass(slots=True)
class Package:
    """Chunks collected until they are worth a load. `since` is when the first one came, by the caller's clock."""

    parts: dict[str, list[pa.Table]] = field(default_factory=dict)
    rows: int = 0
    nbytes: int = 0
    since: float | None = None

    def add(self, tables: Mapping[str, pa.Table], nbytes: int, now: float) -> None:
        """Takes a chunk's tables."""
        for name, table in tables.items():
            self.parts.setdefault(name, []).append(table)
            self.rows += table.num_rows
        self.nbytes += nbytes
        self.since = now if self.since is None else self.since

    def is_due(self, limits: Limits, now: float) -> bool:
        """Whether it is full, or its rows have waited long enough."""
        waited = 0.0 if self.since is None else now - self.since
        return self.rows >= limits.rows or self.nbytes >= limits.nbytes or waited >= limits.seconds

    def tables(self) -> dict[str, pa.Table]:
        """One table of all rows for each name."""
        return {name: concat(parts) for name, parts in self.parts.items()}


@dataclass(frozen=True, slots=True)
class Limits:
    """When a package is due: rows, bytes of Arrow, seconds since its first chunk."""

    rows: int
    nbytes: int
    seconds: float
