"""Stripe's clock, which the `Date` header, `created` and the thirty days of events use. Knows no HTTP.

It runs with real time, shifted, until a test sets it. A set clock stands still until it is advanced or started again.
"""

from __future__ import annotations

import time
from collections.abc import Callable


class Clock:
    """Seconds since 1970 on Stripe's side; `source` returns the real time that a running clock follows."""

    def __init__(
        self, start: float | None = None, *, running: bool = True, source: Callable[[], float] = time.time
    ) -> None:
        self._source = source
        self._running = running
        self._shift = (start - source()) if start is not None else 0.0
        self._stood = start if start is not None else source()

    def time(self) -> float:
        """The present moment in seconds, with a fraction."""
        return self._source() + self._shift if self._running else self._stood

    def seconds(self) -> int:
        """The present moment in whole seconds, as Stripe shows it."""
        return int(self.time())

    @property
    def stands(self) -> bool:
        """Whether the clock stands still."""
        return not self._running

    def set(self, to: float) -> None:
        """Stops the clock at a moment."""
        self._running, self._stood = False, to

    def advance(self, seconds: float) -> None:
        """Moves the clock forward by seconds. A running clock keeps running, a set one stands at the later moment.
        Raises ValueError for a negative number.
        """
        if seconds < 0:
            raise ValueError("Stripe's clock does not go backwards: advance by a positive number of seconds")
        self._shift += seconds
        self._stood += seconds

    def run(self) -> None:
        """Lets the clock run with real time from its present moment."""
        if not self._running:
            self._shift, self._running = self._stood - self._source(), True
