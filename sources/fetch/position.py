"""The position: which events of an account have been applied, as windows of their creation, and what is left. Pure.

Logs show the newest events late and out of order: a pass stops some seconds before now (lag), and the next pass reads
the last seconds again (overlap) (Stripe: https://docs.stripe.com/api/events). Knows no request, no provider and no
database.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sources.changes import ObjectRef
from sources.fetch.windows import AHEAD, Window, WindowSet, intersect, merge, subtract, window

EVENTS_PASS = "events_pass"
"""The resource name under which the rejects of a pass over the events are recorded."""

KEPT = 30 * 86_400
"""How long events are certainly available, in seconds: Stripe keeps them for thirty days, Orb does not say how long."""
MARGIN = 3_600  # seconds, because an event may expire during a pass


@dataclass(frozen=True, slots=True)
class Position:
    """Events created in `covered` have been applied, except that the objects in `owed` still have to be retrieved.

    `begin` is the unix second of the load that the events continue.
    """

    begin: int
    covered: WindowSet = ()
    owed: tuple[ObjectRef, ...] = ()

    @property
    def reached(self) -> int:
        """The first second whose events may not have been applied."""
        return next((seconds.lt for seconds in self.covered if seconds.gte <= self.begin < seconds.lt), self.begin)

    def has_gap(self, now: int) -> bool:
        """Whether events that were not applied have expired, or may have been skipped because of a wrong clock."""
        return self.reached < now - KEPT + MARGIN or self.is_ahead(now)

    def is_ahead(self, now: int) -> bool:
        """Whether it covers seconds in the future: then it is unknown which of the last events were applied."""
        return max(self.begin, *(covered.lt for covered in self.covered), 0) > now + AHEAD

    def holes(self) -> WindowSet:
        """Windows between covered ones, oldest first: what an interrupted pass left unread."""
        end = self.covered[-1].lt if self.covered else self.begin
        whole = window(self.begin, end)
        return subtract([whole], self.covered) if whole else ()

    def newest_from(self, overlap: int) -> int:
        """The second from which the newest events are read: the end of the last covered window, less the overlap."""
        last = self.covered[-1].lt if self.covered else self.begin
        return max(0, last - overlap)

    def cover(self, done: Window | None) -> Position:
        """The position after the events of a window have been applied."""
        return self if done is None else replace(self, covered=merge((*self.covered, done)))

    def owe(self, objects: tuple[ObjectRef, ...]) -> Position:
        """The position with these objects still to be retrieved."""
        return replace(self, owed=objects)

    def forget(self, now: int) -> Position:
        """The position without windows of expired events, as far as no hole lies before them."""
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
        """The position that `to_json` has written. Raises KeyError, TypeError or ValueError for anything else."""
        return cls(
            int(value["begin"]),
            merge(Window(*bounds) for bounds in value["covered"]),
            tuple(map(ObjectRef.from_json, value["owed"])),
        )
