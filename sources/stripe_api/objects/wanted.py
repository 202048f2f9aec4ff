"""Objects to be read again, and what came of reading them. Values only: knows no request and no database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from sources.fetch.values import Object
from sources.stripe_api.catalogue import TABLES
from sources.stripe_api.objects.changes import Key
from sources.stripe_api.objects.rows import Row

Fate = Literal["read", "gone", "unreadable", "broken", "failed"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """An object to read: `at` is the second (unix) since which it is known to be needed, `created` that of its list."""

    table: str
    key: Key
    parent_id: str | None
    created: int | None
    at: int

    def to_json(self) -> list[Any]:
        """As JSON values."""
        return [self.table, list(self.key), self.parent_id, self.created, self.at]

    @classmethod
    def from_json(cls, value: Sequence[Any]) -> Wanted:
        """What `to_json` gave."""
        table, key, parent_id, created, at = value
        return cls(table, tuple(key), parent_id, created, at)

    @property
    def fields(self) -> dict[str, str]:
        """What fills the placeholders of its path."""
        named = dict(zip(TABLES[self.table].key, self.key, strict=True))
        return named | ({"_parent_id": self.parent_id} if self.parent_id is not None else {})


@dataclass(frozen=True, slots=True)
class ReadBack:
    """Objects that were read, and their rows. "gone": Stripe has no such object. "unreadable": there is no way to read
    it, or the key may not. "broken": what came can be no row. "failed": for a passing reason, in spite of retries.
    """

    wanted: Wanted
    fate: Fate
    rows: dict[str, list[Row]] = field(default_factory=dict)
    object: Object | None = None
    why: str = ""
