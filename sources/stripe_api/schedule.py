"""Which task a free worker takes next. Decides under the limiter's word; starts no thread and sends nothing.

The resource that has most left goes first, so that all come to their end together and the account's limit is not left
to the biggest one at last. Lists that cannot be divided take the longest and go before; among equals they take turns.
A window is divided only when a request could go that nobody waits for: so a small list costs no request more than it
has pages, and a big one gets as many windows as its endpoint's limit and latency can keep busy.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

from sources.stripe_api.lanes import Lane, Task
from sources.stripe_api.limiter import Limiter

WORTH_DIVIDING = 2.0  # pages that a window must be expected to have left


class Schedule:
    """The lanes of a run. Not thread-safe. `budget` is how many requests may be sent in all, None for any number."""

    def __init__(self, lanes: Sequence[Lane], limiter: Limiter, budget: int | None) -> None:
        self.lanes = list(lanes)
        self._turns = deque(lanes)
        self._limiter, self._budget = limiter, budget
        self.sent = 0

    @property
    def is_spent(self) -> bool:
        """Whether no further request may be sent."""
        return self._budget is not None and self.sent >= self._budget

    def pick(self, now: float) -> Task | float:
        """The next task, with the limiter's grant taken; or the seconds until asking again makes sense (inf: an event).

        Counts the request as sent.
        """
        waits: dict[str, float] = {}
        self._turns.rotate(-1)
        lanes = sorted(self._turns, key=lambda lane: lane.expected, reverse=True)
        longest = next((lane for lane in lanes if lane.windows), None)
        for lane in lanes:
            task = self._first(lane, now, waits)
            if task is None and lane is longest:  # what takes longest must not wait for its own answers
                task = self._divide(lane, waits)
            if task is not None:
                return self._start(task, now)
        for lane in lanes:
            task = self._divide(lane, waits)
            if task is not None:
                return self._start(task, now)
        delays = [task.not_before - now for lane in lanes for task in lane.delayed]
        return max(0.0, min([*waits.values(), *delays], default=math.inf))

    def drop(self, lane: Lane) -> None:
        """A lane has come to its end."""
        self._turns.remove(lane)

    def _first(self, lane: Lane, now: float, waits: dict[str, float]) -> Task | None:
        """A task of the lane that may go now."""
        for task in [task for task in lane.delayed if task.not_before <= now]:
            lane.delayed.remove(task)
            lane.put(task)
        for endpoint in lane.waiting:
            if self._grants(endpoint, waits):
                return lane.take(endpoint)
        return None

    def _grants(self, endpoint: str, waits: dict[str, float]) -> bool:
        if endpoint == "":
            return True
        if self.is_spent:
            return False
        if endpoint not in waits:
            wait = self._limiter.try_acquire(endpoint)
            if wait == 0.0:
                return True
            waits[endpoint] = wait
        return False

    def _divide(self, lane: Lane, waits: dict[str, float]) -> Task | None:
        """The first task of the older half of a lane's longest window, where nothing else of it waits."""
        if self.is_spent or lane.waiting or lane.delayed or lane.completions or lane.error:
            return None
        window = max((one for one in lane.windows if one.is_divisible), key=lambda one: one.expected, default=None)
        if window is None or window.expected < WORTH_DIVIDING * (lane.resource.limit or 100):
            return None
        if not self._has_room(lane.endpoint, waits):
            return None
        older = window.split()
        if older is None:
            return None
        lane.pagers.append(older)
        lane.add(older, older.begin())
        return lane.take(lane.endpoint) if self._grants(lane.endpoint, waits) else None

    def _has_room(self, endpoint: str, waits: dict[str, float]) -> bool:
        if endpoint not in waits and (wait := self._limiter.wait(endpoint)):
            waits[endpoint] = wait
        return endpoint not in waits

    def _start(self, task: Task, now: float) -> Task:
        lane = task.lane
        lane.started = now if lane.started is None else lane.started
        lane.under_way += 1
        task.attempts += 1
        if task.step.request is not None:
            lane.requests += 1
            self.sent += 1
        return task
