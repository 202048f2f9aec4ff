"""The order of the parents whose lists make up a child resource. Knows no provider and no database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

from sources.catalogue import Parent, Resource
from sources.fetch.progress import Ids

ParentIds: TypeAlias = Callable[[Parent, str | None], Iterator[tuple[str, ...]]]
"""Reads rows of a parent's table in ascending order of their ids, after an id or from the first (None). A row is the
id, then the values of the columns in `Parent.also`. Only rows that have such a list: ids with `Parent.prefix`, no null
among the values, not deleted. Worker threads call it, one at a time for each resource."""

Rows = tuple[tuple[str, ...], ...]
"""The rows of a list's parent, or of its pair of parents: each is the id, then the values of `Parent.also`."""


def rows_after(resource: Resource, parents: ParentIds, after: Ids | None) -> Iterator[Rows]:
    """Rows of the parent, or pairs of rows of two parents, in order of their ids, after those already reached."""
    return _below(resource.parents, parents, after)


def _below(levels: tuple[Parent, ...], parents: ParentIds, after: Ids | None) -> Iterator[Rows]:
    if not levels:
        yield ()
        return
    parent, *others = levels
    first = after[0] if after else None
    if first is not None and after is not None and others:  # the pairs that are left of the first one reached
        yield from (((first,), *rest) for rest in _below(tuple(others), parents, after[1:]))
    for row in parents(parent, first):
        yield from ((row, *rest) for rest in _below(tuple(others), parents, None))
