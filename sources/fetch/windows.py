"""Windows: half-open ranges `[gte, lt)` of `created`, in whole unix seconds, and their algebra.

Pure: knows no clock, no list, no request. A set of windows is a sorted tuple in which no two overlap or touch, so that
equal sets are equal tuples. Functions that cut a window return parts that tile it exactly: no gap, no overlap.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

AHEAD = 600
"""Seconds by which a window or a position may be ahead of the provider's clock: its servers differ slightly."""


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """`[gte, lt)` in unix seconds; never empty. Raises ValueError if `gte >= lt`."""

    gte: int
    lt: int

    def __post_init__(self) -> None:
        if self.gte >= self.lt:
            raise ValueError(f"a window must hold at least one second: [{self.gte}, {self.lt})")

    @property
    def seconds(self) -> int:
        """Length, at least 1."""
        return self.lt - self.gte

    def holds(self, second: int) -> bool:
        """Whether an object created in this second belongs to the window."""
        return self.gte <= second < self.lt

    def split(self, at: int) -> tuple[Self, Self]:
        """The older and the newer part, `[gte, at)` and `[at, lt)`. Raises ValueError if either would be empty."""
        return type(self)(self.gte, at), type(self)(at, self.lt)


WindowSet = tuple[Window, ...]


def window(gte: int, lt: int) -> Window | None:
    """The window `[gte, lt)`, or None if it would be empty."""
    return Window(gte, lt) if gte < lt else None


def merge(windows: Iterable[Window]) -> WindowSet:
    """The set of all seconds that any of the windows holds."""
    merged: list[Window] = []
    for each in sorted(windows):
        if merged and each.gte <= merged[-1].lt:
            merged[-1] = Window(merged[-1].gte, max(merged[-1].lt, each.lt))
        else:
            merged.append(each)
    return tuple(merged)


def subtract(windows: Iterable[Window], covered: Iterable[Window]) -> WindowSet:
    """The set of all seconds of `windows` that `covered` does not hold."""
    left: list[Window] = []
    holes = merge(covered)
    for kept in merge(windows):
        start = kept.gte
        for hole in holes:
            if hole.lt <= start or hole.gte >= kept.lt:
                continue
            if start < hole.gte:
                left.append(Window(start, hole.gte))
            start = hole.lt
        if start < kept.lt:
            left.append(Window(start, kept.lt))
    return tuple(left)


def intersect(windows: Iterable[Window], other: Iterable[Window]) -> WindowSet:
    """The set of all seconds that both hold."""
    kept = merge(windows)
    return subtract(kept, subtract(kept, other))


def seconds(windows: Iterable[Window]) -> int:
    """How many seconds a set of windows holds in all."""
    return sum(each.seconds for each in windows)
