"""Pages the list of each parent in Stripe: from the last object's id, or by the links of API v2."""

from __future__ import annotations

from collections.abc import Mapping

from sources.catalogue import Params, Resource
from sources.fetch.http.client import request
from sources.fetch.pager import Step
from sources.fetch.parents.child_pager import ChildPager as Children
from sources.fetch.parents.rows import ParentIds
from sources.fetch.progress import Reached
from sources.fetch.values import Page, Request
from sources.stripe_api.catalogue import CATALOGUE
from sources.stripe_api.paging.conventions import cursor_after, next_page_path, range_params


class ChildPager(Children):
    """Pages the lists of all parents.

    `[since, until)` bounds only lists that require a range. Other lists are read whole, because with a filter, a
    missing row could be deleted or only hidden.
    """

    def __init__(
        self,
        resource: Resource,
        passes: tuple[Params, ...],
        before: Reached,
        parents: ParentIds,
        since: int,
        until: int,
    ) -> None:
        self._range = range_params(resource, passes, since, until)
        whole = tuple((*params, *self._range) for params in passes)
        super().__init__(resource, CATALOGUE, lambda: whole, before, parents)

    def begin(self) -> list[Step]:
        """Loads the first parents; nothing if the list requires a range and the range is empty."""
        if self.resource.range_params is not None and not self._range:
            self.is_done = True
            return []
        return super().begin()

    def request(self, ids: Mapping[str, str], params: Params, cursor: str | None) -> Request:
        """See `sources.fetch.parents.child_pager.ChildPager`."""
        resource = self.resource
        if resource.pagination == "v2" and cursor is not None:
            return Request(cursor, (), request(resource.path, (), ids).endpoint, resource.denied)
        after: Params = (("starting_after", cursor),) if cursor is not None else ()
        return request(resource.path, (*params, *after), ids, denied=resource.denied)

    def cursor_after(self, page: Page, request: Request, cursor: str | None) -> str:
        """See `sources.fetch.parents.child_pager.ChildPager`."""
        return next_page_path(page, request.path) if page.next_page else cursor_after(page, cursor)
