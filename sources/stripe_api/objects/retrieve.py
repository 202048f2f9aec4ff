"""Retrieves objects whose state an event or a check could not determine: many from their list, the others one by one.

A page of a list that begins at the newest wanted object holds at least that one and often others, so listing never
takes more requests than single reads. Knows Stripe and rows, no database.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

from sources.catalogue import Params, Resource
from sources.changes import ObjectRef, Retrieved
from sources.columns.conversion_counts import ConversionCounts
from sources.errors import BrokenPage, RequestRefused, SkipResource
from sources.fetch.http.retrieval import retrieve_each, retrieve_single
from sources.fetch.pager import Step
from sources.fetch.values import Answer, Object, Page, Request
from sources.fetch.window_pager import created_of
from sources.rows import Stamp
from sources.stripe_api.catalogue import RESOURCES, TABLES
from sources.stripe_api.client.client import Client
from sources.stripe_api.objects.changes import gone
from sources.stripe_api.objects.rows import explode
from sources.stripe_api.paging.completion import Completion
from sources.stripe_api.paging.conventions import created_params, expansions, list_params

SPARSE_PAGES = 2  # consecutive pages with only one of the objects, after which single reads are as cheap


def retrieve(
    client: Client,
    refs: Iterable[ObjectRef],
    account_id: str,
    *,
    workers: int = 8,
    entries: ConversionCounts | None = None,
) -> Iterator[list[Retrieved]]:
    """Retrieves objects in batches, as they arrive. Errors that stop a run (BudgetSpent too) are raised after what was
    read before them is yielded.

    The rows' `_as_of` is that of the answer; if the object is gone, it is the second of the change (`ref.at`). Embedded
    objects that no row can hold are recorded in `entries`.
    """
    by_table: dict[str, list[ObjectRef]] = {}
    for ref in refs:
        by_table.setdefault(ref.table, []).append(ref)
    with ThreadPoolExecutor(workers, thread_name_prefix="retrieve") as threads:
        for table, some in sorted(by_table.items()):
            left = list(dict.fromkeys(some))
            resource = _list_of(table)
            if resource is not None:
                listed: list[ObjectRef] = []
                for batch in _by_list(client, resource, left, account_id, entries):
                    listed += [retrieved.ref for retrieved in batch]
                    yield batch
                left = [ref for ref in left if ref not in set(listed)]
            one_of = partial(retrieve_one, client, account_id=account_id, entries=entries)
            yield from retrieve_each(one_of, left, threads)


def retrieve_one(client: Client, ref: ObjectRef, account_id: str, entries: ConversionCounts | None = None) -> Retrieved:
    """Retrieves a single object with all its children; those that no row can hold are recorded in `entries`.

    Raises errors that stop a run.
    """
    table = TABLES[ref.table]
    expand: Params = tuple((name, value.removeprefix("data.")) for name, value in expansions(ref.table, TABLES))

    def read(asked: Request) -> Answer:
        answer = client.object(asked.path, expand, endpoint=asked.endpoint)
        page = Page([answer.object], False, None, answer.as_of, answer.requests, 0, answer.request_id)
        completed(client, ref.table, page)
        return answer

    found = retrieve_single(
        ref,
        table,
        account_id,
        "Stripe",
        read=read,
        rows_of=lambda obj, stamp: explode(ref.table, [obj], stamp, parent_id=ref.parent_id, entries=entries),
        gone=lambda stamp: gone(ref.table, ref.fields(table.key), stamp, ref.parent_id),
    )
    return replace(found, state="gone") if found.object and found.object.get("deleted") is True else found


def newest_page(client: Client, resource: Resource, chosen: Params, since: int, until: int) -> Page:
    """One page with the newest objects of a pass over a list that were created in `[since, until)`, embedded lists
    complete.
    """
    params = (*list_params(resource, TABLES, chosen), *created_params(resource.created, since, until))
    page = client.page(resource.path, params, denied=resource.denied)
    completed(client, resource.table, page)
    return page


def completed(client: Client, table: str, page: Page) -> None:
    """Completes the embedded lists of a page's objects, in place."""
    completion = Completion(table, TABLES, Step(None), page)
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
    """The list from which many objects of a table can be read at once: it has one pass and a filter by creation."""
    resource = RESOURCES.get(table)
    if resource is None or resource.kind != "root" or resource.created != "unix" or not resource.newest_first:
        return None
    return resource if len(resource.passes) == 1 else None


def _by_list(
    client: Client, resource: Resource, refs: Sequence[ObjectRef], account_id: str, entries: ConversionCounts | None
) -> Iterator[list[Retrieved]]:
    """Yields the objects that pages of the list hold. Each page begins at the newest wanted object that is left."""
    left = sorted((ref for ref in refs if ref.created is not None), key=lambda ref: -(ref.created or 0))
    params = list_params(resource, TABLES, resource.passes[0])
    sparse = 0
    while len(left) > 1 and sparse < SPARSE_PAGES:
        newest, oldest = left[0].created or 0, left[-1].created or 0
        bounds = created_params(resource.created, oldest, newest + 1)
        try:
            page = client.page(resource.path, (*params, *bounds), denied=resource.denied)
        except (SkipResource, RequestRefused, BrokenPage):  # each of them is retrieved singly
            return
        by_key = {ref.key: ref for ref in left}
        last = created_of(page.objects[-1], resource) if page.objects and page.has_more else None
        page.objects[:] = [obj for obj in page.objects if (str(obj.get("id")),) in by_key]
        read = {(str(obj["id"]),) for obj in page.objects}
        if page.objects:
            try:
                completed(client, resource.table, page)
            except (RequestRefused, BrokenPage):
                return
            stamp = Stamp(account_id, page.as_of, "list")
            yield [_listed(by_key[(str(obj["id"]),)], obj, stamp, entries) for obj in page.objects]
        sparse = 0 if len(read) > 1 else sparse + 1
        left = [ref for ref in left if ref.key not in read and _is_below(ref, last, newest)]


def _listed(ref: ObjectRef, obj: Object, stamp: Stamp, entries: ConversionCounts | None) -> Retrieved:
    shown = dict(obj)
    try:
        rows = explode(ref.table, [obj], stamp, entries=entries)
    except BrokenPage as error:
        return Retrieved(ref, "broken", why=str(error))
    return Retrieved(ref, "read", rows, shown)


def _is_below(ref: ObjectRef, last: int | None, newest: int) -> bool:
    """Whether later pages can show an object, after a page from second `newest` down to `last`.

    A second with more objects than fit on a page is not paged to its end: its missing objects are retrieved singly.
    """
    return last is not None and (ref.created or 0) <= last and (ref.created or 0) < newest
