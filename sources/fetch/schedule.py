"""Decides which task a free worker takes next, within the limiter's limits. Starts no thread and sends nothing.

The resource with most left to read goes first, so that all finish together: otherwise the largest would be left at the
end, alone with the account's limit. Lists that cannot be divided take longest and go before all others; equals take
turns. A window is divided only if the limits allow a request that no task needs: so a small list takes no more requests
than it has pages, and a big one gets as many windows as its endpoint's limit and latency can keep busy.
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any

from sources.catalogue import Resource
from sources.errors import BrokenPage, RequestRefused, RetryLater, ServerFailed, SkipResource, shortened
from sources.fetch.limiter import Limiter
from sources.fetch.pager import Completion, Divisible, Failed, Finished, Pager, Step, Survey, Turn
from sources.fetch.values import Page, ResourceStatus, Status

FIRST = 4  # before anything is known
SPARE = 2  # workers above what the measurements call for
SAMPLES = 64  # requests that are remembered
ENOUGH = 4  # requests to an endpoint after which its latency is known
WEIGHT = 0.1  # of a new measurement of the processor's time


class Concurrency:
    """How many workers are useful, from measured times in seconds; never more than `most`. Not thread-safe."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._waits: deque[tuple[str, float]] = deque(maxlen=SAMPLES)
        self._asking = self._converting = 0.0
        self.at_once = min(most, FIRST)

    def answered(self, endpoint: str, waited: float, processor: float) -> None:
        """Records that a request was answered after `waited` seconds, and took `processor` seconds of CPU."""
        self._waits.append((endpoint, waited))
        self._asking = _mean(self._asking, processor)
        if len(self._waits) >= ENOUGH:
            needed = self._latency() / max(1e-6, self._asking + self._converting)
            self.at_once = min(self._most, math.ceil(min(needed, self._most)) + SPARE)

    def converted(self, processor: float) -> None:
        """Records that a page was converted in `processor` seconds of CPU."""
        self._converting = _mean(self._converting, processor)

    def _latency(self) -> float:
        """The shortest wait of the slowest endpoint: longer waits come from the program's own queue."""
        waits = defaultdict(list)
        for endpoint, waited in self._waits:
            waits[endpoint].append(waited)
        known = [min(some) for some in waits.values() if len(some) >= ENOUGH]
        return max(known) if known else sorted(waited for _, waited in self._waits)[len(self._waits) // 2]


def _mean(before: float, new: float) -> float:
    return new if before == 0.0 else before + WEIGHT * (new - before)


PASSED_BY = 3  # lists of single objects that a resource may leave out


@dataclass(slots=True, eq=False)
class Task:
    """A step to take, of a pager or of the completion of one of its pages."""

    run: ResourceRun
    step: Step
    pager: Pager
    completion: Completion | None = None
    attempts: int = 0
    not_before: float = 0.0

    @property
    def endpoint(self) -> str:
        """The endpoint that limits count it against; "" if nothing is sent."""
        return self.step.request.endpoint if self.step.request is not None else ""


@dataclass(slots=True, eq=False)
class ResourceRun:
    """One resource in a run. Times are in seconds of the run's clock."""

    resource: Resource
    endpoint: str
    completion_of: Callable[..., Completion] | None  # of a step and its page; None: no page waits for more
    pagers: list[Pager]
    survey: Survey
    _whole: tuple[tuple[int, int], ...] = field(init=False)  # the windows at the start
    waiting: dict[str, deque[Task]] = field(default_factory=dict)  # by endpoint, first in, first out
    delayed: list[Task] = field(default_factory=list)
    under_way: int = 0  # tasks that a worker has taken, until their result has been handed over
    completions: list[tuple[Pager, Completion]] = field(default_factory=list)  # pages that are held back
    requests: int = 0
    reported: int = 0  # requests that chunks have reported
    rows: int = 0
    passed_by: list[str] = field(default_factory=list)  # lists of single objects that were left out, and why
    error: Exception | None = None
    is_closed: bool = False  # its end has been delivered
    started: float | None = None
    ended: float | None = None

    def __post_init__(self) -> None:
        self._whole = tuple((window.gte, window.lt) for window in self.windows)
        for pager in list(self.pagers):
            self.add(pager, pager.begin())

    @property
    def windows(self) -> list[Divisible]:
        """The windows being read, which can be divided."""
        return [pager for pager in self.pagers if isinstance(pager, Divisible)]

    @property
    def expected(self) -> float:
        """An estimate of the requests that are left; infinite if unknown."""
        windows = self.windows
        left = sum(window.lt - window.floor for window in windows)
        if len(windows) < len(self.pagers) or not left:
            return inf if self.pagers else 0.0
        return self.survey.per_second * left / (self.resource.limit or 100)

    @property
    def share(self) -> float | None:
        """The share of its seconds that is covered, from 0 to 1; None for a list without windows.

        Seconds before the horizon, where nothing is expected, do not count.
        """
        if not self._whole:
            return None
        horizon = self.survey.horizon.second
        whole = sum(lt - max(gte, horizon) for gte, lt in self._whole if lt > horizon)
        left = sum(window.lt - max(window.gte, horizon) for window in self.windows if window.lt > horizon)
        return 1 - left / whole if whole else None

    @property
    def is_idle(self) -> bool:
        """Whether no task is waiting and none is under way."""
        return not (self.waiting or self.delayed or self.under_way)

    def add(self, pager: Pager, steps: Sequence[Step], completion: Completion | None = None) -> None:
        """Queues steps; those that complete a page that is held back go to the front."""
        for step in steps if completion is None else reversed(steps):
            self.put(Task(self, step, pager, completion))

    def put(self, task: Task) -> None:
        """Queues a task."""
        line = self.waiting.setdefault(task.endpoint, deque())
        if task.completion is None:
            line.append(task)
        else:
            line.appendleft(task)

    def take(self, endpoint: str) -> Task:
        """Removes and returns the first task in an endpoint's queue."""
        line = self.waiting[endpoint]
        task = line.popleft()
        if not line:
            del self.waiting[endpoint]
        return task

    def clear(self) -> None:
        """Drops all waiting tasks."""
        self.waiting.clear()
        self.delayed.clear()
        self.pagers.clear()
        self.completions.clear()

    def arrived(self, task: Task, answer: Any) -> Turn:
        """What follows from an answer. A page with incomplete embedded lists is held back. Raises BrokenPage."""
        if task.completion is not None:
            self.add(task.pager, task.completion.turn(task.step, answer), task.completion)
            return self._completed(task.pager, task.completion)
        if isinstance(answer, Page) and self.completion_of is not None:
            completion = self.completion_of(task.step, answer, goes_up=task.pager.goes_up)
            if not completion.is_done:
                self.completions.append((task.pager, completion))
                self.add(task.pager, completion.begin(), completion)
                return Turn()
        return self._turned(task.pager, task.pager.turn(task.step, answer))

    def refused(self, task: Task, error: RequestRefused) -> Turn | None:
        """How to continue after a refusal; None if the refusal is an error."""
        if task.completion is None:
            turn = task.pager.refused(task.step, error)
            return None if turn is None else self._turned(task.pager, turn)
        steps = task.completion.refused(task.step, error)
        if steps is None:
            return None
        self.add(task.pager, steps, task.completion)
        return self._completed(task.pager, task.completion)

    def gave_up(self, task: Task, error: RetryLater) -> Turn | None:
        """How to continue without a single object's list that cannot be read; None if the resource is in error.

        The resource is in error if the server does not answer, or after `PASSED_BY` such lists, because then the fault
        is not that of a single object.
        """
        is_of_one = isinstance(error, BrokenPage | ServerFailed) and task.step.request is not None
        if not is_of_one or len(self.passed_by) == PASSED_BY:
            return None
        if task.completion is not None:
            self.passed_by.append(f"of {shortened(task.completion.pass_by(task.step))}: {error}")
            return self._completed(task.pager, task.completion)
        passed = task.pager.pass_by(task.step)
        if passed is None:
            return None
        id, turn = passed
        self.passed_by.append(f"of {shortened(id)}: {error}")
        return self._turned(task.pager, turn)

    def cut_short(self) -> tuple[Pager, Turn] | None:
        """The complete part of a page that is held back, when no request may be sent any more; None when no page is
        left.
        """
        while self.completions:
            pager, completion = self.completions.pop()
            page = completion.part()
            if page is not None:
                return pager, self._turned(pager, pager.turn(completion.step, page))
        return None

    def handed_over(self, pager: Pager, turn: Turn) -> Turn:
        """What follows once a turn's objects have been handed over."""
        self.add(pager, turn.then)
        return self._turned(pager, pager.handed_over())

    def close(self, now: float) -> Finished | Failed:
        """Its outcome."""
        self.is_closed, self.ended = True, now
        seconds = now - self.started if self.started is not None else 0.0
        if self.error is None and self.passed_by:
            lists = " ".join(self.passed_by)
            self.error = BrokenPage(f"Everything was read except the lists of these objects: {lists}")
        if self.error is not None:
            return Failed(self.resource.name, self.error, self.requests, seconds)
        return Finished(self.resource.name, self.requests, seconds)

    def status(self, now: float) -> ResourceStatus:
        """Its present status."""
        status: Status = "queued" if self.started is None else "running"
        if isinstance(self.error, SkipResource):
            status = "skipped"
        elif self.error is not None:
            status = "error"
        elif self.is_closed:
            status = "complete"
        seconds = (now if self.ended is None else self.ended) - self.started if self.started is not None else 0.0
        share = 1.0 if status == "complete" else self.share
        return ResourceStatus(
            self.resource.name, status, rows=self.rows, requests=self.requests, seconds=seconds, share=share
        )

    def _completed(self, pager: Pager, completion: Completion) -> Turn:
        if not completion.is_done:
            return Turn()
        self.completions.remove((pager, completion))
        return self._turned(pager, pager.turn(completion.step, completion.page))

    def _turned(self, pager: Pager, turn: Turn) -> Turn:
        self.add(pager, turn.at_once)
        if pager.is_done and pager in self.pagers:
            self.pagers.remove(pager)
        return turn


WORTH_DIVIDING = 2.0  # pages that a window must probably have left to be divided


class Schedule:
    """The resource runs of a fetch. Not thread-safe. `budget` is how many requests they may send together; None for any
    number.
    """

    def __init__(self, runs: Sequence[ResourceRun], limiter: Limiter, budget: int | None) -> None:
        self.runs = list(runs)
        self._turns = deque(runs)
        self._limiter, self._budget = limiter, budget
        self.sent = 0

    @property
    def is_spent(self) -> bool:
        """Whether no further request may be sent."""
        return self._budget is not None and self.sent >= self._budget

    def pick(self, now: float) -> Task | float:
        """The next task, whose request the limiter has granted; or the seconds until the next try (inf: after the next
        answer).

        Counts the request as sent.
        """
        waits: dict[str, float] = {}
        self._turns.rotate(-1)
        runs = sorted(self._turns, key=lambda run: run.expected, reverse=True)
        longest = next((run for run in runs if run.windows), None)
        for run in runs:
            task = self._first(run, now, waits)
            if task is None and run is longest:  # the longest resource must not wait for its own answers
                task = self._divide(run, waits)
            if task is not None:
                return self._start(task, now)
        for run in runs:
            task = self._divide(run, waits)
            if task is not None:
                return self._start(task, now)
        delays = [task.not_before - now for run in runs for task in run.delayed]
        return max(0.0, min([*waits.values(), *delays], default=math.inf))

    def drop(self, run: ResourceRun) -> None:
        """Removes a resource run that has ended."""
        self._turns.remove(run)

    def _first(self, run: ResourceRun, now: float, waits: dict[str, float]) -> Task | None:
        """A task of the resource run whose request may be sent now."""
        for task in [task for task in run.delayed if task.not_before <= now]:
            run.delayed.remove(task)
            run.put(task)
        for endpoint in run.waiting:
            if self._grants(endpoint, waits):
                return run.take(endpoint)
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

    def _divide(self, run: ResourceRun, waits: dict[str, float]) -> Task | None:
        """The first task of the older half of a resource run's longest window, if none of its tasks is waiting."""
        if self.is_spent or run.waiting or run.delayed or run.completions or run.error:
            return None
        window = max(
            (window for window in run.windows if window.is_divisible), key=lambda window: window.expected, default=None
        )
        if window is None or window.expected < WORTH_DIVIDING * (run.resource.limit or 100):
            return None
        if not self._has_room(run.endpoint, waits):
            return None
        older = window.split()
        if older is None:
            return None
        run.pagers.append(older)
        run.add(older, older.begin())
        return run.take(run.endpoint) if self._grants(run.endpoint, waits) else None

    def _has_room(self, endpoint: str, waits: dict[str, float]) -> bool:
        if endpoint not in waits and (wait := self._limiter.wait(endpoint)):
            waits[endpoint] = wait
        return endpoint not in waits

    def _start(self, task: Task, now: float) -> Task:
        run = task.run
        run.started = now if run.started is None else run.started
        run.under_way += 1
        task.attempts += 1
        if task.step.request is not None:
            run.requests += 1
            self.sent += 1
        return task
