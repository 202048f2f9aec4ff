"""A resource's share of a run: its pagers, the tasks that wait, what it has cost and brought. No thread, no request."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any, Literal

from sources.stripe_api.catalogue_types import Resource
from sources.stripe_api.deliveries import Failed, Finished
from sources.stripe_api.errors import BrokenPage, RequestRefused, RetryLater, ServerFailed, SkipResource
from sources.stripe_api.replies import Page
from sources.stripe_api.tally import shortened
from sources.stripe_api.work import Completion, Divisible, Pager, Step, Survey, Turn

PASSED_BY = 3  # lists of single objects that a resource may leave out

State = Literal["queued", "running", "complete", "error", "skipped"]


@dataclass(slots=True, eq=False)
class Task:
    """A step that waits for its turn: of a pager, or of the completion of one of its pages."""

    lane: Lane
    step: Step
    pager: Pager
    completion: Completion | None = None
    attempts: int = 0
    not_before: float = 0.0

    @property
    def endpoint(self) -> str:
        """What limits count it by; "" where nothing is sent."""
        return self.step.request.endpoint if self.step.request is not None else ""


@dataclass(frozen=True, slots=True)
class View:
    """How far a resource has come. `share` of its windows is covered, from 0 to 1, None where nothing tells."""

    resource: str
    state: State
    requests: int
    rows: int
    share: float | None
    seconds: float


@dataclass(slots=True, eq=False)
class Lane:
    """One resource in a run. Times are in seconds of the run's clock."""

    resource: Resource
    endpoint: str
    completion_of: Callable[[Pager, Step, Page], Completion]
    pagers: list[Pager]
    survey: Survey
    _whole: tuple[tuple[int, int], ...] = field(init=False)  # the windows at the start
    waiting: dict[str, deque[Task]] = field(default_factory=dict)  # by endpoint, first in, first out
    delayed: list[Task] = field(default_factory=list)
    under_way: int = 0  # tasks that a worker has, until what they brought has been handed over
    completions: list[tuple[Pager, Completion]] = field(default_factory=list)  # pages that are held back
    requests: int = 0
    reported: int = 0  # requests that chunks have told of
    rows: int = 0
    passed_by: list[str] = field(default_factory=list)  # lists of single objects that were left out, and why
    error: Exception | None = None
    is_closed: bool = False  # its end has been told
    started: float | None = None
    ended: float | None = None

    def __post_init__(self) -> None:
        self._whole = tuple((one.gte, one.lt) for one in self.windows)
        for pager in list(self.pagers):
            self.add(pager, pager.begin())

    @property
    def windows(self) -> list[Divisible]:
        """The windows under way, which can be divided."""
        return [pager for pager in self.pagers if isinstance(pager, Divisible)]

    @property
    def expected(self) -> float:
        """How many requests are left, as far as one can tell; infinite where nothing tells."""
        windows = self.windows
        left = sum(one.lt - one.floor for one in windows)
        if len(windows) < len(self.pagers) or not left:
            return inf if self.pagers else 0.0
        return self.survey.per_second * left / (self.resource.limit or 100)

    @property
    def share(self) -> float | None:
        """How much of the seconds to cover is covered, from 0 to 1; None for a list without windows.

        Seconds before the horizon, where nothing is expected, do not count.
        """
        if not self._whole:
            return None
        horizon = self.survey.horizon.second
        whole = sum(lt - max(gte, horizon) for gte, lt in self._whole if lt > horizon)
        left = sum(one.lt - max(one.gte, horizon) for one in self.windows if one.lt > horizon)
        return 1 - left / whole if whole else None

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits and nothing is under way."""
        return not (self.waiting or self.delayed or self.under_way)

    def add(self, pager: Pager, steps: Sequence[Step], completion: Completion | None = None) -> None:
        """Puts steps in line; those that go on with a page that is held back go to the front."""
        for step in steps if completion is None else reversed(steps):
            self.put(Task(self, step, pager, completion))

    def put(self, task: Task) -> None:
        """Puts a task in line."""
        line = self.waiting.setdefault(task.endpoint, deque())
        if task.completion is None:
            line.append(task)
        else:
            line.appendleft(task)

    def take(self, endpoint: str) -> Task:
        """The first task in line for an endpoint."""
        line = self.waiting[endpoint]
        task = line.popleft()
        if not line:
            del self.waiting[endpoint]
        return task

    def clear(self) -> None:
        """Gives up everything that waits."""
        self.waiting.clear()
        self.delayed.clear()
        self.pagers.clear()
        self.completions.clear()

    def arrived(self, task: Task, answer: Any) -> Turn:
        """What follows from an answer; a page whose embedded lists go on is held back. Raises BrokenPage."""
        if task.completion is not None:
            self.add(task.pager, task.completion.turn(task.step, answer), task.completion)
            return self._completed(task.pager, task.completion)
        if isinstance(answer, Page):
            completion = self.completion_of(task.pager, task.step, answer)
            if not completion.is_done:
                self.completions.append((task.pager, completion))
                self.add(task.pager, completion.begin(), completion)
                return Turn()
        return self._turned(task.pager, task.pager.turn(task.step, answer))

    def refused(self, task: Task, error: RequestRefused) -> Turn | None:
        """How to go on after a refusal; None where it is an error."""
        if task.completion is None:
            turn = task.pager.refused(task.step, error)
            return None if turn is None else self._turned(task.pager, turn)
        steps = task.completion.refused(task.step, error)
        if steps is None:
            return None
        self.add(task.pager, steps, task.completion)
        return self._completed(task.pager, task.completion)

    def gave_up(self, task: Task, error: RetryLater) -> Turn | None:
        """How to go on without the list of a single object that cannot be read; None where the resource is in error.

        The resource is in error when nothing answers, or after `PASSED_BY` such lists, because then the fault is not
        that of one object.
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
        """What can be handed over of a page that is held back when no more may be asked; None when none is left."""
        while self.completions:
            pager, completion = self.completions.pop()
            page = completion.part()
            if page is not None:
                return pager, self._turned(pager, pager.turn(completion.step, page))
        return None

    def handed_over(self, pager: Pager, turn: Turn) -> Turn:
        """What follows from a turn's objects having been handed over."""
        self.add(pager, turn.then)
        return self._turned(pager, pager.handed_over())

    def close(self, now: float) -> Finished | Failed:
        """Its end: what there is to tell of it."""
        self.is_closed, self.ended = True, now
        seconds = now - self.started if self.started is not None else 0.0
        if self.error is None and self.passed_by:
            lists = " ".join(self.passed_by)
            self.error = BrokenPage(f"Everything was read except the lists of these objects: {lists}")
        if self.error is not None:
            return Failed(self.resource.name, self.error, self.requests, seconds)
        return Finished(self.resource.name, self.requests, seconds)

    def view(self, now: float) -> View:
        """How far it has come."""
        state: State = "queued" if self.started is None else "running"
        if isinstance(self.error, SkipResource):
            state = "skipped"
        elif self.error is not None:
            state = "error"
        elif self.is_closed:
            state = "complete"
        seconds = (now if self.ended is None else self.ended) - self.started if self.started is not None else 0.0
        share = 1.0 if state == "complete" else self.share
        return View(self.resource.name, state, self.requests, self.rows, share, seconds)

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
