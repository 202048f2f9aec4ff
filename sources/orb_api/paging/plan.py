"""What is left to read of resources, given what has been read before, and the run that reads it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from sources.catalogue import Params, Parent, Resource
from sources.errors import BadConfiguration, RequestRefused
from sources.fetch.fetch import MAX_BYTES, MAX_ROWS, Fetch
from sources.fetch.http.client import endpoint_of
from sources.fetch.pager import Convert, Horizon, Pager, Survey
from sources.fetch.progress import Progress, pass_key
from sources.fetch.schedule import ResourceRun, Schedule
from sources.fetch.values import Page
from sources.orb_api.client.client import Client
from sources.orb_api.paging.lists import ListPager
from sources.orb_api.paging.pages import ORB_BEGAN, Query, bounds
from sources.orb_api.paging.windows import WindowPager


def fetch(
    client: Client,
    resources: Sequence[Resource],
    *,
    convert: Convert,
    until: int,
    since: int = 0,
    progress: Mapping[str, Progress] | None = None,
    parents: Callable[[Parent, str | None], Iterator[tuple[str, ...]]] | None = None,
    workers: int = 16,
    max_rows: int = MAX_ROWS,
    max_bytes: int = MAX_BYTES,
    requests_budget: int | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Fetch:
    """Reads what `progress` (by resource name) leaves of the resources: objects dated in `[since, until)`.

    Both bounds are unix seconds on Orb's clock. Lists without a filter by time are read whole. At most `workers`
    requests are under way at once, and no more are sent than `requests_budget`: resources that it leaves unread neither
    finish nor fail. Raises BadConfiguration for a list that needs a request for each parent.
    """
    from sources.columns.arrow import count_rows  # here, because a run with nothing to read needs no Arrow

    known, horizon = progress or {}, Horizon(ORB_BEGAN)
    runs = [resource_run(one, known.get(one.name, Progress()), since, until, horizon) for one in resources]
    schedule = Schedule(runs, client.limiter, requests_budget)
    return Fetch(client, schedule, convert, count_rows, workers, max_rows, max_bytes, clock)


def resource_run(resource: Resource, progress: Progress, since: int, until: int, horizon: Horizon) -> ResourceRun:
    """What is left of a resource in `[since, until)`. Raises BadConfiguration as `fetch` does."""
    if resource.parents:
        raise BadConfiguration(f"{resource.name} has a separate list for each parent, which are not read yet.")
    survey, pagers = Survey(horizon), list[Pager]()
    for params in resource.passes:
        key = pass_key(params)
        if resource.created == "none":
            pagers.append(ListPager(resource, key, params, progress.listed.get(key), since))
        else:
            windows = progress.remaining(key, since, until)
            pagers += [WindowPager(resource, key, params, window, survey) for window in windows]
    return ResourceRun(resource, endpoint_of(resource.path), None, pagers, survey)


def newest_page(client: Client, resource: Resource, chosen: Params, since: int, until: int) -> Page:
    """The newest objects of one pass over a list that are dated in `[since, until)`, as many as one page may have."""
    query = Query(resource, (*chosen, *bounds(resource, since, until)))
    while True:
        request = query.request()
        try:
            return client.page(request.path, request.params, endpoint=request.endpoint)
        except RequestRefused as error:
            if not query.asks_for_less(error):
                raise
