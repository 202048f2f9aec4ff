"""What is left to read of a resource, given what has been read before. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from sources.stripe_api.catalogue_types import Resource, Table
from sources.stripe_api.errors import BadConfiguration
from sources.stripe_api.lanes import Lane
from sources.stripe_api.page_children import ChildPager
from sources.stripe_api.page_lists import ListPager
from sources.stripe_api.page_windows import Horizon, Survey, WindowPager
from sources.stripe_api.parents import ParentIds
from sources.stripe_api.progress import Progress, key_of
from sources.stripe_api.work import Pager, list_params


def lane_of(
    resource: Resource,
    progress: Progress,
    tables: Mapping[str, Table],
    parents: ParentIds | None,
    since: int,
    until: int,
    horizon: Horizon,
) -> Lane:
    """What is left of a resource in `[since, until)`. Raises BadConfiguration without the parents that it needs."""
    passes = [(key_of(one), list_params(resource, tables, one)) for one in resource.passes]
    pagers: list[Pager] = []
    survey = Survey(horizon)
    if resource.parents:
        if parents is None:
            raise BadConfiguration(f"{resource.name} is a list for each of its parents: pass their ids to load it.")
        own, chosen = tables.get(resource.table), tuple(params for _, params in passes)
        pagers.append(ChildPager(resource, own, chosen, progress.reached, parents, since, until))
    elif resource.created != "none":
        for key, params in passes:
            for window in progress.remaining(key, since, until):
                pagers.append(WindowPager(resource, key, params, window, survey))
    else:
        for key, params in passes:
            pagers.append(ListPager(resource, key, params, progress.listed.get(key), since, until))
    return Lane(resource, tables, pagers, survey)
