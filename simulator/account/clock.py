"""Stripe's clock: what the `Date` header, `created` and the thirty days of events go by. Knows no HTTP.

It runs with real time, shifted, until a test sets it; a set clock stands still until it is advanced or started again.
"""

from __future__ import annotations

import time
from collections.abc import Callable


class Clock:
    """Seconds since 1970 on Stripe's side; `source` is the real time that a running clock follows."""

    def __init__(
        self, start: float | None = None, *, running: bool = True, source: Callable[[], float] = time.time
    ) -> None:
        self._source = source
        self._running = running
        self._shift = (start - source()) if start is not None else 0.0
        self._stood = start if start is not None else source()

    def time(self) -> float:
        """Now, in seconds with a fraction."""
        return self._source() + self._shift if self._running else self._stood

    def seconds(self) -> int:
        """Now, in the whole seconds that Stripe shows."""
        return int(self.time())

    @property
    def stands(self) -> bool:
        """Whether it moves only when it is told to."""
        return not self._running

    def set(self, to: float) -> None:
        """Stands still at a moment."""
        self._running, self._stood = False, to

    def advance(self, seconds: float) -> None:
        """Moves forward; a running clock goes on running, a set one stands at the later moment."""
        if seconds < 0:
            raise ValueError("Stripe's clock does not go backwards: advance by a positive number of seconds")
        self._shift += seconds
        self._stood += seconds

    def run(self) -> None:
        """Goes on from where it stands, with real time."""
        if not self._running:
            self._shift, self._running = self._stood - self._source(), True
