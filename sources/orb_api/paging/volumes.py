"""Pages hourly sums, for which each request must name a range. Starts no thread, sends no request."""

from __future__ import annotations

from datetime import datetime

from sources.catalogue import Params, Resource
from sources.errors import RequestRefused
from sources.fetch.pager import Listing, Step, Turn
from sources.fetch.progress import Listed
from sources.fetch.values import Page
from sources.orb_api.paging.pages import is_too_large, moment, page_request

HOUR = 3_600


class VolumePager:
    """Pages the hours of `[since, until)`, oldest first; without `since`, the hours that may still change.

    Each request covers as many hours as fit on one page, because the answer does not say whether there is a next page.
    """

    goes_up = False

    def __init__(self, resource: Resource, key: str, before: Listed | None, since: int, until: int) -> None:
        self.resource, self.key, self._since = resource, key, since
        self._hours = resource.limit or 100
        self._end = -(-until // HOUR) * HOUR
        begin = since or until - (resource.shown_for or 0)
        if before is not None and before.cursor and not before.finished and before.since == since:
            begin = max(begin, int(datetime.fromisoformat(before.cursor).timestamp()))
        self._begin = -(-begin // HOUR) * HOUR
        self.is_done = self._begin >= self._end

    def begin(self) -> list[Step]:
        """The first hours."""
        return [] if self.is_done else [self._step()]

    def turn(self, step: Step, page: Page) -> Turn:
        """Hands over the page, and requests the next hours."""
        self._begin = step.tag
        self.is_done = self._begin >= self._end
        advance = Listed(self.key, None, None if self.is_done else moment(self._begin), self.is_done, self._since)
        listings = [Listing(page.objects, page.as_of)] if page.objects else []
        return Turn(listings=listings, advance=advance, then=[] if self.is_done else [self._step()])

    def refused(self, step: Step, error: RequestRefused) -> Turn | None:
        """If a page is too large, requests half as many hours."""
        if not is_too_large(error) or self._hours == 1:
            return None
        self._hours //= 2
        return Turn(at_once=[self._step()])

    def handed_over(self) -> Turn:
        """Does nothing: nothing waits for it."""
        return Turn()

    def pass_by(self, step: Step) -> None:
        """Does nothing: no request is about a single object."""

    def _step(self) -> Step:
        end = min(self._begin + self._hours * HOUR, self._end)
        names = self.resource.range_params or ("", "")
        params: Params = ((names[0], moment(self._begin)), (names[1], moment(end)))
        return Step(page_request(self.resource, self._hours, params, None), end)
