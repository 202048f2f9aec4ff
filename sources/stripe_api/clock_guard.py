"""Whether the moment that an answer claims can be believed. Knows no request and no database.

Rows, windows and positions go by the `Date` of Stripe's answers. A proxy or a stub with a wrong clock would poison
them: a row from the future wins over each later state, and a position in the future leaves out what happens until then.
So a date has to agree with at least one clock that is not the answer's own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from sources.stripe_api.errors import BrokenPage
from sources.stripe_api.replies import Reply, date_of


class ClockGuard:
    """Compares answers' dates with other clocks. Thread-safe. Times in seconds.

    A date is believed if it is within `bound` of this machine's clock (`wall`, unix seconds), of a further witness, or
    of the believed answers before it, between which `elapsed` tells how much time has passed.
    """

    def __init__(
        self, bound: float, *, wall: Callable[[], float] = time.time, elapsed: Callable[[], float] = time.monotonic
    ) -> None:
        self._bound, self._wall, self._elapsed = bound, wall, elapsed
        self._witnesses: Mapping[str, float] = {"this machine's clock": 0.0}
        self._before: float | None = None  # of the last believed date, less what `elapsed` showed

    def add_witness(self, name: str, now: float) -> None:
        """Another clock, which shows `now` at this moment; `name` as in "the database's clock"."""
        self._witnesses = {**self._witnesses, name: now - self._wall()}

    def check(self, reply: Reply) -> None:
        """Raises BrokenPage for an answer whose date no clock confirms, or that has none."""
        date, now, ran = date_of(reply), self._wall(), self._elapsed()
        differences = {name: date - now - ahead for name, ahead in self._witnesses.items()}
        if self._before is not None:
            differences["the answers before it"] = date - ran - self._before
        if any(abs(seconds) <= self._bound for seconds in differences.values()):
            self._before = date - ran
            return
        compared = ", ".join(f"{_words(seconds)} {name}" for name, seconds in differences.items())
        moment = datetime.fromtimestamp(date, UTC)
        raise BrokenPage(
            f"The answer to {reply.where} has the Date {moment:%Y-%m-%d %H:%M:%S} UTC, which is {compared}. Rows and"
            " positions with a wrong date would hide later changes, so it is not believed. See whether a proxy or"
            " another server stands before Stripe (SOURCES__STRIPE__API_BASE, HTTPS_PROXY), and whether the clock of"
            f" this machine is set by NTP. SOURCES__STRIPE__MAX_CLOCK_SKEW is the bound, {self._bound:g} seconds.",
            request_id=reply.request_id,
            status=reply.status,
        )


def _words(seconds: float) -> str:
    return f"{timedelta(seconds=int(abs(seconds)))} {'ahead of' if seconds > 0 else 'behind'}"
