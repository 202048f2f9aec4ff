"""Counts what a run did not store exactly as the provider sent it, for the run's report. Holds names and ids, no value.

Knows no database: callers report and save the counts.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sources.errors import shortened

KEPT = 1_000  # rejected objects of each resource and table that are kept by name; further ones are counted
NAMED = 5  # of each table that a message names


@dataclass(frozen=True, slots=True)
class Rejected:
    """An object that was left out: its resource or pass, its table, its id ("" if it has none), and the reason.

    A `count` above 1 stands for that many objects whose ids were not recorded.
    """

    resource: str
    table: str
    id: str
    why: str
    count: int = 1

    def __str__(self) -> str:
        return f"{self.table} {self.id or 'without an id'} ({self.why})"


class ConversionCounts:
    """Counts and names over a run. Thread-safe. `within` gives a view of it that records rejected objects under a
    resource.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._escaped: Counter[tuple[str, str]] = Counter()
        self._variants: Counter[tuple[str, str]] = Counter()
        self._aside: dict[str, dict[str, None]] = {}
        self._rejected: dict[tuple[str, str], dict[Rejected, None]] = {}
        self._unnamed: Counter[tuple[str, str]] = Counter()
        self._unsaved: list[Rejected] = []
        self._resource = ""

    def within(self, resource: str) -> ConversionCounts:
        """The same counts, which record rejected objects under this resource."""
        same = ConversionCounts.__new__(ConversionCounts)
        same.__dict__ |= {**self.__dict__, "_resource": resource}
        return same

    def add(self, table: str, column: str, escaped: int, variants: Mapping[str, int]) -> None:
        """Adds, for a column, how many values had characters escaped and how many went to each variant column."""
        with self._lock:
            if escaped:
                self._escaped[table, column] += escaped
            for name, count in variants.items():
                self._variants[table, name] += count

    def set_aside(self, table: str, fields: Iterable[str]) -> None:
        """Records fields of a table's objects that went to `_other_fields`."""
        with self._lock:
            known = self._aside.setdefault(table, {})
            for field in fields:
                if len(known) < KEPT:
                    known[shortened(field)] = None

    def reject(self, table: str, id: object, why: str, count: int = 1) -> None:
        """Records an object that is left out, or `count` objects without ids. `id` may be any value; each is recorded
        once.
        """
        with self._lock:
            entry = Rejected(self._resource, table, shortened(id) if isinstance(id, str) else "", why, count)
            kept = self._rejected.setdefault((self._resource, table), {})
            if entry not in kept and len(kept) < KEPT:
                kept[entry] = None
                self._unsaved.append(entry)
            elif entry not in kept:
                self._unnamed[self._resource, table] += count

    def absorb(self, other: ConversionCounts) -> None:
        """Adds another's counts of values and fields."""
        with self._lock:
            self._escaped.update(other.escaped())
            self._variants.update(other.variants())
        for table, fields in other.aside().items():
            self.set_aside(table, fields)

    def escaped(self) -> Mapping[tuple[str, str], int]:
        """(table, column) -> values whose U+0000 or lone surrogates were written as six-character escapes."""
        with self._lock:
            return dict(self._escaped)

    def variants(self) -> Mapping[tuple[str, str], int]:
        """(table, variant column) -> values that did not fit their own column."""
        with self._lock:
            return dict(self._variants)

    def aside(self) -> Mapping[str, list[str]]:
        """table -> names of the fields that are in `_other_fields`, in the order of their arrival."""
        with self._lock:
            return {table: list(fields) for table, fields in self._aside.items()}

    def rejected(self, resource: str | None = None) -> list[Rejected]:
        """The objects that were left out, of one resource or of all; one entry counts those beyond `KEPT`."""
        with self._lock:
            found = [entry for kept in self._rejected.values() for entry in kept]
            found += [Rejected(*of, "", "only counted", count) for of, count in self._unnamed.items()]
            return [entry for entry in found if resource is None or entry.resource == resource]

    def take_unsaved(self) -> list[Rejected]:
        """The objects that were left out since the last call, to be saved."""
        with self._lock:
            taken, self._unsaved[:] = list(self._unsaved), []
            return taken


def left_out(rejected: Iterable[Rejected], *, is_load: bool) -> str:
    """Which objects were left out and why, the first few of each table by name."""
    by_table: dict[str, list[Rejected]] = {}
    for entry in rejected:
        by_table.setdefault(entry.table, []).append(entry)
    named = "; ".join(map(_named, by_table.values()))
    counted = any(entry.count > 1 for some in by_table.values() for entry in some)
    lists = f"The table sync_rejected lists {'those whose id was recorded' if counted else 'them'}."
    return (
        f"Left out, because they cannot be stored: {named}. {'Everything else is loaded. ' if is_load else ''}{lists}"
    )


def _named(rejected: Sequence[Rejected]) -> str:
    """The rejects of one table."""
    more = sum(entry.count for entry in rejected[NAMED:])
    return "; ".join(map(str, rejected[:NAMED])) + (f"; and {more:,} more of {rejected[0].table}" if more else "")
