"""Pages a window of a list with a filter by time: newest first, and divisible while it is read. Starts no thread.

A provider adds how a request is made, and how to continue after a page.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from datetime import datetime
from typing import Self

from sources.catalogue import LAST_SECOND, Params, Resource
from sources.errors import RequestRefused
from sources.fetch.pager import Divisible, Listing, Step, Survey, Turn
from sources.fetch.progress import Advance, Covered
from sources.fetch.values import Object, Page, Request
from sources.fetch.windows import Window, window

RESTARTS = 3  # how often a list is restarted for an expired cursor without any progress in between


class WindowPager(Divisible):
    """Pages `[gte, lt)` of one pass over a list, which has no object from before the second `began`.

    After a page whose oldest object was created in second c, everything from c + 1 on is covered, if the list is in
    order of creation. More objects than fit on a page may share a second, which counts as covered only after the last
    of them.
    """

    began: int

    def __init__(self, resource: Resource, key: str, params: Params, whole: Window, survey: Survey) -> None:
        self.resource, self.key, self._params, self._survey = resource, key, params, survey
        # not covered yet; `lt` falls with each page, `gte` rises with each split
        self.gte, self.lt = whole.gte, whole.lt
        self._top = whole.lt
        self.is_done = False
        self._ordered = resource.newest_first
        self._cursor: str | None = None
        self._found = 0
        self.is_divisible = False  # false before its first page, which may be the only one
        self._restarts = 0

    @abstractmethod
    def request(self) -> Request:
        """The next request: for the window as it is now, or for the page after the cursor."""

    @abstractmethod
    def cursor_after(self, page: Page) -> str:
        """The cursor for the page after this one. Raises BrokenPage."""

    @property
    def goes_up(self) -> bool:
        """Never."""
        return False

    def begin(self) -> list[Step]:
        """The first page of the window."""
        return [Step(self.request())]

    def turn(self, step: Step, page: Page) -> Turn:
        """Hands over the page, and requests the next one."""
        seconds = [created_of(obj, self.resource) for obj in page.objects]
        self._ordered = self._ordered and is_descending(seconds, self.lt)
        oldest = seconds[-1] if seconds and self._ordered else None
        ended = not page.has_more or (oldest is not None and oldest < self.gte)
        bottom = self.gte if ended else max(self.gte, oldest + 1) if oldest is not None else self.lt
        objects = page.objects
        # requested before the window was divided: the rest belongs to another pager
        if oldest is not None and oldest < self.gte:
            objects = [obj for obj, second in zip(objects, seconds, strict=True) if (second or 0) >= self.gte]
        if not ended:
            self._cursor = self.cursor_after(page)
        turn = Turn(listings=[Listing(objects, page.as_of)] if objects else [])
        self._found += len(objects)
        self._survey.found += len(objects)
        self._survey.seconds += self.lt - max(oldest, self.gte) if oldest is not None else 0
        turn.advance = self._cover(bottom)
        self.is_done, self.is_divisible = ended, self._ordered and not ended
        if not ended:
            turn.then.append(Step(self.request()))
        elif self._found == 0 and self.gte <= self._survey.horizon.second:
            self._survey.horizon.second = max(self._survey.horizon.second, self._top)
        return turn

    def refused(self, step: Step, error: RequestRefused) -> Turn | None:
        """If the cursor's object has been deleted, requests what is left of the window as a new window."""
        if self._cursor is None or self._restarts >= RESTARTS:
            return None
        self._cursor, self._restarts = None, self._restarts + 1
        return Turn(at_once=[Step(self.request())])

    def handed_over(self) -> Turn:
        """Does nothing: nothing waits for it."""
        return Turn()

    def pass_by(self, step: Step) -> None:
        """Does nothing: no request is about a single object."""

    @property
    def expected(self) -> float:
        """An estimate of the objects that are left, from the density of those found."""
        return self._found / max(1, self._top - self.lt) * (self.lt - self.floor)

    def split(self) -> Self | None:
        """Splits off the older part of what is left, as a new pager; None if either part would be empty.

        The older part is half; it is larger while the list's oldest object is unknown, so that few requests find out
        that a range is empty.
        """
        length = self.lt - self.floor
        at = self.lt - (length // 8 if self.gte < self.floor else length // 2)
        if not self.is_divisible or not self.gte < at < self.lt:
            return None
        older = type(self)(self.resource, self.key, self._params, Window(self.gte, at), self._survey)
        self.gte = at
        return older

    def _cover(self, bottom: int) -> Advance | None:
        covered = window(bottom, self.lt)
        if covered is None:
            return None
        self.lt, self._restarts = bottom, 0
        return Covered(self.key, covered)

    @property
    def floor(self) -> int:
        """The second in which the window's oldest object is likely to be."""
        horizon = self._survey.horizon.second
        likely = horizon if horizon < self.lt else self.began
        return max(self.gte, min(likely, self.lt))


def created_of(obj: Object, resource: Resource) -> int | None:
    """The second in which an object was created; None if it does not show one, or shows an impossible one."""
    value = obj.get(resource.created_field) if resource.created_field else None
    if type(value) is int:
        return value if 0 <= value <= LAST_SECOND else None
    if isinstance(value, str):
        try:
            return int(datetime.fromisoformat(value).timestamp())
        except ValueError:
            return None
    return None


def is_descending(seconds: Sequence[int | None], below: int) -> bool:
    """Whether the objects are in order, newest first, and all were created before `below`."""
    last = below - 1
    for second in seconds:
        if second is None or second > last:
            return False
        last = second
    return True
