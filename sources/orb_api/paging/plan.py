"""Plans what is left to read of resources, given earlier progress, and starts the run that reads it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from sources.catalogue import Params, Resource
from sources.errors import BadConfiguration, RequestRefused
from sources.fetch.fetch import MAX_BYTES, MAX_ROWS, Fetch
from sources.fetch.pager import Convert, Horizon, Pager, Survey
from sources.fetch.parents.rows import ParentIds
from sources.fetch.progress import Progress, pass_key
from sources.fetch.schedule import ResourceRun, Schedule
from sources.fetch.values import Page
from sources.orb_api.client.client import Client
from sources.orb_api.paging.children import ChildPager
from sources.orb_api.paging.lists import ListPager, WindowPager
from sources.orb_api.paging.pages import ORB_BEGAN, Query, bounds, endpoint
from sources.orb_api.paging.volumes import VolumePager


def fetch(
    client: Client,
    resources: Sequence[Resource],
    *,
    convert: Convert,
    until: int,
    since: int = 0,
    progress: Mapping[str, Progress] | None = None,
    parents: ParentIds | None = None,
    workers: int = 16,
    max_rows: int = MAX_ROWS,
    max_bytes: int = MAX_BYTES,
    requests_budget: int | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Fetch:
    """Reads what `progress` (by resource name) leaves of the resources: objects dated in `[since, until)`.

    Both bounds are unix seconds on Orb's clock. Lists without a filter by time are read whole. At most `workers`
    requests are under way at once, and no more are sent than `requests_budget`: resources that are then left unread
    neither finish nor fail. Raises BadConfiguration if a list needs parents and `parents` is None.
    """

    known, horizon = progress or {}, Horizon(ORB_BEGAN)
    runs = [
        resource_run(resource, known.get(resource.name, Progress()), parents, since, until, horizon)
        for resource in resources
    ]
    schedule = Schedule(runs, client.limiter, requests_budget)
    return Fetch(client, schedule, convert, workers, max_rows, max_bytes, clock)


def resource_run(
    resource: Resource, progress: Progress, parents: ParentIds | None, since: int, until: int, horizon: Horizon
) -> ResourceRun:
    """What is left to read of a resource in `[since, until)`. Raises BadConfiguration, see `fetch`."""
    survey, pagers = Survey(horizon), list[Pager]()
    if resource.parents:
        if parents is None:
            raise BadConfiguration(f"{resource.name} has a separate list for each parent: pass the parents' ids.")
        pagers.append(ChildPager(resource, progress.reached, parents))
        return ResourceRun(resource, endpoint(resource), None, pagers, survey)
    for params in resource.passes:
        key = pass_key(params)
        before = progress.listed.get(key)
        if resource.range_params is not None:
            pagers.append(VolumePager(resource, key, before, since, until))
        elif resource.created == "none":
            pagers.append(ListPager(resource, key, params, before, since))
        else:
            windows = progress.remaining(key, since, until)
            pagers += [WindowPager(resource, key, params, window, survey) for window in windows]
    return ResourceRun(resource, endpoint(resource), None, [pager for pager in pagers if not pager.is_done], survey)


def newest_page(client: Client, resource: Resource, chosen: Params, since: int, until: int) -> Page:
    """One page with the newest objects of a pass over a list that are dated in `[since, until)`."""
    query = Query(resource, (*chosen, *bounds(resource, since, until)))
    while True:
        request = query.request()
        try:
            return client.page(request.path, request.params, endpoint=request.endpoint)
        except RequestRefused as error:
            if not query.asks_for_less(error):
                raise
