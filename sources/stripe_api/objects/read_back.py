"""Reading objects again that an event or a check could not settle: many by their list, the others one by one.

A page of a list that begins at the newest object wanted holds at least that one and often many others, so listing
never costs more requests than reading singly. Knows Stripe and rows, no database.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from sources.columns.tally import Tally
from sources.errors import (
    BrokenPage,
    ObjectMissing,
    RequestRefused,
    RetryLater,
    SkipResource,
    StripeSourceError,
)
from sources.fetch.limiter import BudgetSpent
from sources.fetch.pager import Step
from sources.fetch.values import Object, Page
from sources.stripe_api.catalogue import RESOURCES, TABLES, Params, Resource
from sources.stripe_api.client.client import Client
from sources.stripe_api.client.request import request
from sources.stripe_api.objects.changes import gone
from sources.stripe_api.objects.rows import Stamp, explode
from sources.stripe_api.objects.wanted import ReadBack, Wanted
from sources.stripe_api.paging.completion import Completion
from sources.stripe_api.paging.conventions import created_of, created_params, expansions, list_params

BATCH = 200
SPARSE_PAGES = 2  # pages in a row that held only one wanted object, after which reading singly is as cheap


def read_back(
    client: Client, wanted: Iterable[Wanted], account_id: str, *, workers: int = 8, entries: Tally | None = None
) -> Iterator[list[ReadBack]]:
    """Reads objects, in batches as they come in. Raises what stops a run (BudgetSpent too) after what was read.

    The rows' `_as_of` is that of the answer; of an object that is gone, the second since which it was needed. Embedded
    objects that no row can hold are noted in `entries`.
    """
    by_table: dict[str, list[Wanted]] = {}
    for one in wanted:
        by_table.setdefault(one.table, []).append(one)
    with ThreadPoolExecutor(workers, thread_name_prefix="read-back") as threads:
        for table, some in sorted(by_table.items()):
            left = list(dict.fromkeys(some))
            resource = _list_of(table)
            if resource is not None:
                listed: list[Wanted] = []
                for batch in _by_list(client, resource, left, account_id, entries):
                    listed += [one.wanted for one in batch]
                    yield batch
                left = [one for one in left if one not in set(listed)]
            yield from _singly(client, left, account_id, threads, entries)


def read_one(client: Client, wanted: Wanted, account_id: str, entries: Tally | None = None) -> ReadBack:
    """Reads a single object with all its children; those that no row can hold are noted in `entries`.

    Raises what stops a run.
    """
    table = TABLES[wanted.table]
    if table.retrieve is None:
        return ReadBack(wanted, "unreadable", why="Stripe has no way to read it by its id")
    try:
        asked = request(table.retrieve, (), wanted.fields)
    except KeyError:
        return ReadBack(wanted, "unreadable", why="it is read below its parent, which is not known")
    expand: Params = tuple((name, value.removeprefix("data.")) for name, value in expansions(table))
    try:
        answer = client.object(asked.path, expand, endpoint=asked.endpoint)
        page = Page([answer.object], False, None, answer.as_of, answer.requests, 0, answer.request_id)
        completed(client, wanted.table, page)
    except ObjectMissing:
        stamp = Stamp(account_id, wanted.at, "retrieve")
        return ReadBack(wanted, "gone", gone(wanted.table, wanted.fields, stamp, wanted.parent_id))
    except (SkipResource, RequestRefused) as error:
        return ReadBack(wanted, "unreadable", why=str(error))
    except RetryLater as error:
        return ReadBack(wanted, "failed", why=str(error))
    stamp = Stamp(account_id, answer.as_of, "retrieve")
    is_gone = answer.object.get("deleted") is True
    shown = dict(answer.object)
    try:
        rows = explode(wanted.table, [answer.object], stamp, parent_id=wanted.parent_id, entries=entries)
    except BrokenPage as error:
        return ReadBack(wanted, "broken", why=str(error))
    return ReadBack(wanted, "gone" if is_gone else "read", rows, shown)


def completed(client: Client, table: str, page: Page) -> None:
    """Pages the embedded lists of a page's objects to their ends, in place."""
    completion = Completion(table, Step(None), page, TABLES)
    steps = completion.begin()
    while steps:
        step = steps.pop()
        assert step.request is not None
        asked = step.request
        try:
            found = client.page(asked.path, asked.params, endpoint=asked.endpoint)
        except RequestRefused as error:
            again = completion.refused(step, error)
            if again is None:
                raise
            steps += again
        else:
            steps += completion.turn(step, found)


