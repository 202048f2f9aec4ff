"""Progress: what has been read of a resource, and therefore what is left. Pure values with a JSON form.

Each page is handed over with an advance. After the page is stored, the advance is applied and the result saved, so that
the next run continues where the stored pages end, even if this run is killed.

- Lists with a `created` filter: the windows that are covered. A later run reads the rest of its own range.
- Other lists: the id of the newest object, from which a later run continues if the list is in order of creation, and
  the cursor while the list is being read. Lists without order are read again from the start.
- Children: the last parent in the parents' order, and while a very long list is being read, the cursor in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from sources.catalogue import Params
from sources.fetch.windows import Window, WindowSet, merge, subtract

Ids = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Covered:
    """All objects of one pass that were created in the window have been handed over."""

    key: str
    window: Window


@dataclass(frozen=True, slots=True)
class Listed:
    """How far one pass over a list without `created` has come.

    `top` is the newest object's id (None if the list has no order), `cursor` where to continue (an id, or a v2 path
    with query; None at the end), `finished` says that the pass reached its end. Objects created before `since` (unix
    seconds) were left out.
    """

    key: str
    top: str | None
    cursor: str | None
    finished: bool
    since: int


@dataclass(frozen=True, slots=True)
class Reached:
    """The lists of all parents up to and including `parent` have been handed over; None for no parent yet.

    `within` is the parent whose list has been read in part, and the cursor in it. `finished` says that no parent is
    left.
    """

    parent: Ids | None
    finished: bool
    within: tuple[Ids, str] | None = None


Advance: TypeAlias = Covered | Listed | Reached


@dataclass(frozen=True, slots=True)
class Progress:
    """All progress of one resource; `Progress()` is that of a resource never read."""

    covered: Mapping[str, WindowSet] = field(default_factory=dict)
    listed: Mapping[str, Listed] = field(default_factory=dict)
    reached: Reached = field(default=Reached(None, False))

    def apply(self, advance: Advance | None) -> Progress:
        """The progress once the rows of this advance have been stored. Advances of different windows can be applied in
        any order.
        """
        match advance:
            case None:
                return self
            case Covered(key, window):
                return replace(self, covered={**self.covered, key: merge((*self.covered.get(key, ()), window))})
            case Listed(key):
                return replace(self, listed={**self.listed, key: advance})
            case Reached():
                return replace(self, reached=advance)

    def remaining(self, key: str, since: int, until: int) -> WindowSet:
        """The windows of `[since, until)`, unix seconds, that the pass `key` has not covered, oldest first."""
        return subtract((Window(since, until),), self.covered.get(key, ())) if since < until else ()

    def until(self, second: int) -> Progress:
        """The progress without windows that reach beyond `second`, which a wrong clock must have made."""
        kept = {
            key: tuple(covered for covered in windows if covered.lt <= second) for key, windows in self.covered.items()
        }
        return replace(self, covered=kept)

    def to_json(self) -> dict[str, Any]:
        """The progress as JSON values."""
        return {
            "covered": {
                key: [[covered.gte, covered.lt] for covered in windows] for key, windows in self.covered.items()
            },
            "listed": {
                key: [listed.top, listed.cursor, listed.finished, listed.since] for key, listed in self.listed.items()
            },
            "reached": [self.reached.parent, self.reached.finished, self.reached.within],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Progress:
        """The progress that `to_json` has written. Raises KeyError, TypeError or ValueError for anything else."""
        parent, finished, within = value["reached"]
        return cls(
            {key: merge(Window(*bounds) for bounds in windows) for key, windows in value["covered"].items()},
            {key: Listed(key, *fields) for key, fields in value["listed"].items()},
            Reached(
                tuple(parent) if parent is not None else None,
                finished,
                (tuple(within[0]), within[1]) if within is not None else None,
            ),
        )


def pass_key(params: Params) -> str:
    """The name of a pass over a list: its parameters, "active=true"."""
    return "&".join(f"{name}={value}" for name, value in params)
