"""How many requests are worth having under way at once. Pure; measures nothing itself.

One thread parses and converts at a time, so a page costs the program some milliseconds that nothing can share. While an
answer is waited for, that many other pages can be dealt with, and no more: further requests would only queue for the
processor, and take time from it. Against Stripe, at 50 ms and more, that is as many as are allowed; against a server
near by it is a few.
"""

from __future__ import annotations

import math
from collections import defaultdict, deque

FIRST = 4  # before anything is known
SPARE = 2  # above what the measurements call for
SAMPLES = 64  # requests that are remembered
ENOUGH = 4  # requests of one endpoint that tell its latency
WEIGHT = 0.1  # of a new measurement of the processor's time


class Pace:
    """Measurements in seconds. Not thread-safe. `most` is the number never exceeded."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._waits: deque[tuple[str, float]] = deque(maxlen=SAMPLES)
        self._asking = self._converting = 0.0
        self.at_once = min(most, FIRST)

    def answered(self, endpoint: str, waited: float, processor: float) -> None:
        """A request has been answered after so long a wait, besides the processor's time for it."""
        self._waits.append((endpoint, waited))
        self._asking = _mean(self._asking, processor)
        if len(self._waits) >= ENOUGH:
            needed = self._latency() / max(1e-6, self._asking + self._converting)
            self.at_once = min(self._most, math.ceil(min(needed, self._most)) + SPARE)

    def converted(self, processor: float) -> None:
        """A page has been converted in so much of the processor's time."""
        self._converting = _mean(self._converting, processor)

    def _latency(self) -> float:
        """The longest of the endpoints' shortest waits: the rest of a wait is the program's own queue."""
        waits = defaultdict(list)
        for endpoint, waited in self._waits:
            waits[endpoint].append(waited)
        known = [min(some) for some in waits.values() if len(some) >= ENOUGH]
        return max(known) if known else sorted(waited for _, waited in self._waits)[len(self._waits) // 2]


def _mean(before: float, new: float) -> float:
    return new if before == 0.0 else before + WEIGHT * (new - before)
