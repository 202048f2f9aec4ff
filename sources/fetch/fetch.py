"""Reads resources with many requests at once, and hands over converted pages in order of their arrival.

    with Fetch(client, schedule, convert, workers) as pages:
        for page in pages:
            match page:
                case Chunk(): ...      # store it, then apply page.advance to the resource's progress
                case Finished(): ...
                case Failed(): ...     # a SkipResource among them is a product that the account lacks

Workers send requests, one thread parses and converts, the caller's stores. What waits for it is bounded, so that
fetching goes on while a package loads and memory does not grow. Knows no column and no database: `convert` is given.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol, Self

from sources.errors import RequestRefused, RetryLater, StopRun
from sources.fetch.limiter import Limiter
from sources.fetch.pager import Chunk, Convert, Delivery, Failed, Finished, Pager, Turn
from sources.fetch.schedule import Concurrency, ResourceRun, Schedule, Task
from sources.fetch.threads import RunQueues
from sources.fetch.values import Page, Reply, Request, ResourceStatus

__all__ = ["Chunk", "Convert", "Delivery", "Failed", "Fetch", "Finished"]

MAX_ROWS = 40_000  # rows that may wait for the consumer
MAX_BYTES = 24 * 2**20  # bytes of Arrow that may wait for the consumer


class Client(Protocol):
    """What sends the requests of a run, from several threads."""

    @property
    def limiter(self) -> Limiter:
        """The limits that its requests count by."""
        ...

    def send(self, request: Request) -> Reply:
        """The answer, not yet parsed. Raises the tree of `errors.py`."""
        ...

    def parse(self, request: Request, reply: Reply) -> Page:
        """What the answer holds. Raises BrokenPage."""
        ...

    def retry_delay(self, attempts: int, error: RetryLater) -> float | None:
        """Seconds to wait after so many attempts, the last of which ended with this error; None: there is no other."""
        ...

    def abort(self) -> None:
        """Ends the requests that are under way, with Unreachable."""
        ...


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
        concurrency = Concurrency(max(1, workers))
        self._queues = RunQueues(schedule, concurrency, self._ask_all, self._read_all, max_rows, max_bytes, clock)

    def __enter__(self) -> Self:
        self._queues.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Delivery:
        return self._queues.next_delivery()

    def snapshot(self) -> list[ResourceStatus]:
        """How far each resource has come, in the order they were given."""
        with self._queues.lock:
            now = self._clock()
            return [run.status(now) for run in self._schedule.runs]

    @property
    def requests(self) -> int:
        """Requests sent so far, retries too."""
        return self._schedule.sent

    def close(self) -> None:
        """Ends all threads: those that wait for an answer get none. Nothing more comes; can be called twice."""
        self._queues.close()
        self._queues.workers.dismiss(self._client.abort)
        self._queues.reader.dismiss(lambda: None)

    # --- workers -----------------------------------------------------------------------------------------------------

    def _ask_all(self) -> None:
        """What a worker does until there is nothing left: it sends a request, and leaves the answer to the reader."""
        queues = self._queues
        try:
            while (task := queues.next_task()) is not None:
                started, processor = self._clock(), time.thread_time()
                answer = self._answer(task)
                processor = time.thread_time() - processor
                waited = self._clock() - started - processor
                with queues.lock:
                    queues.answered(task, answer, waited, processor)
        except BaseException as error:
            queues.stop(error)

    def _answer(self, task: Task) -> Any:
        """What a task's request, or the loading of parents, has brought: an answer or an error."""
        request = task.step.request
        try:
            return self._client.send(request) if request is not None else task.step.parents()
        except Exception as error:
            return error

    # --- the reader --------------------------------------------------------------------------------------------------

    def _read_all(self) -> None:
        """What the reading thread does until there is nothing left: one answer at a time.

        More at a time would only fight over the interpreter. A page is parsed and converted in one go, while it is in
        the processor's cache; and Arrow keeps memory for each thread that it works in.
        """
        queues = self._queues
        try:
            while (arrived := queues.next_answer()) is not None:
                task, answer = arrived
                processor = time.thread_time()
                self._read(task, answer)
                processor = time.thread_time() - processor
                with queues.lock:
                    queues.done(task, processor)
        except BaseException as error:
            queues.stop(error)

    def _read(self, task: Task, answer: Any) -> None:
        """Does what follows from an answer: further requests, objects to hand over, or another attempt."""
        queues, run = self._queues, task.run
        try:
            self._hand_over(run, task.pager, self._turn(task, answer))
            while (rest := queues.cut_short()) is not None:
                run, pager, turn = rest
                self._hand_over(run, pager, turn)
        except StopRun as error:
            queues.stop(error)
        except Exception as error:
            with queues.lock:
                queues.fail(run, error)

    def _hand_over(self, run: ResourceRun, pager: Pager, turn: Turn) -> None:
        """Converts what a turn brought and puts it where the consumer finds it; then what waited for that goes on."""
        queues = self._queues
        while turn.hands_over or turn.then:
            tables, rows = self._convert(run.resource, turn.listings) if turn.listings else ({}, 0)
            with queues.lock:
                if queues.is_given_up(run):
                    return
                if turn.hands_over:
                    queues.put(run, tables, rows, turn)
                turn = run.handed_over(pager, turn)
                queues.call()

    def _turn(self, task: Task, answer: Any) -> Turn:
        """What a task's pager makes of an answer; nothing yet where it has to be asked again. Raises what is final."""
        queues, run, request = self._queues, task.run, task.step.request
        try:
            if isinstance(answer, Exception):
                raise answer
            found = self._client.parse(request, answer) if request is not None else answer
            with queues.lock:
                turn = Turn() if queues.is_given_up(run) else run.arrived(task, found)
                queues.call()
                return turn
        except RetryLater as error:
            delay = self._client.retry_delay(task.attempts, error)
            if delay is None:
                with queues.lock:
                    without = Turn() if queues.is_given_up(run) else run.gave_up(task, error)
                if without is None:
                    raise
                return without
            with queues.lock:
                if not queues.is_given_up(run):
                    task.not_before = self._clock() + delay
                    run.delayed.append(task)
            return Turn()
        except RequestRefused as error:
            with queues.lock:
                again = Turn() if queues.is_given_up(run) else run.refused(task, error)
            if again is None:
                raise
            return again
