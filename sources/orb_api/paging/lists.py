"""Pages a list: a window, if it can be filtered by time, otherwise all of it. Starts no thread, sends no request."""

from __future__ import annotations

from sources.catalogue import Params, Resource
from sources.errors import RequestRefused
from sources.fetch.pager import Listing, Step, Survey, Turn
from sources.fetch.progress import Listed
from sources.fetch.values import Page, Request
from sources.fetch.window_pager import RESTARTS
from sources.fetch.window_pager import WindowPager as Windowed
from sources.fetch.windows import Window
from sources.orb_api.paging.pages import ORB_BEGAN, Query, bounds


class ListPager:
    """Pages one pass over a list to its end, because nothing shows which of its objects are new or have changed.

    After an interrupted run, it continues from that run's cursor. Objects added to the top of the list since then are
    read at the end: from the top to the object that was first when that run began.
    """

    goes_up = False

    def __init__(self, resource: Resource, key: str, params: Params, before: Listed | None, since: int) -> None:
        self.resource, self.key, self._params, self._since = resource, key, params, since
        self._query = Query(resource, params)
        self._top: str | None = None  # the id of the first object
        self._resumed = self._to_top = False
        self._restarts = 0
        self.is_done = False
        if before is not None and not before.finished and before.cursor and before.since == since:
            self._query.cursor, self._top, self._resumed = before.cursor, before.top, True

    def begin(self) -> list[Step]:
        """The first page."""
        return [Step(self._query.request())]

    def turn(self, step: Step, page: Page) -> Turn:
        """Hands over the page, and requests the next one."""
        ids = [obj.get("id") for obj in page.objects]
        if self._top is None and ids and isinstance(ids[0], str):
            self._top = ids[0]
        ended = not page.has_more or (self._to_top and self._top in ids)
        if not ended:
            self._query.go_on(page)
        elif self._resumed:
            self._resumed, self._to_top, ended = False, self._top is not None, False
            self._query.begin(self._params)
        self.is_done = ended
        # The part read from the top at the end is short; if a run is killed there, the next run starts again from the
        # top.
        cursor = None if self._to_top or ended else self._query.cursor
        advance = Listed(self.key, self._top, cursor, ended, self._since)
        listings = [Listing(page.objects, page.as_of)] if page.objects else []
        return Turn(listings=listings, advance=advance, then=[] if ended else [Step(self._query.request())])

    def refused(self, step: Step, error: RequestRefused) -> Turn | None:
        """If a page is too large, requests half of it; if a cursor has expired, reads the whole list again."""
        if not self._query.asks_for_less(error):
            if self._query.cursor is None or self._restarts >= RESTARTS:
                return None
            self._restarts, self._resumed, self._to_top, self._top = self._restarts + 1, False, False, None
            self._query.begin(self._params)
        return Turn(at_once=[Step(self._query.request())])

    def handed_over(self) -> Turn:
        """Does nothing: nothing waits for it."""
        return Turn()

    def pass_by(self, step: Step) -> None:
        """Does nothing: no request is about a single object."""


class WindowPager(Windowed):
    """Pages a window of one of Orb's lists.

    A window that is split keeps the bounds of its first page, because its cursor belongs to them; it ignores objects in
    the part that it gave away.
    """

    began = ORB_BEGAN

    def __init__(self, resource: Resource, key: str, params: Params, whole: Window, survey: Survey) -> None:
        super().__init__(resource, key, params, whole, survey)
        self._query = Query(resource, params)

    def request(self) -> Request:
        """The next request: for the window as it is now, or for the page after the cursor."""
        if self._cursor is None:
            self._query.begin((*self._params, *bounds(self.resource, self.gte, self.lt)))
        return self._query.request()

    def cursor_after(self, page: Page) -> str:
        """The page's cursor for the next page."""
        return self._query.go_on(page)

    def refused(self, step: Step, error: RequestRefused) -> Turn | None:
        """If a page is too large, requests half of it; if a cursor has expired, requests the rest of the window without
        a cursor.
        """
        if self._query.asks_for_less(error):
            return Turn(at_once=[Step(self._query.request())])
        return super().refused(step, error)
