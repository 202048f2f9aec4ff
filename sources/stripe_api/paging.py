"""Reads resources with many requests at once, and hands over converted pages in order of their arrival.

    with fetch(client, resources, convert=..., until=now) as pages:
        for one in pages:
            match one:
                case Chunk(): ...      # store it, then apply one.advance to the resource's progress
                case Finished(): ...
                case Failed(): ...     # a SkipResource among them is a product that the account lacks

Threads send requests, parse and convert; the caller's thread stores. What waits for it is bounded, so that fetching
goes on while a package loads and memory does not grow. Knows no column and no database: `convert` is given.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self, TypeAlias

import pyarrow as pa

from sources.stripe_api.catalogue import TABLES
from sources.stripe_api.catalogue_types import Resource, Table
from sources.stripe_api.client import Client
from sources.stripe_api.errors import RequestRefused, RetryLater, StopRun
from sources.stripe_api.lanes import Lane, Task, View, lane_of
from sources.stripe_api.page_windows import Horizon
from sources.stripe_api.parents import ParentIds
from sources.stripe_api.progress import Advance, Progress
from sources.stripe_api.schedule import Schedule
from sources.stripe_api.work import Listing, Pager, Turn

MAX_ROWS = 40_000  # rows that may wait for the consumer
MAX_BYTES = 96 * 2**20  # bytes of Arrow that may wait for the consumer
JOIN = 0.1  # seconds between attempts to end workers that wait for an answer
PATIENCE = 20.0  # seconds to wait for workers to end

Convert: TypeAlias = Callable[[Resource, Sequence[Listing]], Mapping[str, pa.Table]]
"""Objects of a resource, each listing with its own `as_of` and parent, as Arrow tables by table name. Called from
worker threads, one at a time. It may change the objects."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows to store together, with the advance to save after them. `requests` were spent since the last chunk.

    An advance without rows says that there is nothing in what it covers; rows without one are of a second, or of a
    list, that is not read to its end.
    """

    resource: str
    tables: Mapping[str, pa.Table]
    rows: int
    nbytes: int
    requests: int
    advance: Advance | None


@dataclass(frozen=True, slots=True)
class Finished:
    """The resource has been read to its end; all its chunks came before. Its requests and seconds in all."""

    resource: str
    requests: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Failed:
    """The resource came to nothing more: `error` says why. What came before is good, and its progress stands."""

    resource: str
    error: Exception
    requests: int
    seconds: float


Delivery: TypeAlias = Chunk | Finished | Failed


def fetch(
    client: Client,
    resources: Sequence[Resource],
    *,
    convert: Convert,
    until: int,
    since: int = 0,
    progress: Mapping[str, Progress] | None = None,
    parents: ParentIds | None = None,
    tables: Mapping[str, Table] = TABLES,
    workers: int = 16,
    max_rows: int = MAX_ROWS,
    max_bytes: int = MAX_BYTES,
    requests_budget: int | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Fetch:
    """Reads what `progress` (by resource name) leaves of the resources: objects created in `[since, until)`.

    Both bounds are unix seconds on Stripe's clock. Singletons and children are read whole. At most `workers` requests
    are under way at once, and no more are sent than `requests_budget`: resources that it leaves unread neither finish
    nor fail. Raises BadConfiguration where a child is asked for without `parents`.
    """
    known, horizon = progress or {}, Horizon()
    lanes = [lane_of(one, known.get(one.name, Progress()), tables, parents, since, until, horizon) for one in resources]
    schedule = Schedule(lanes, client.limiter, requests_budget)
    return Fetch(client, schedule, convert, workers, max_rows, max_bytes, clock)


class Fetch:
    """A run over the API: iterate it, within `with`. The iteration raises StopRun when nothing more can be done."""

    def __init__(
        self,
        client: Client,
        schedule: Schedule,
        convert: Convert,
        workers: int,
        max_rows: int,
        max_bytes: int,
        clock: Callable[[], float],
    ) -> None:
        self._client, self._schedule, self._convert, self._clock = client, schedule, convert, clock
        self._workers, self._max_rows, self._max_bytes = max(1, workers), max_rows, max_bytes
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)  # something may be there for a worker
        self._news = threading.Condition(self._lock)  # something is there for the consumer
        self._converting = threading.Lock()
        self._to_convert = 0  # workers that convert or wait to
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._alarm = math.inf  # when the first of the idle workers wakes by itself
        self._out: deque[Delivery] = deque()
        self._rows = self._bytes = 0
        self._error: BaseException | None = None
        self._closed = False

    def __enter__(self) -> Self:
        with self._lock:
            for lane in list(self._schedule.lanes):
                self._settle(lane)
            self._hire()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Delivery:
        with self._lock:
            while not self._out and self._error is None and not self._is_over:
                self._news.wait()
            if self._error is not None:
                raise self._error
            if not self._out:
                raise StopIteration
            one = self._out.popleft()
            if isinstance(one, Chunk):
                self._rows -= one.rows
                self._bytes -= one.nbytes
            self._work.notify()
            return one

    def snapshot(self) -> list[View]:
        """How far each resource has come, in the order they were given."""
        with self._lock:
            now = self._clock()
            return [lane.view(now) for lane in self._schedule.lanes]

    @property
    def requests(self) -> int:
        """Requests sent so far, retries too."""
        return self._schedule.sent

    @property
    def is_out_of_budget(self) -> bool:
        """Whether it ended because `requests_budget` was spent."""
        return self._schedule.is_spent

    def close(self) -> None:
        """Ends all workers: those that wait for an answer get none. Nothing more comes; can be called twice."""
        with self._lock:
            self._closed = True
            self._out.clear()
            self._work.notify_all()
            self._news.notify_all()
        deadline = time.monotonic() + PATIENCE
        alive = list(self._threads)
        while alive and time.monotonic() < deadline:
            self._client.abort()
            alive[0].join(JOIN)
            alive = [thread for thread in alive if thread.is_alive()]

    # --- workers -----------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        """What a worker does until there is nothing left."""
        try:
            while (task := self._take()) is not None:
                self._answer(task)
        except BaseException as error:
            self._stop(error)

    def _take(self) -> Task | None:
        """Waits for the next task; None when there will be none."""
        with self._lock:
            while not (self._closed or self._error or self._is_over):
                picked = self._schedule.pick(self._clock()) if self._has_room else math.inf
                if isinstance(picked, Task):
                    self._hire()
                    return picked
                self._rest(picked)
            return None

    @property
    def _has_room(self) -> bool:
        """Whether what comes could be put somewhere, and whether conversion keeps up: it is the processor's share."""
        return self._rows < self._max_rows and self._bytes < self._max_bytes and self._to_convert < 2

    def _rest(self, seconds: float) -> None:
        """Waits for news, or so long; of all idle workers only those with the next alarm wake by themselves."""
        alarm = self._clock() + seconds
        self._idle += 1
        try:
            if alarm < self._alarm:
                self._alarm = alarm
                self._work.wait(seconds)
                if self._alarm == alarm:
                    self._alarm = math.inf
            else:
                self._work.wait()
        finally:
            self._idle -= 1

    def _hire(self) -> None:
        """Sees to it that somebody looks for the next task: an idle worker, or a new one while there may be more."""
        if self._idle:
            self._work.notify()
        elif len(self._threads) < self._workers and not self._is_over:
            thread = threading.Thread(target=self._run, name=f"stripe-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _answer(self, task: Task) -> None:
        """Sends a task's request, and does what follows from the answer."""
        lane = task.lane
        try:
            turn = self._ask(task)
            self._hand_over(lane, task.pager, turn)
        except StopRun as error:
            self._stop(error)
        except Exception as error:
            self._fail(lane, error)
        with self._lock:
            lane.under_way -= 1
            self._settle(lane)
            self._work.notify()

    def _ask(self, task: Task) -> Turn:
        """What follows from a task's answer; nothing yet where it has to be asked again."""
        step, lane = task.step, task.lane
        try:
            answer = self._client.attempt(step.request) if step.request is not None else step.parents()
            with self._lock:
                return Turn() if self._is_given_up(lane) else lane.arrived(task, answer)
        except RetryLater as error:
            delay = self._client.retry_delay(task.attempts, error)
            if delay is None:
                raise
            with self._lock:
                if not self._is_given_up(lane):
                    task.not_before = self._clock() + delay
                    lane.delayed.append(task)
            return Turn()
        except RequestRefused as error:
            with self._lock:
                turn = Turn() if self._is_given_up(lane) else lane.refused(task, error)
            if turn is None:
                raise
            return turn

    def _hand_over(self, lane: Lane, pager: Pager, turn: Turn) -> None:
        """Converts what a turn brought and puts it where the consumer finds it; then what waited for that goes on."""
        while turn.hands_over or turn.then:
            tables = self._converted(lane.resource, turn.listings)
            with self._lock:
                if self._is_given_up(lane):
                    return
                if turn.hands_over:
                    self._put(lane, tables, turn)
                turn = lane.handed_over(pager, turn)

    def _converted(self, resource: Resource, listings: Sequence[Listing]) -> Mapping[str, pa.Table]:
        """One conversion at a time: more would only fight over the interpreter, and hold more pages in memory."""
        if not listings:
            return {}
        with self._lock:
            self._to_convert += 1
        try:
            with self._converting:
                return self._convert(resource, listings)
        finally:
            with self._lock:
                self._to_convert -= 1

    # --- under the lock ----------------------------------------------------------------------------------------------

    def _put(self, lane: Lane, tables: Mapping[str, pa.Table], turn: Turn) -> None:
        rows = sum(table.num_rows for table in tables.values())
        nbytes = sum(table.nbytes for table in tables.values())
        requests = lane.requests - lane.reported
        lane.rows, lane.reported = lane.rows + rows, lane.requests
        self._rows, self._bytes = self._rows + rows, self._bytes + nbytes
        self._tell(Chunk(lane.resource.name, tables, rows, nbytes, requests, turn.advance))

    def _tell(self, one: Delivery) -> None:
        self._out.append(one)
        self._news.notify()

    def _is_given_up(self, lane: Lane) -> bool:
        return self._closed or self._error is not None or lane.error is not None

    def _settle(self, lane: Lane) -> None:
        """Tells of a resource's end once nothing of it is under way."""
        if lane.is_closed or not lane.is_idle or self._closed:
            return
        if lane.pagers and lane.error is None:
            lane.error = RuntimeError(f"the paging of {lane.resource.name} came to a halt; please report it")
        lane.is_closed, lane.ended = True, self._clock()
        self._schedule.drop(lane)
        seconds = lane.ended - lane.started if lane.started is not None else 0.0
        if lane.error is None:
            self._tell(Finished(lane.resource.name, lane.requests, seconds))
        else:
            self._tell(Failed(lane.resource.name, lane.error, lane.requests, seconds))
        if self._is_over:
            self._work.notify_all()
            self._news.notify_all()

    @property
    def _is_over(self) -> bool:
        if self._closed or all(lane.is_closed for lane in self._schedule.lanes):
            return True
        return self._schedule.is_spent and not any(lane.under_way for lane in self._schedule.lanes)

    # --- ends --------------------------------------------------------------------------------------------------------

    def _fail(self, lane: Lane, error: Exception) -> None:
        with self._lock:
            if not self._is_given_up(lane):
                lane.error = error
            lane.clear()

    def _stop(self, error: BaseException) -> None:
        with self._lock:
            if not self._closed and self._error is None:
                self._error = error
            self._work.notify_all()
            self._news.notify_all()
