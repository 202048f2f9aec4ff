"""Pages the list of each parent in Orb by cursors, with pages as large as Orb allows."""

from __future__ import annotations

from collections.abc import Mapping

from sources.catalogue import Params, Resource
from sources.errors import RequestRefused
from sources.fetch.pager import Step, Turn
from sources.fetch.parents.child_pager import ChildPager as Children
from sources.fetch.parents.rows import ParentIds
from sources.fetch.progress import Reached
from sources.fetch.values import Page, Request
from sources.orb_api.catalogue import CATALOGUE
from sources.orb_api.paging.pages import cursor_after, is_too_large, page_request


class ChildPager(Children):
    """Pages the lists of all parents, each to its end."""

    def __init__(self, resource: Resource, before: Reached, parents: ParentIds) -> None:
        super().__init__(resource, CATALOGUE, lambda: passes_of(resource, parents), before, parents)
        self._limit = resource.limit or 100

    def request(self, ids: Mapping[str, str], params: Params, cursor: str | None) -> Request:
        """See `sources.fetch.parents.child_pager.ChildPager`."""
        return page_request(self.resource, self._limit, params, cursor, ids)

    def cursor_after(self, page: Page, request: Request, cursor: str | None) -> str:
        """See `sources.fetch.parents.child_pager.ChildPager`."""
        return cursor_after(page, self.resource, cursor)

    def refused(self, step: Step, error: RequestRefused) -> Turn | None:
        """If a page is too large, requests half as many objects from now on, for all parents. Otherwise like the base
        class.
        """
        if not is_too_large(error):
            return super().refused(step, error)
        asked = int(dict(step.request.params)["limit"]) if step.request is not None else 1
        if asked == 1:
            return None
        self._limit = min(self._limit, asked // 2)
        return Turn(at_once=[self.again(step)])


def passes_of(resource: Resource, parents: ParentIds) -> tuple[Params, ...]:
    """The parameters of the passes over a parent's list: each pass with each known value of `Resource.each`."""
    if (each := resource.each) is None:
        return resource.passes
    values = [row[0] for row in parents(each, None)]
    return tuple((*params, (each.param, value)) for params in resource.passes for value in values)
