"""Plain rows, and the stamp that says where they come from. Every provider turns its objects into these. Pure.

A row is a dict of the provider's own field names and JSON values plus our own columns (`_as_of` and `_deleted_at` as
unix seconds). Two kinds of rows are not objects:

- a *tombstone* has the key and `_deleted_at`, but not its table's witness: the merge sets `_deleted_at` and keeps the
  rest of the row;
- a *set marker*, `_source` = "set", says that at `_as_of` the children of `_parent_id` were exactly the rows in the
  same merge: the merge marks older children that are missing as deleted, and never stores the marker.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Row = dict[str, Any]
Key = tuple[str, ...]
ClosedSets = dict[str, list[str]]
"""table -> ids of the parents whose whole set of children is in the same rows."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """Where rows come from: the account, the unix second on the provider's clock whose state they show, and how they
    were read.
    """

    account_id: str
    as_of: int
    source: Literal["list", "event", "retrieve"]


def merged(parts: Iterable[Mapping[str, list[Row]]]) -> dict[str, list[Row]]:
    """Rows by table of all parts."""
    rows: dict[str, list[Row]] = {}
    for part in parts:
        for name, found in part.items():
            rows.setdefault(name, []).extend(found)
    return rows
