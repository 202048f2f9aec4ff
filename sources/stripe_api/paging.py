"""Reads resources with many requests at once, and hands over converted pages in order of their arrival.

    with fetch(client, resources, convert=..., until=now) as pages:
        for one in pages:
            match one:
                case Chunk(): ...      # store it, then apply one.advance to the resource's progress
                case Finished(): ...
                case Failed(): ...     # a SkipResource among them is a product that the account lacks

Workers send requests and parse, one thread converts, the caller's stores. What waits for it is bounded, so that
fetching goes on while a package loads and memory does not grow. Knows no column and no database: `convert` is given.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import pyarrow as pa

from sources.stripe_api.catalogue import TABLES
from sources.stripe_api.catalogue_types import Resource, Table
from sources.stripe_api.client import Client
from sources.stripe_api.crew import Crew
from sources.stripe_api.deliveries import Chunk, Convert, Delivery, Failed, Finished
from sources.stripe_api.errors import RequestRefused, RetryLater, StopRun
from sources.stripe_api.lanes import Lane, Task, View, lane_of
from sources.stripe_api.pace import Pace
from sources.stripe_api.page_windows import Horizon
from sources.stripe_api.parents import ParentIds
from sources.stripe_api.progress import Progress
from sources.stripe_api.schedule import Schedule
from sources.stripe_api.work import Pager, Turn

__all__ = ["Chunk", "Convert", "Delivery", "Failed", "Fetch", "Finished", "View", "fetch"]

MAX_ROWS = 40_000  # rows that may wait for the consumer
MAX_BYTES = 96 * 2**20  # bytes of Arrow that may wait for the consumer
MAX_PAGES = 4  # pages that may wait to be converted


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
        self._max_rows, self._max_bytes = max_rows, max_bytes
        self._lock = threading.Lock()
        self._news = threading.Condition(self._lock)  # something is there for the consumer
        self._workers = Crew(self._lock, self._ask_all, clock)
        self._converter = Crew(self._lock, self._convert_all, clock)
        self._pace = Pace(max(1, workers))
        self._asking = 0  # requests under way
        self._to_convert: deque[tuple[Lane, Pager, Turn]] = deque()
        self._out: deque[Delivery] = deque()
        self._rows = self._bytes = 0  # of what waits for the consumer
        self._error: BaseException | None = None
        self._closed = False

    def __enter__(self) -> Self:
        with self._lock:
            for lane in self._schedule.lanes:
                self._settle(lane)
            self._workers.hire(1)
            self._converter.hire(1)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Delivery:
        with self._lock:
            while not self._out and not self._is_ended:
                self._news.wait()
            if self._error is not None:
                raise self._error
            if not self._out:
                raise StopIteration
            one = self._out.popleft()
            if isinstance(one, Chunk):
                self._rows -= one.rows
                self._bytes -= one.nbytes
            if self._has_room:
                self._workers.call()
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
        """Ends all threads: those that wait for an answer get none. Nothing more comes; can be called twice."""
        with self._lock:
            self._closed = True
            self._out.clear()
            self._to_convert.clear()
            self._call_all()
        self._workers.dismiss(self._client.abort)
        self._converter.dismiss(lambda: None)

    # --- workers -----------------------------------------------------------------------------------------------------

    def _ask_all(self) -> None:
        """What a worker does until there is nothing left."""
        try:
            while (task := self._take()) is not None:
                turn = self._ask(task)
                with self._lock:
                    self._follow(task.lane, task.pager, turn)
        except BaseException as error:
            self._stop(error)

    def _take(self) -> Task | None:
        """Waits for the next task; None when there will be none."""
        with self._lock:
            while not self._is_ended:
                picked = self._schedule.pick(self._clock()) if self._has_room else math.inf
                if isinstance(picked, Task):
                    self._asking += 1
                    self._workers.hire(self._pace.at_once + 1)
                    return picked
                self._workers.rest(picked)
            return None

    @property
    def _has_room(self) -> bool:
        """Whether what comes could be put somewhere, and whether the processor keeps up."""
        is_full = self._rows >= self._max_rows or self._bytes >= self._max_bytes
        return not is_full and self._asking < self._pace.at_once and len(self._to_convert) < MAX_PAGES

    def _ask(self, task: Task) -> Turn:
        """What follows from a task's answer; nothing yet where it has to be asked again."""
        lane = task.lane
        try:
            answer = self._answer(task)
            with self._lock:
                return Turn() if self._is_given_up(lane) else lane.arrived(task, answer)
        except StopRun as error:
            self._stop(error)
        except RetryLater as error:
            delay = self._client.retry_delay(task.attempts, error)
            with self._lock:
                if delay is None:
                    self._fail(lane, error)
                elif not self._is_given_up(lane):
                    task.not_before = self._clock() + delay
                    lane.delayed.append(task)
        except RequestRefused as error:
            with self._lock:
                turn = Turn() if self._is_given_up(lane) else lane.refused(task, error)
                if turn is not None:
                    return turn
                self._fail(lane, error)
        except Exception as error:
            with self._lock:
                self._fail(lane, error)
        return Turn()

    def _answer(self, task: Task) -> Any:
        """Sends the request, or loads the parents, that a task is about."""
        request = task.step.request
        started, processor = self._clock(), time.thread_time()
        try:
            return self._client.attempt(request) if request is not None else task.step.parents()
        finally:
            processor = time.thread_time() - processor
            with self._lock:
                self._asking -= 1
                if request is not None:
                    self._pace.answered(task.endpoint, self._clock() - started - processor, processor)

    def _convert_all(self) -> None:
        """What the converting thread does until there is nothing left: one page at a time.

        More at a time would only fight over the interpreter, and Arrow keeps memory for each thread that it works in.
        """
        try:
            while (waiting := self._next_to_convert()) is not None:
                lane, pager, turn = waiting
                tables: Mapping[str, pa.Table] = {}
                processor = time.thread_time()
                try:
                    tables = self._convert(lane.resource, turn.listings) if turn.listings else {}
                except Exception as error:
                    with self._lock:
                        self._fail(lane, error)
                with self._lock:
                    self._pace.converted(time.thread_time() - processor)
                    if self._is_given_up(lane):
                        turn = Turn()
                    else:
                        self._put(lane, tables, turn)
                        turn = lane.handed_over(pager, turn)
                    self._follow(lane, pager, turn)
        except BaseException as error:
            self._stop(error)

    def _next_to_convert(self) -> tuple[Lane, Pager, Turn] | None:
        with self._lock:
            while not self._is_ended:
                if self._to_convert:
                    return self._to_convert.popleft()
                self._converter.rest(math.inf)
            return None

    # --- under the lock ----------------------------------------------------------------------------------------------

    def _follow(self, lane: Lane, pager: Pager, turn: Turn) -> None:
        """Has what a turn brought converted, and what waits for that wait; or ends the lane's task."""
        if turn.hands_over and not self._is_given_up(lane):
            self._to_convert.append((lane, pager, turn))
            self._converter.call()
        else:
            if not self._is_given_up(lane):
                lane.add(pager, turn.then)
            lane.under_way -= 1
            self._settle(lane)
        if self._has_room:
            self._workers.call()

    def _put(self, lane: Lane, tables: Mapping[str, pa.Table], turn: Turn) -> None:
        """Puts a chunk where the consumer finds it."""
        rows = sum(table.num_rows for table in tables.values())
        nbytes = sum(table.nbytes for table in tables.values())
        requests = lane.requests - lane.reported
        lane.rows, lane.reported = lane.rows + rows, lane.requests
        self._rows, self._bytes = self._rows + rows, self._bytes + nbytes
        self._tell(Chunk(lane.resource.name, tables, rows, nbytes, requests, turn.advance))

    def _tell(self, one: Delivery) -> None:
        self._out.append(one)
        self._news.notify()

    def _settle(self, lane: Lane) -> None:
        """Tells of a resource's end once nothing of it is under way."""
        if not lane.is_closed and lane.is_idle and not self._closed and self._error is None:
            if lane.pagers and lane.error is None:
                lane.error = RuntimeError(f"the paging of {lane.resource.name} came to a halt; please report it")
            self._schedule.drop(lane)
            self._tell(lane.close(self._clock()))
        if self._is_over:
            self._call_all()

    def _fail(self, lane: Lane, error: Exception) -> None:
        """Gives a resource up."""
        if not self._is_given_up(lane):
            lane.error = error
        lane.clear()

    def _is_given_up(self, lane: Lane) -> bool:
        return self._closed or self._error is not None or lane.error is not None

    @property
    def _is_ended(self) -> bool:
        return self._closed or self._error is not None or self._is_over

    @property
    def _is_over(self) -> bool:
        """Whether all resources have come to their end, or no request may be sent any more."""
        lanes = self._schedule.lanes
        if all(lane.is_closed for lane in lanes):
            return True
        return self._schedule.is_spent and not any(lane.under_way for lane in lanes)

    def _call_all(self) -> None:
        self._workers.call_all()
        self._converter.call_all()
        self._news.notify_all()

    # --- the end -----------------------------------------------------------------------------------------------------

    def _stop(self, error: BaseException) -> None:
        """Ends the run with an error."""
        with self._lock:
            if not self._closed and self._error is None:
                self._error = error
            self._call_all()