def _list_of(table: str) -> Resource | None:
    """The list by which many objects of a table can be read at once: one pass, by second of creation."""
    resource = RESOURCES.get(table)
    if resource is None or resource.kind != "root" or resource.created != "unix" or not resource.newest_first:
        return None
    return resource if len(resource.passes) == 1 else None


def _by_list(
    client: Client, resource: Resource, wanted: Sequence[Wanted], account_id: str, entries: Tally | None
) -> Iterator[list[ReadBack]]:
    """Those that pages hold, each page beginning at the newest that is left."""
    left = sorted((one for one in wanted if one.created is not None), key=lambda one: -(one.created or 0))
    params = list_params(resource, TABLES, resource.passes[0])
    sparse = 0
    while len(left) > 1 and sparse < SPARSE_PAGES:
        newest, oldest = left[0].created or 0, left[-1].created or 0
        bounds = created_params(resource.created, oldest, newest + 1)
        try:
            page = client.page(resource.path, (*params, *bounds), denied=resource.denied)
        except (SkipResource, RequestRefused, BrokenPage):  # each of them is asked for by itself
            return
        by_key = {one.key: one for one in left}
        last = created_of(page.objects[-1], resource) if page.objects and page.has_more else None
        page.objects[:] = [one for one in page.objects if (str(one.get("id")),) in by_key]
        read = {(str(one["id"]),) for one in page.objects}
        if page.objects:
            try:
                completed(client, resource.table, page)
            except (RequestRefused, BrokenPage):
                return
            stamp = Stamp(account_id, page.as_of, "list")
            yield [_listed(by_key[(str(one["id"]),)], one, stamp, entries) for one in page.objects]
        sparse = 0 if len(read) > 1 else sparse + 1
        left = [one for one in left if one.key not in read and _is_below(one, last, newest)]


def _listed(wanted: Wanted, one: Object, stamp: Stamp, entries: Tally | None) -> ReadBack:
    shown = dict(one)
    try:
        rows = explode(wanted.table, [one], stamp, entries=entries)
    except BrokenPage as error:
        return ReadBack(wanted, "broken", why=str(error))
    return ReadBack(wanted, "read", rows, shown)


def _is_below(one: Wanted, last: int | None, newest: int) -> bool:
    """Whether the rest of the list can show an object, after a page from second `newest` down to `last`.

    A second with more objects than a page holds is not gone through: what is missing of it is read singly.
    """
    return last is not None and (one.created or 0) <= last and (one.created or 0) < newest


def _singly(
    client: Client, wanted: Sequence[Wanted], account_id: str, threads: ThreadPoolExecutor, entries: Tally | None
) -> Iterator[list[ReadBack]]:
    for start in range(0, len(wanted), BATCH):
        found: list[ReadBack] = []
        stopped: StripeSourceError | None = None
        for outcome in threads.map(_outcome(client, account_id, entries), wanted[start : start + BATCH]):
            if isinstance(outcome, ReadBack):
                found.append(outcome)
            else:
                stopped = stopped or outcome
        if found:
            yield found
        if stopped is not None:
            raise stopped


def _outcome(
    client: Client, account_id: str, entries: Tally | None
) -> Callable[[Wanted], ReadBack | StripeSourceError]:
    def read(one: Wanted) -> ReadBack | StripeSourceError:
        try:
            return read_one(client, one, account_id, entries)
        except (BudgetSpent, StripeSourceError) as error:
            return error

    return read
