"""Paging a window of a list that can be filtered by time."""

from __future__ import annotations

from sources.catalogue import Params, Resource
from sources.errors import RequestRefused
from sources.fetch.pager import Step, Survey, Turn
from sources.fetch.values import Page, Request
from sources.fetch.window_pager import WindowPager as Windowed
from sources.fetch.windows import Window
from sources.orb_api.paging.pages import ORB_BEGAN, Query, bounds


class WindowPager(Windowed):
    """Pages a window of one of Orb's lists.

    A window that gives its older part away goes on with the bounds of its first page, to which its cursor belongs; what
    lies below is left to the other pager.
    """

    began = ORB_BEGAN

    def __init__(self, resource: Resource, key: str, params: Params, whole: Window, survey: Survey) -> None:
        super().__init__(resource, key, params, whole, survey)
        self._query = Query(resource, params)

    def request(self) -> Request:
        """The next request: of the window as it is now, or of what follows the cursor."""
        if self._cursor is None:
            self._query.begin((*self._params, *bounds(self.resource, self.gte, self.lt)))
        return self._query.request()

    def cursor_after(self, page: Page) -> str:
        """The cursor that the page has for the next one."""
        return self._query.go_on(page)

    def refused(self, step: Step, error: RequestRefused) -> Turn | None:
        """If a page is too large, asks for half of it; if a cursor has expired, for the rest of the window again."""
        if self._query.asks_for_less(error):
            return Turn(at_once=[Step(self._query.request())])
        return super().refused(step, error)
