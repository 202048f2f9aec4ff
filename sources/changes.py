"""Single objects: the changes that events report, references to objects, and the results of retrieving them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from sources.rows import Key, Row

THIN = "thin"
"""The `doubt` of a change whose event only names its object: the object has to be retrieved."""


CUT = "cut payload"
"""The `doubt` of a change whose event shows only some fields of its object: the object has to be retrieved. If that is
impossible, the other fields keep their values."""


@dataclass(frozen=True, slots=True)
class Change:
    """What an event reports about an object. `at` and `created` (of the object, None where unknown) are unix seconds.

    `key` has the values of the table's key, and is empty for a singleton; `parent_id` is set if the table has parents
    and the object names its own. `doubt` says why the object must be retrieved first; None if the event's state can be
    used.
    """

    table: str
    key: Key
    parent_id: str | None
    at: int
    created: int | None
    is_deletion: bool
    object: Row
    doubt: str | None = None


@dataclass(frozen=True, slots=True)
class Ignored:
    """An event that changes no row, and why."""

    type: str
    reason: str


class Newest:
    """The newest change of each object of one pass, in whichever order the changes are added.

    It remembers which objects are settled (key and second), so that a pass can be applied in pieces: the pieces have to
    arrive newest first, as Stripe lists events.
    """

    def __init__(self) -> None:
        self._settled: dict[tuple[str, Key], int] = {}
        self._changes: dict[tuple[str, Key], Change] = {}

    def add(self, change: Change) -> None:
        """Adds a change, unless a newer one of the same object is known."""
        place = (change.table, change.key)
        if (settled := self._settled.get(place)) is not None and change.at < settled:
            return
        known = self._changes.get(place)
        if known is None:
            self._changes[place] = change if settled is None else replace(change, doubt="tie")
        elif change.at > known.at:
            self._changes[place] = change
        elif change.at == known.at and not _is_same(change, known):
            self._changes[place] = replace(known, doubt="tie")

    def take(self) -> list[Change]:
        """The changes so far, in order of their objects; they count as settled from now on."""
        taken = [self._changes[place] for place in sorted(self._changes)]
        self._settled |= {place: change.at for place, change in self._changes.items()}
        self._changes = {}
        return taken

    def __len__(self) -> int:
        return len(self._changes)


def _is_same(change: Change, other: Change) -> bool:
    return change.is_deletion == other.is_deletion and change.object == other.object


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """An object to retrieve. `at` is the unix second of the change that requires it, `created` that of its creation."""

    table: str
    key: Key
    parent_id: str | None
    created: int | None
    at: int

    def to_json(self) -> list[Any]:
        """As JSON values."""
        return [self.table, list(self.key), self.parent_id, self.created, self.at]

    @classmethod
    def from_json(cls, value: Sequence[Any]) -> ObjectRef:
        """The reference that `to_json` has written."""
        table, key, parent_id, created, at = value
        return cls(table, tuple(key), parent_id, created, at)

    def fields(self, key: Sequence[str]) -> dict[str, str]:
        """The values for the placeholders of its path; `key` names the columns of its table's key."""
        named = dict(zip(key, self.key, strict=True))
        return named | ({"_parent_id": self.parent_id} if self.parent_id is not None else {})


@dataclass(frozen=True, slots=True)
class Retrieved:
    """The result of retrieving an object, and its rows.

    `state` is "read", or says why there is no row. "gone": the provider has no such object. "unreadable": the API has
    no endpoint for it, or the key lacks the permission. "broken": the answer has no usable row. "failed": a
    temporary failure outlasted the retries.
    """

    ref: ObjectRef
    state: Literal["read", "gone", "unreadable", "broken", "failed"]
    rows: dict[str, list[Row]] = field(default_factory=dict)
    object: Row | None = None
    why: str = ""
