"""The request budgets of an account and of each of its endpoints. Knows no HTTP and no list; starts no thread.

Stripe limits the requests a second of an account (100 live, 25 in a sandbox) and of each endpoint (25), and the
requests at once (https://docs.stripe.com/rate-limits). The limiter spaces requests evenly instead of sending a second's
worth at once, and never exceeds the limit in any one second. If Stripe answers 429 nevertheless, because other programs
use the account, the limiter lowers the budget that the answer names, and raises it again in small steps.
"""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping

from sources.errors import ConnectorError

ENDPOINT_RATE = 25.0
CATCH_UP = 0.015  # seconds by which a caller may be late without losing its turn
JITTER = 0.015  # seconds by which the network may push requests together
MOMENT = 1e-6  # seconds; shorter differences count as none
SHRINK = 0.85  # factor by which a refusal lowers a budget
GROW = 0.05  # part of the configured budget that is added for each second without a refusal
PAUSE = 1.0  # seconds in which further refusals count as the same one, and between steps of growth
POLL = 0.02  # seconds until the next try if the time of the next grant is unknown


class Budget:
    """Requests a second and requests at once, for one account or endpoint. If `limit` is None, unlimited until refused.

    Not thread-safe: the limiter calls it under its lock. In any one second it grants at most ceil(`limit`) requests.
    """

    def __init__(self, limit: float | None) -> None:
        self._ceiling = math.inf if limit is None else limit / (1 + CATCH_UP + JITTER)
        self._base = self._ceiling  # what steps of growth are measured by
        self.rate = self._ceiling * SHRINK  # a new connection delays its first request, and so crowds the next ones
        self.at_once = math.inf
        self.in_flight = 0
        self._due = -math.inf  # when the next request is due in even spacing
        self._stepped = math.inf  # when the rate last changed; inf before the first request
        self._shrunk = self._at_once_changed = -math.inf
        self._second, self._count, self._last_count = -math.inf, 0, 0

    def wait(self, now: float) -> float:
        """Seconds until a request may go; 0.0 when it may go now."""
        if self.in_flight >= self.at_once:
            return POLL
        wait = self._due - CATCH_UP - now
        return wait if wait > MOMENT else 0.0

    def take(self, now: float) -> None:
        """A request goes now."""
        self.in_flight += 1
        self._stepped = min(self._stepped, now)
        if self.rate < math.inf:
            self._due = max(now, self._due) + 1 / self.rate
        if now - self._second >= 1.0:
            self._last_count, self._count, self._second = self._count, 0, now
        self._count += 1

    def release(self) -> None:
        """A request has ended, whatever its answer."""
        self.in_flight = max(0, self.in_flight - 1)

    def grow(self, now: float) -> None:
        """Stripe has accepted a request: raises the budget again, one step a second."""
        if self.rate < self._ceiling and now - self._stepped >= PAUSE:
            self.rate, self._stepped = min(self._ceiling, self.rate + GROW * self._base), now
            if self._ceiling == math.inf and self.rate > 2 * self._base:
                self.rate = math.inf
        if self.at_once < math.inf and now - self._at_once_changed >= PAUSE:
            self.at_once, self._at_once_changed = self.at_once + 1, now

    def slow_down(self, now: float) -> None:
        """Stripe refused too many requests a second: lowers the rate, at most once a second."""
        if now - self._shrunk < PAUSE:
            return
        if self.rate == math.inf:
            self._base = self.rate = max(ENDPOINT_RATE, self._count, self._last_count)
        self.rate = max(self.rate * SHRINK, min(self._base * GROW, 1.0))
        self._shrunk = self._stepped = now

    def fewer_at_once(self, now: float) -> None:
        """Stripe refused too many requests at once: lowers their number, at most once a second."""
        if now - self._at_once_changed >= PAUSE or self.at_once == math.inf:
            self.at_once = max(1.0, math.floor(min(self.at_once, self.in_flight + 1) * SHRINK))
            self._at_once_changed = now


