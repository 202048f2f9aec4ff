"""Pages a list: a window, if it has a filter by creation, otherwise all of it; singletons too. Starts no thread."""

from __future__ import annotations

from sources.catalogue import Params, Resource
from sources.errors import ObjectMissing, RequestRefused
from sources.fetch.http.client import request
from sources.fetch.pager import Listing, Step, Turn
from sources.fetch.progress import Listed
from sources.fetch.values import Object, Page, Request
from sources.fetch.window_pager import RESTARTS, created_of
from sources.fetch.window_pager import WindowPager as Windowed
from sources.stripe_api.paging.conventions import STRIPE_BEGAN, created_params, cursor_after, next_page_path


class ListPager:
    """Pages one pass over a list: from the top, from the cursor of an interrupted run, or only newer objects.

    Only newer objects are read if the list is in order (newest first), was read to its end before, and its newest
    object still works as a cursor; the pages then go upwards from it. Objects created outside `[since, until)` are left
    out.
    """

    def __init__(
        self, resource: Resource, key: str, params: Params, before: Listed | None, since: int, until: int
    ) -> None:
        self.resource, self.key, self._params = resource, key, params
        self._since, self._until = since, until
        self.is_done = False
        self._ordered = resource.newest_first and resource.pagination == "cursor"
        self._upwards = False
        self._cursor: str | None = None
        self._top: str | None = None
        self._behind: list[str] = []  # ids before the cursor on the last page, which can replace it
        self._restarts = 0
        self._resumed = False
        if before is None:
            return
        if before.finished and before.top and before.since <= since and self._ordered:
            self._since = before.since  # objects in between are new too
            self._go_up(before.top)
        elif not before.finished and before.since == since:
            self._cursor, self._top, self._resumed = before.cursor, before.top, True

    @property
    def goes_up(self) -> bool:
        """Whether it pages upwards, to objects newer than its bookmark."""
        return self._upwards

    def begin(self) -> list[Step]:
        """The first page."""
        return [Step(self._request())]

    def turn(self, step: Step, page: Page) -> Turn:
        """Hands over the page, and requests the next one."""
        return self._upward(page) if self._upwards else self._downward(page)

    def refused(self, step: Step, error: RequestRefused) -> Turn | None:
        """If the cursor's object is deleted, continues from the object before it; if there is none, reads the whole
        list again.
        """
        if self._behind and isinstance(error, ObjectMissing):
            self._cursor = self._behind.pop()
            return Turn(at_once=[Step(self._request())])
        if self._cursor is None or self._restarts >= RESTARTS:
            return None
        self._upwards = self._resumed = False
        self._cursor, self._top, self._restarts = None, None, self._restarts + 1
        return Turn(at_once=[Step(self._request())])

    def handed_over(self) -> Turn:
        """Does nothing: nothing waits for it."""
        return Turn()

    def pass_by(self, step: Step) -> None:
        """Does nothing: no request is about a single object."""

    def _downward(self, page: Page) -> Turn:
        """A page of older objects."""
        objects = self._within(page.objects)
        if self._top is None and self._ordered and objects:
            self._top = _id(objects[0])
        last = created_of(page.objects[-1], self.resource) if page.objects else None
        ended = not page.has_more or (self._ordered and last is not None and last < self._since)
        if ended:
            self._cursor = None
            if self._resumed and self._ordered and self._top:  # objects added since the earlier run
                return self._hand_over(page, objects, ended=False, up_from=self._top)
        elif page.next_page:
            self._cursor = next_page_path(page, self.resource.path)
        else:
            self._cursor = cursor_after(page, self._cursor)
            self._behind = [id for obj in page.objects[:-1] if (id := _id(obj)) is not None]
        return self._hand_over(page, objects, ended)

    def _upward(self, page: Page) -> Turn:
        """A page of objects newer than the bookmark, the newest of them first."""
        objects = self._within(page.objects)
        ended = not page.has_more or len(objects) < len(page.objects)
        self._top = _id(objects[0]) if objects else self._top
        self._cursor = self._cursor if ended else cursor_after(page, self._cursor, first=True)
        return self._hand_over(page, objects, ended)

    def _go_up(self, top: str) -> None:
        self._upwards, self._cursor, self._top, self._behind = True, top, top, []

    def _hand_over(self, page: Page, objects: list[Object], ended: bool, up_from: str | None = None) -> Turn:
        self.is_done = ended
        if up_from is not None:
            self._go_up(up_from)
        listings = [Listing(objects, page.as_of)] if objects else []
        cursor = None if self._upwards else self._cursor
        advance = Listed(self.key, self._top, cursor, ended or self._upwards, self._since)
        return Turn(listings=listings, advance=advance, then=[] if ended else [Step(self._request())])

    def _within(self, objects: list[Object]) -> list[Object]:
        seconds = [created_of(obj, self.resource) for obj in objects]
        return [
            obj
            for obj, second in zip(objects, seconds, strict=True)
            if second is None or self._since <= second < self._until
        ]

    def _request(self) -> Request:
        resource = self.resource
        if resource.kind == "singleton":
            return request(resource.path, denied=resource.denied, single=True)
        if resource.pagination == "v2" and self._cursor is not None:
            return Request(self._cursor, (), request(resource.path).endpoint, resource.denied)
        name = "ending_before" if self._upwards else "starting_after"
        after: Params = ((name, self._cursor),) if self._cursor is not None else ()
        return request(resource.path, (*self._params, *after), denied=resource.denied)


def _id(obj: Object) -> str | None:
    id = obj.get("id")
    return id if isinstance(id, str) else None


class WindowPager(Windowed):
    """Pages a window of one of Stripe's lists."""

    began = STRIPE_BEGAN

    def request(self) -> Request:
        """The next request, with the window's present bounds: Stripe accepts any bounds with a cursor."""
        resource = self.resource
        if resource.pagination == "v2" and self._cursor is not None:
            return Request(self._cursor, (), request(resource.path).endpoint, resource.denied)
        bounds = created_params(resource.created, self.gte, self.lt)
        after: Params = (("starting_after", self._cursor),) if self._cursor is not None else ()
        return request(resource.path, (*self._params, *bounds, *after), denied=resource.denied)

    def cursor_after(self, page: Page) -> str:
        """The last object's id, or the path of v2's next page."""
        return next_page_path(page, self.resource.path) if page.next_page else cursor_after(page, self._cursor)
