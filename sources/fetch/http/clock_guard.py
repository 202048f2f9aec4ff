"""Checks the `Date` of answers against other clocks, and corrects it. Knows no request and no database.

Rows, windows and positions are dated by the `Date` of the provider's answers. A proxy or a stub with a wrong clock
would make them wrong: a row from the future overwrites every later state, and a position in the future skips the events
until then. So a date has to agree with at least one other clock, and if it is ahead of all that confirm it, it is set
back to the latest of them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from sources.errors import BrokenPage
from sources.fetch.http.api_name import ApiName
from sources.fetch.values import Reply, date_of

MARK = "the earlier answers"


class ClockGuard:
    """Compares answers' dates with other clocks. Thread-safe. Times in seconds.

    A date is accepted if it is within `bound` of this machine's clock (`wall`, unix seconds), of another clock
    (`add_witness`), or of the time by the earlier answers: the last date that one of those clocks confirmed, plus the
    time that has passed since on `elapsed`.
    """

    def __init__(
        self,
        bound: float,
        api: ApiName,
        *,
        wall: Callable[[], float] = time.time,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bound, self._api, self._wall, self._elapsed = bound, api, wall, elapsed
        self._witnesses: Mapping[str, float] = {"this machine's clock": 0.0}
        self._mark: float | None = None  # the last date that a clock confirmed, less what `elapsed` showed

    def add_witness(self, name: str, now: float) -> None:
        """Adds a clock that shows `now` (unix seconds) at this moment; `name` as in "the database's clock"."""
        self._witnesses = {**self._witnesses, name: now - self._wall()}

    def check(self, reply: Reply, since: float = 0.0) -> Reply:
        """The reply with `ahead` set: the seconds by which its date is later than the latest clock that confirms it.

        `since` are the seconds since its headers arrived. A date that is too early does no harm (`as_of`), but one that
        is too late does, so even a date that is a minute ahead is corrected. Without a bound, nothing is checked.
        Raises BrokenPage for an answer without a date, or whose date no clock confirms.
        """
        date, now, ran = date_of(reply), self._wall(), self._elapsed()
        if math.isinf(self._bound):
            return reply
        clocks = {name: now + ahead for name, ahead in self._witnesses.items()}
        latest = self._latest(date, clocks)
        if latest is not None:
            # Only here: if dates that the mark alone confirms moved it, a wrong clock could shift it step by step.
            self._mark = min(date, latest) - ran
        elif self._mark is not None:
            clocks[MARK] = self._mark + ran
            latest = self._latest(date, clocks)
        if latest is None:
            raise self._refusal(reply, date, clocks)
        return replace(reply, ahead=max(0, math.ceil(date - (latest - since))))

    def _latest(self, date: int, clocks: Mapping[str, float]) -> float | None:
        return max((shown for shown in clocks.values() if abs(date - shown) <= self._bound), default=None)

    def _refusal(self, reply: Reply, date: int, clocks: Mapping[str, float]) -> BrokenPage:
        compared = ", ".join(f"{_words(date - shown)} {name}" for name, shown in clocks.items())
        moment = datetime.fromtimestamp(date, UTC)
        return BrokenPage(
            f"The answer to {reply.where} has the Date {moment:%Y-%m-%d %H:%M:%S} UTC, which is {compared}."
            " Rows and positions with a wrong date would hide later changes, so the answer is refused. Check"
            f" whether a proxy or another server answers instead of {self._api.name} ({self._api.setting('api_base')},"
            f" HTTPS_PROXY), and whether NTP sets this machine's clock. {self._api.setting('max_clock_skew')} is"
            f" the limit, {self._bound:g} seconds.",
            request_id=reply.request_id,
            status=reply.status,
        )


def _words(seconds: float) -> str:
    return f"{timedelta(seconds=int(abs(seconds)))} {'ahead of' if seconds > 0 else 'behind'}"
