"""How many requests a run spends, and an end to it: a budget in front of the limiter. Knows no list and no database.

Stripe allots reads (500 a transaction over thirty days, at least 10,000 a month), so that every run counts what it
sends, retries included, and can be told to stop before it has sent more than so many.
"""

from __future__ import annotations

import threading

from sources.stripe_api.errors import StripeSourceError
from sources.stripe_api.limiter import Limiter


class BudgetSpent(StripeSourceError):
    """The run may send no more requests: what is left goes on next time."""


class Spending(Limiter):
    """A limiter that counts requests and grants at most `budget` of them, None: any number. Thread-safe.

    The pace is that of `limiter`. `spent` never exceeds the budget. Raises BudgetSpent for the first request beyond it.
    """

    def __init__(self, limiter: Limiter, budget: int | None) -> None:
        self._limiter, self._budget = limiter, budget
        self._spending = threading.Lock()
        self.spent = 0

    @property
    def left(self) -> int | None:
        """Requests that may still be sent, None for any number."""
        return None if self._budget is None else self._budget - self.spent

    def acquire(self, endpoint: str) -> None:
        """Waits for the pace, then takes one request out of the budget."""
        self._take()
        try:
            self._limiter.acquire(endpoint)
        except BaseException:
            self._give_back()
            raise

    def try_acquire(self, endpoint: str) -> float:
        """See `Limiter.try_acquire`."""
        self._take()
        wait = self._limiter.try_acquire(endpoint)
        if wait:
            self._give_back()
        return wait

    def wait(self, endpoint: str) -> float:
        """See `Limiter.wait`."""
        return self._limiter.wait(endpoint)

    def succeeded(self, endpoint: str) -> None:
        """See `Limiter.succeeded`."""
        self._limiter.succeeded(endpoint)

    def released(self, endpoint: str) -> None:
        """See `Limiter.released`."""
        self._limiter.released(endpoint)

    def throttled(self, endpoint: str, reason: str | None) -> None:
        """See `Limiter.throttled`."""
        self._limiter.throttled(endpoint, reason)

    def rate(self, endpoint: str | None = None) -> float:
        """See `Limiter.rate`."""
        return self._limiter.rate(endpoint)

    def _take(self) -> None:
        with self._spending:
            if self._budget is not None and self.spent >= self._budget:
                raise BudgetSpent(
                    f"The budget of {self._budget:,} requests is spent. What was loaded is kept, and the next run"
                    " goes on from there; --requests-budget sets the number."
                )
            self.spent += 1

    def _give_back(self) -> None:
        with self._spending:
            self.spent -= 1