class Limiter:
    """Grants requests within the budgets of the account and of their endpoint.

    Thread-safe. `account_rate` and `endpoint_rate` are this program's share of the limits, in requests a second; None
    is unlimited. `rates` are limits of single endpoints, by endpoint. An endpoint is named by its path template
    ("/v1/invoices/{id}/lines"). `clock` gives monotonic seconds; `sleep` waits.
    """

    def __init__(
        self,
        account_rate: float | None,
        endpoint_rate: float | None = ENDPOINT_RATE,
        *,
        rates: Mapping[str, float] | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._endpoint_rate = endpoint_rate
        self._rates = dict(rates or {})
        self._clock, self._sleep = clock, sleep
        self._lock = threading.Lock()
        self._account = Budget(account_rate)
        self._endpoints: dict[str, Budget] = {}
        self._tickets = itertools.count()
        self._waiting: dict[str, deque[int]] = {}  # tickets of blocked callers, by endpoint, oldest first

    def acquire(self, endpoint: str) -> None:
        """Waits until a request to the endpoint may be sent, and counts it. Callers are served in order of arrival."""
        with self._lock:
            ticket = next(self._tickets)
            self._waiting.setdefault(endpoint, deque()).append(ticket)
        try:
            while wait := self._try(endpoint, ticket):
                self._sleep(wait)
        except BaseException:
            with self._lock:
                self._leave(endpoint, ticket)
            raise

    def try_acquire(self, endpoint: str) -> float:
        """Counts a request and returns 0.0, or returns the seconds after which to try again. Never waits."""
        return self._try(endpoint, None)

    def wait(self, endpoint: str) -> float:
        """Seconds until a request may be sent, 0.0 for now. Counts nothing."""
        with self._lock:
            return self._wait(endpoint, self._clock())

    def succeeded(self, endpoint: str) -> None:
        """The request has ended, and Stripe did not throttle it."""
        with self._lock:
            now = self._clock()
            for budget in (self._account, self._endpoint(endpoint)):
                budget.release()
                budget.grow(now)

    def released(self, endpoint: str) -> None:
        """The request has ended without saying anything about the rate: no answer, or a server's error."""
        with self._lock:
            self._account.release()
            self._endpoint(endpoint).release()

    def throttled(self, endpoint: str, reason: str | None) -> None:
        """The request was answered with 429. `reason` is the header Stripe-Rate-Limited-Reason.

        `global-*` lowers the account's budget, any other reason the endpoint's; `*-concurrency` lowers the requests at
        once, others the requests a second. None means that the object is locked, which lowers nothing.
        """
        with self._lock:
            now = self._clock()
            of_endpoint = self._endpoint(endpoint)
            self._account.release()
            of_endpoint.release()
            if reason is None:
                return
            budget = self._account if reason.startswith("global") else of_endpoint
            if reason.endswith("concurrency"):
                budget.fewer_at_once(now)
            else:
                budget.slow_down(now)

    def rate(self, endpoint: str | None = None) -> float:
        """The present rate of the account, or of one endpoint, in requests a second."""
        with self._lock:
            return self._account.rate if endpoint is None else self._endpoint(endpoint).rate

    def _try(self, endpoint: str, ticket: int | None) -> float:
        with self._lock:
            now = self._clock()
            if wait := self._wait(endpoint, now):
                return wait
            if not self._turn(endpoint, ticket, now):
                return POLL
            self._account.take(now)
            self._endpoint(endpoint).take(now)
            if ticket is not None:
                self._leave(endpoint, ticket)
            return 0.0

    def _turn(self, endpoint: str, ticket: int | None, now: float) -> bool:
        """Whether no caller that has waited longer could be granted this request."""
        mine = self._waiting.get(endpoint)
        if mine and mine[0] != ticket:
            return False
        return not any(
            (ticket is None or queue[0] < ticket) and self._endpoint(other).wait(now) == 0.0
            for other, queue in self._waiting.items()
            if other != endpoint
        )

    def _wait(self, endpoint: str, now: float) -> float:
        return max(self._account.wait(now), self._endpoint(endpoint).wait(now))

    def _leave(self, endpoint: str, ticket: int) -> None:
        queue = self._waiting[endpoint]
        queue.remove(ticket)
        if not queue:
            del self._waiting[endpoint]

    def _endpoint(self, endpoint: str) -> Budget:
        if endpoint not in self._endpoints:
            self._endpoints[endpoint] = Budget(self._rates.get(endpoint, self._endpoint_rate))
        return self._endpoints[endpoint]


class BudgetSpent(ConnectorError):
    """The run may send no more requests: the next run continues with the rest."""


class Spending(Limiter):
    """A limiter that counts requests and grants at most `budget` of them; None grants any number. Thread-safe.

    The rate is that of `limiter`. `spent` never exceeds the budget. Raises BudgetSpent for the first request beyond it.
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
        """Waits for the rate limit, then takes one request from the budget."""
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
                    f"The budget of {self._budget:,} requests is spent. Everything that was loaded is kept,"
                    " and the next run continues from there. --requests-budget sets the budget."
                )
            self.spent += 1

    def _give_back(self) -> None:
        with self._spending:
            self.spent -= 1
