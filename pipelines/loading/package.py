"""Collects chunks into packages, one for each resource, because the cost of a load depends on its number of tables.

Pure. Chunks of one resource stay in order, because their progress depends on it; those of different resources need not.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from sources.fetch.fetch import Chunk, Failed, Finished

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(slots=True)
class Package:
    """Rows to load together, and the progress to save afterwards. `since` is when its first chunk arrived, in seconds.

    `chunks` have no tables: these are in `parts`. `sources` are the resources that each table's rows come from.
    """

    parts: dict[str, list[pa.Table]] = field(default_factory=dict)
    sources: dict[str, set[str]] = field(default_factory=dict)
    chunks: list[Chunk] = field(default_factory=list)
    ends: list[Finished | Failed] = field(default_factory=list)
    rows: int = 0
    nbytes: int = 0
    since: float | None = None

    def add(self, chunk: Chunk, now: float) -> None:
        """Adds a chunk."""
        for name, table in chunk.tables.items():
            self.parts.setdefault(name, []).append(table)
            self.sources.setdefault(name, set()).add(chunk.resource)
        self.chunks.append(replace(chunk, tables={}))
        self.rows += chunk.rows
        self.nbytes += chunk.nbytes
        self.since = now if self.since is None else self.since

    def take_tables(self) -> dict[str, pa.Table]:
        """One table of all rows for each name. Clears `parts`, so that memory holds the rows once."""
        from sources.columns.arrow import concat

        return {name: concat(self.parts.pop(name)) for name in list(self.parts)}


@dataclass(frozen=True, slots=True)
class Limits:
    """When a package is due: rows of one resource, bytes of all waiting packages, seconds since its first chunk."""

    rows: int
    nbytes: int
    seconds: float


class Packages:
    """Sorts chunks into packages. `due` returns those that are ready to load, `rest` everything that is left as one
    package.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._filling: dict[str, Package] = {}

    def add(self, delivery: Chunk | Finished | Failed, now: float) -> None:
        """Adds a delivery."""
        package = self._filling.setdefault(delivery.resource, Package())
        if isinstance(delivery, Chunk):
            package.add(delivery, now)
        else:
            package.ends.append(delivery)

    def due(self, now: float) -> list[Package]:
        """Packages that are full, and one package of all that have waited too long; empty if there are none."""
        full = [name for name, filling in self._filling.items() if self._is_full(filling)]
        if not full and sum(filling.nbytes for filling in self._filling.values()) >= self._limits.nbytes:
            return [self.rest()]
        taken = [self._filling.pop(name) for name in full]
        if any(
            filling.since is not None and now - filling.since >= self._limits.seconds
            for filling in self._filling.values()
        ):
            taken.append(self.rest())
        return taken

    def rest(self) -> Package:
        """Everything that is left, as one package; it may be empty."""
        everything = _joined(self._filling.values())
        self._filling = {}
        return everything

    def _is_full(self, package: Package) -> bool:
        return package.rows >= self._limits.rows or package.nbytes >= self._limits.nbytes


def _joined(packages: Iterable[Package]) -> Package:
    joined = Package()
    for package in packages:
        for name, parts in package.parts.items():
            joined.parts.setdefault(name, []).extend(parts)
            joined.sources.setdefault(name, set()).update(package.sources[name])
        joined.chunks += package.chunks
        joined.ends += package.ends
        joined.rows += package.rows
        joined.nbytes += package.nbytes
    return joined
