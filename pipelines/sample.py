"""Random pages of a list, for a check that looks at a part: each begins at a row taken at random."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipelines.read_back import completed
from pipelines.stored_rows import StoredRows
from sources.stripe_api.catalogue import TABLES, Resource
from sources.stripe_api.client import Client
from sources.stripe_api.conventions import created_of, created_params, list_params
from sources.stripe_api.work import Listing


@dataclass(frozen=True, slots=True)
class Part:
    """A page, and the window `[since, until)` of `created` that it shows all of."""

    listing: Listing
    since: int
    until: int


def sampled(
    client: Client, resource: Resource, stored: StoredRows, size: int, since: int, until: int
) -> Iterator[Part]:
    """Pages of about `size` objects in all, within `[since, until)`; all of a list that has no more than a page."""
    limit = resource.limit or 100
    field = resource.created_field
    if field is None or not resource.newest_first or not stored.is_there(resource.table) or len(resource.passes) > 1:
        seconds = [until - 1]
    else:
        seconds = stored.random_seconds(resource.table, field, -(-size // limit)) or [until - 1]
    for second in seconds:
        for chosen in resource.passes:
            top = min(second + 1, until)
            if top <= since:
                continue
            params = (*list_params(resource, TABLES, chosen), *created_params(resource.created, since, top))
            page = client.page(resource.path, params, denied=resource.denied)
            completed(client, resource.table, page)
            last = created_of(page.objects[-1], resource) if page.objects else None
            bottom = since if not page.has_more else last + 1 if last is not None else top
            yield Part(Listing(page.objects, page.as_of), min(bottom, top), top)
