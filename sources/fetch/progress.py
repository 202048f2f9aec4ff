"""Progress: what of a resource has been handed over, and so what is left. Pure values with a JSON form.

Each page that is handed over comes with an advance; whoever stores the page applies the advance afterwards and saves
the result, so that a run that is killed at any moment goes on where its stored pages end.

- Lists with a `created` filter: the windows that are covered. A later run asks for the rest of its own range.
- Other lists: the id of the newest object, after which a later run goes on where the order can be trusted, and while
  the list is under way the cursor. Lists without order are read again from the start.
- Children: the place in the order of the parents, and while a very long list is under way the cursor in it.
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
    """Everything created in the window, in one pass over the list, has been handed over."""

    key: str
    window: Window


@dataclass(frozen=True, slots=True)
class Listed:
    """How far one pass over a list without `created` has come.

    `top` is the newest object's id (None where order says nothing), `cursor` where to go on (an id, or a v2 path with
    query; None at the end), `finished` says that it reached its end. Objects created before `since` were left out.
    """

    key: str
    top: str | None
    cursor: str | None
    finished: bool
    since: int


@dataclass(frozen=True, slots=True)
class Reached:
    """The lists of all parents up to and with `parent` have been handed over; None is before the first.

    `within` are the parent whose list is under way and the cursor in it. `finished` says that no parent is left.
    """

    parent: Ids | None
    finished: bool
    within: tuple[Ids, str] | None = None


Advance: TypeAlias = Covered | Listed | Reached


@dataclass(frozen=True, slots=True)
class Progress:
    """All progress of one resource; a fresh one is that of a resource never read."""

    covered: Mapping[str, WindowSet] = field(default_factory=dict)
    listed: Mapping[str, Listed] = field(default_factory=dict)
    reached: Reached = field(default=Reached(None, False))

    def apply(self, advance: Advance | None) -> Progress:
        """The progress after what came with the advance has been stored. Advances of different windows commute."""
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
        """The windows of `[since, until)` that one pass has not covered, oldest first."""
        return subtract((Window(since, until),), self.covered.get(key, ())) if since < until else ()

    def until(self, second: int) -> Progress:
        """The progress without windows that reach beyond a second: a wrong clock made them; they are not trusted."""
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
        """The progress that `to_json` gave. Raises KeyError, TypeError or ValueError for anything else."""
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
    """What a pass over a list is known by: its parameters, "active=true"; the same whatever order passes have."""
    return "&".join(f"{name}={value}" for name, value in params)
