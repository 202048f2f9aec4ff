"""The parents whose lists make up a child resource: their order, and the range of a request. Knows no database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

from sources.catalogue import Params, Parent, Resource
from sources.fetch.progress import Ids
from sources.stripe_api.paging.conventions import STRIPE_BEGAN

ParentIds: TypeAlias = Callable[[Parent, str | None], Iterator[tuple[str, ...]]]
"""Rows of a parent's table in ascending order of their ids, after an id or from the first: the id, then the values of
the columns in `Parent.also`. Only rows that have such a list: ids with `Parent.prefix`, no null among the values, not
deleted. It is called from worker threads, one at a time for each resource."""

Rows = tuple[tuple[str, ...], ...]
"""For each parent of a resource (one, or two of a pair) its row: its id, then the values of `Parent.also`."""

_GRAINS = {"day": 86_400, "hour": 3_600}  # seconds that the bounds of a range are multiples of; else whole minutes


def rows_after(resource: Resource, parents: ParentIds, after: Ids | None) -> Iterator[Rows]:
    """Rows of the parent, or pairs of rows of two, in order of their ids, after those that were reached."""
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


def range_params(resource: Resource, passes: tuple[Params, ...], since: int, until: int) -> Params:
    """The bounds that a list requires, of whole days, hours or minutes within `[since, until)`; none if that is empty.

    https://docs.stripe.com/api/billing/meter-event-summary/list: bounds align with the granularity that is asked for.
    A day that is not over is left to a later run.
    """
    if resource.range_params is None:
        return ()
    grouping = next((value for one in passes for name, value in one if name == "value_grouping_window"), "")
    grain = _GRAINS.get(grouping, 60)
    start = -(-max(since, STRIPE_BEGAN) // grain) * grain
    end = until // grain * grain
    first, last = resource.range_params
    return ((first, str(start)), (last, str(end))) if start < end else ()
