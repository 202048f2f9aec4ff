"""How pages of Orb's lists are requested and continued. Pure: starts no thread, sends no request.

A cursor is an opaque text in an answer and belongs to its query: every request with a cursor repeats the parameters of
the first page, and only `limit` may change. https://docs.withorb.com/api-reference/pagination
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

from sources.catalogue import Params, Resource
from sources.errors import BrokenPage, RequestRefused
from sources.fetch.http.client import endpoint_of, request
from sources.fetch.values import Page, Request
from sources.orb_api.catalogue.lists import LIMITED
from sources.orb_api.client.refusals import TOO_LARGE

ORB_BEGAN = 1_577_836_800  # 2020-01-01: no account is older. It only decides what is read first


class Query:
    """The requests of one pass over a list. Its parameters stay the same; the cursor and the limit change."""

    def __init__(self, resource: Resource, params: Params, limit: int | None = None) -> None:
        self._resource, self._limit = resource, limit or resource.limit or 100
        self.begin(params)

    def begin(self, params: Params) -> None:
        """Starts a query with these parameters at its first page."""
        self._params = params
        self.cursor: str | None = None

    def request(self) -> Request:
        """The request of the next page."""
        return page_request(self._resource, self._limit, self._params, self.cursor)

    def go_on(self, page: Page) -> str:
        """Takes the cursor of the next page, and returns it. Raises BrokenPage if the list does not advance."""
        self.cursor = cursor_after(page, self._resource, self.cursor)
        return self.cursor

    def asks_for_less(self, error: RequestRefused) -> bool:
        """Whether a page was refused as too large. If so, halves the limit of the following pages, to at least 1."""
        if not is_too_large(error) or self._limit == 1:
            return False
        self._limit //= 2
        return True


def page_request(
    resource: Resource, limit: int, params: Params, cursor: str | None, ids: Mapping[str, str] | None = None
) -> Request:
    """The request for a page of a list; `ids` fill its path. Lists with a lower rate limit share its name."""
    after: Params = (("cursor", cursor),) if cursor is not None else ()
    asked = request(resource.path, (("limit", str(limit)), *params, *after), ids)
    return replace(asked, endpoint=endpoint(resource))


def endpoint(resource: Resource) -> str:
    """The name under which limits count a list's requests."""
    return LIMITED.get(resource.path) or endpoint_of(resource.path)


def cursor_after(page: Page, resource: Resource, cursor: str | None) -> str:
    """The cursor of the next page; `cursor` is that of this page. Raises BrokenPage if they are equal."""
    if page.next_page is None or page.next_page == cursor:
        raise BrokenPage(f"The list {resource.path} does not advance: a page has its own cursor as the next.")
    return page.next_page


def is_too_large(error: RequestRefused) -> bool:
    """Whether a page was refused because it is too large; a smaller page may succeed."""
    return error.status == TOO_LARGE


def bounds(resource: Resource, gte: int, lt: int | None) -> Params:
    """The filter for `[gte, lt)`, unix seconds, by the list's own field. A `gte` of 0 and an `lt` of None are no
    bounds.
    """
    field = resource.created_field
    given = ((("gte", gte),) if gte > 0 else ()) + ((("lt", lt),) if lt is not None else ())
    return tuple((f"{field}[{name}]", moment(at)) for name, at in given)


def moment(second: int) -> str:
    """A unix second in the format of filters by time."""
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%SZ}"
