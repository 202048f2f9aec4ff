"""Plans what is left to read of resources, given earlier progress, and starts the run that reads it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from sources.catalogue import Resource, Table
from sources.errors import BadConfiguration
from sources.fetch.fetch import MAX_BYTES, MAX_ROWS, Fetch
from sources.fetch.http.client import endpoint_of
from sources.fetch.pager import Convert, Horizon, Pager, Survey
from sources.fetch.parents.rows import ParentIds
from sources.fetch.progress import Progress, pass_key
from sources.fetch.schedule import ResourceRun, Schedule
from sources.stripe_api.catalogue import TABLES
from sources.stripe_api.client.client import Client
from sources.stripe_api.paging.children import ChildPager
from sources.stripe_api.paging.completion import Completion
from sources.stripe_api.paging.conventions import STRIPE_BEGAN, list_params
from sources.stripe_api.paging.lists import ListPager, WindowPager


def fetch(
    client: Client,
    resources: Sequence[Resource],
    *,
    convert: Convert,
    until: int,
    since: int = 0,
    progress: Mapping[str, Progress] | None = None,
    parents: ParentIds | None = None,
    tables: Mapping[str, Table] = TABLES,
    workers: int = 16,
    max_rows: int = MAX_ROWS,
    max_bytes: int = MAX_BYTES,
    requests_budget: int | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Fetch:
    """Reads what `progress` (by resource name) leaves of the resources: objects created in `[since, until)`.

    Both bounds are unix seconds on Stripe's clock. Singletons and children are read whole. At most `workers` requests
    are under way at once, and no more are sent than `requests_budget`: resources that are then left unread neither
    finish nor fail. Raises BadConfiguration if a list needs parents and `parents` is None.
    """

    known, horizon = progress or {}, Horizon(STRIPE_BEGAN)
    runs = [
        resource_run(resource, known.get(resource.name, Progress()), tables, parents, since, until, horizon)
        for resource in resources
    ]
    schedule = Schedule(runs, client.limiter, requests_budget)
    return Fetch(client, schedule, convert, workers, max_rows, max_bytes, clock)


def resource_run(
    resource: Resource,
    progress: Progress,
    tables: Mapping[str, Table],
    parents: ParentIds | None,
    since: int,
    until: int,
    horizon: Horizon,
) -> ResourceRun:
    """What is left to read of a resource in `[since, until)`. Raises BadConfiguration, see `fetch`."""
    passes = [(pass_key(params), list_params(resource, tables, params)) for params in resource.passes]
    pagers: list[Pager] = []
    survey = Survey(horizon)
    if resource.parents:
        if parents is None:
            raise BadConfiguration(
                f"{resource.name} has a separate list for each parent: pass the parents' ids to load it."
            )
        chosen = tuple(params for _, params in passes)
        pagers.append(ChildPager(resource, chosen, progress.reached, parents, since, until))
    elif resource.created != "none":
        for key, params in passes:
            for window in progress.remaining(key, since, until):
                pagers.append(WindowPager(resource, key, params, window, survey))
    else:
        for key, params in passes:
            pagers.append(ListPager(resource, key, params, progress.listed.get(key), since, until))

    return ResourceRun(
        resource, endpoint_of(resource.path), partial(Completion, resource.table, tables), pagers, survey
    )
