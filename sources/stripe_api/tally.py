"""Counts of values that were not stored just as Stripe sent them, so that a run can report them. Holds no value."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping


class Tally:
    """Counts over a run, for any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._escaped: Counter[tuple[str, str]] = Counter()
        self._variants: Counter[tuple[str, str]] = Counter()

    def add(self, table: str, column: str, escaped: int, variants: Mapping[str, int]) -> None:
        """Of this column's values so many had characters escaped, and so many went to each variant column."""
        with self._lock:
            if escaped:
                self._escaped[table, column] += escaped
            for name, count in variants.items():
                self._variants[table, name] += count

    def escaped(self) -> Mapping[tuple[str, str], int]:
        """(table, column) -> values whose U+0000 or lone surrogates were written as six-character escapes."""
        with self._lock:
            return dict(self._escaped)

    def variants(self) -> Mapping[tuple[str, str], int]:
        """(table, variant column) -> values that did not fit their own column."""
        with self._lock:
            return dict(self._variants)
