"""Paging a window of a list that takes `created`: on after the last object, or along v2's links."""

from __future__ import annotations

from sources.catalogue import Params
from sources.fetch.http.client import request
from sources.fetch.values import Page, Request
from sources.fetch.window_pager import WindowPager as Windowed
from sources.stripe_api.paging.conventions import STRIPE_BEGAN, created_params, cursor_after, next_page_path


class WindowPager(Windowed):
    """Pages a window of one of Stripe's lists."""

    began = STRIPE_BEGAN

    def request(self) -> Request:
        """The next request. The window's bounds are as they are now: Stripe takes any beside a cursor."""
        resource = self.resource
        if resource.pagination == "v2" and self._cursor is not None:
            return Request(self._cursor, (), request(resource.path).endpoint, resource.denied)
        bounds = created_params(resource.created, self.gte, self.lt)
        after: Params = (("starting_after", self._cursor),) if self._cursor is not None else ()
        return request(resource.path, (*self._params, *bounds, *after), denied=resource.denied)

    def cursor_after(self, page: Page) -> str:
        """The last object's id, or the path of v2's next page."""
        return next_page_path(page, self.resource.path) if page.next_page else cursor_after(page, self._cursor)
