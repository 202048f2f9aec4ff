"""Stripe's rate limits: requests a second for the account and for each endpoint, and requests at the same time.

https://docs.stripe.com/rate-limits: 100 a second live, 25 in a sandbox, 25 for each endpoint, 20 for files. Counted
over the last second. The clock is injected: it is real time, not Stripe's clock, which tests move.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

Reason = Literal["global-rate", "endpoint-rate", "global-concurrency", "endpoint-concurrency", "resource-specific"]


@dataclass(frozen=True, slots=True)
class Budget:
    """Requests a second, and requests at the same time; None means no limit. `own` maps endpoints to rates of their
    own.
    """

    rate: int | None = None
    endpoint_rate: int | None = None
    concurrency: int | None = None
    endpoint_concurrency: int | None = None
    own: Mapping[str, int] = field(default_factory=dict)


FILES: Mapping[str, int] = {"/v1/files": 20}
BUDGETS: Mapping[str, Budget] = {
    "none": Budget(),
    "live": Budget(rate=100, endpoint_rate=25, own=FILES),
    "sandbox": Budget(rate=25, endpoint_rate=25, own=FILES),
}


class Limits:
    """Counts requests against a budget. `budget` may be replaced at any time."""

    def __init__(self, budget: Budget, clock: Callable[[], float]) -> None:
        self.budget = budget
        self._clock = clock
        self._all: deque[float] = deque()
        self._each: dict[str, deque[float]] = {}
        self._under_way = 0
        self._under_way_each: dict[str, int] = {}

    def admit(self, endpoint: str) -> Reason | None:
        """Admits a request and returns None, or returns the reason of its refusal, which does not count against the
        budget.

        An admitted request counts as being answered until `leave`.
        """
        budget = self.budget
        if budget.concurrency is not None and self._under_way >= budget.concurrency:
            return "global-concurrency"
        under_way = self._under_way_each.get(endpoint, 0)
        if budget.endpoint_concurrency is not None and under_way >= budget.endpoint_concurrency:
            return "endpoint-concurrency"
        now = self._clock()
        each = self._each.setdefault(endpoint, deque())
        if _full(self._all, budget.rate, now):
            return "global-rate"
        if _full(each, budget.own.get(endpoint, budget.endpoint_rate), now):
            return "endpoint-rate"
        if budget.rate is not None:
            self._all.append(now)
        if budget.endpoint_rate is not None or endpoint in budget.own:
            each.append(now)
        self._under_way += 1
        self._under_way_each[endpoint] = under_way + 1
        return None

    def leave(self, endpoint: str) -> None:
        """Records that an admitted request has been answered."""
        self._under_way -= 1
        self._under_way_each[endpoint] -= 1


def _full(spent: deque[float], rate: int | None, now: float) -> bool:
    while spent and spent[0] <= now - 1.0:
        spent.popleft()
    return rate is not None and len(spent) >= rate
