"""How far the events of an account have been applied, as windows of their creation, and what is left to read. Pure.

Logs of events show the newest ones late and out of order: a pass keeps a lag to now, and the next one reads an overlap
again (Stripe: https://docs.stripe.com/api/events). Knows no request, no provider and no database.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sources.changes import ObjectRef
from sources.fetch.windows import AHEAD, Window, WindowSet, intersect, merge, subtract, window

EVENTS_PASS = "events_pass"
"""The name under which what a pass over the events leaves out is noted."""

KEPT = 30 * 86_400
"""Seconds for which events can be relied on: Stripe keeps them for thirty days, Orb does not say for how long."""
MARGIN = 3_600  # an event may expire while a pass is under way


@dataclass(frozen=True, slots=True)
class Position:
    """Events created in `covered` have been applied, but for the objects in `owed`, which are still to be read back.

    `begin` is the second (unix) from which the tables are known to be right: the load that came before the events.
    """

    begin: int
    covered: WindowSet = ()
    owed: tuple[ObjectRef, ...] = ()

    @property
    def reached(self) -> int:
        """The first second whose events may not have been applied."""
        return next((seconds.lt for seconds in self.covered if seconds.gte <= self.begin < seconds.lt), self.begin)

    def has_gap(self, now: int) -> bool:
        """Whether events that were not applied are no longer kept, or may have been left out by a wrong clock."""
        return self.reached < now - KEPT + MARGIN or self.is_ahead(now)

    def is_ahead(self, now: int) -> bool:
        """Whether it claims events that are still to come: then nobody knows which of the last ones were applied."""
        return max(self.begin, *(covered.lt for covered in self.covered), 0) > now + AHEAD

    def holes(self) -> WindowSet:
        """Windows between covered ones, oldest first: what a stopped pass left."""
        end = self.covered[-1].lt if self.covered else self.begin
        whole = window(self.begin, end)
        return subtract([whole], self.covered) if whole else ()

    def newest_from(self, overlap: int) -> int:
        """The second from which the newest events are read: an overlap before the last one that was covered."""
        last = self.covered[-1].lt if self.covered else self.begin
        return max(0, last - overlap)

    def cover(self, done: Window | None) -> Position:
        """After the events of a window have been applied."""
        return self if done is None else replace(self, covered=merge((*self.covered, done)))

    def owe(self, objects: tuple[ObjectRef, ...]) -> Position:
        """With these objects still to be read back."""
        return replace(self, owed=objects)

    def forget(self, now: int) -> Position:
        """Without the windows of events that are no longer kept, where nothing is left to read before them."""
        begin = max(self.begin, min(self.reached, now - KEPT))
        return replace(self, begin=begin, covered=intersect(self.covered, [Window(begin, 2**62)]))

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "begin": self.begin,
            "covered": [[covered.gte, covered.lt] for covered in self.covered],
            "owed": [ref.to_json() for ref in self.owed],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Position:
        """What `to_json` gave. Raises KeyError, TypeError or ValueError for anything else."""
        return cls(
            int(value["begin"]),
            merge(Window(*bounds) for bounds in value["covered"]),
            tuple(map(ObjectRef.from_json, value["owed"])),
        )
