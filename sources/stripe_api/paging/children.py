"""Pages the list of each parent in Stripe: on after the last object, or along v2's links."""

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

    `[since, until)` only bounds lists that require a range: other lists are read whole, since only then can rows that
    they no longer show be told from rows that a filter hides.
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
        """Loads the first parents. A list that requires a range has nothing to ask of an empty one."""
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
