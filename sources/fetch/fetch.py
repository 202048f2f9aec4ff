"""Reads resources with many requests at once, and yields converted pages in the order of their arrival.

    with Fetch(client, schedule, convert, workers) as pages:
        for delivery in pages:
            match delivery:
                case Chunk(): ...      # store it, then apply delivery.advance to the resource's progress
                case Finished(): ...
                case Failed(): ...     # its error is SkipResource if the account lacks the product

Worker threads send requests, one thread parses and converts answers, and the caller's thread stores the result. The
queue between them is bounded: fetching continues while a package loads, and memory stays bounded. Knows no column and
no database: `convert` is a parameter.
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
    """Sends the requests of a run. Thread-safe."""

    @property
    def limiter(self) -> Limiter:
        """The limits that its requests count against."""
        ...

    def send(self, request: Request) -> Reply:
        """The answer, not yet parsed. Raises the tree of `errors.py`."""
        ...

    def parse(self, request: Request, reply: Reply) -> Page:
        """The page in an answer. Raises BrokenPage."""
        ...

    def retry_delay(self, attempts: int, error: RetryLater) -> float | None:
        """Seconds to wait before the next attempt; None for no further attempt. `attempts` were made, the last ended
        with `error`.
        """
        ...

    def abort(self) -> None:
        """Ends the requests under way, which then raise Unreachable."""
        ...


class Fetch:
    """A run over the API: iterate over it inside `with`. The iteration raises StopRun if the run cannot continue."""

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
        """The status of each resource, in the order in which they were passed."""
        with self._queues.lock:
            now = self._clock()
            return [run.status(now) for run in self._schedule.runs]

    @property
    def requests(self) -> int:
        """Requests sent so far, retries included."""
        return self._schedule.sent

    def close(self) -> None:
        """Ends all threads and aborts requests under way. Nothing is delivered afterwards; can be called twice."""
        self._queues.close()
        self._queues.workers.dismiss(self._client.abort)
        self._queues.reader.dismiss(lambda: None)

    # --- workers -----------------------------------------------------------------------------------------------------

    def _ask_all(self) -> None:
        """The loop of a worker thread: sends a request, and leaves the answer to the reading thread."""
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
        """The result of a task's request, or of loading parents: an answer or an error."""
        request = task.step.request
        try:
            return self._client.send(request) if request is not None else task.step.parents()
        except Exception as error:
            return error

    # --- the reader --------------------------------------------------------------------------------------------------

    def _read_all(self) -> None:
        """The loop of the reading thread: processes one answer at a time.

        Several reading threads would only compete for the interpreter. A page is parsed and converted in one go, while
        it is in the processor's cache; and Arrow keeps memory for each thread that uses it.
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
        """Processes an answer: schedules further requests, hands over objects, or schedules another attempt."""
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
        """Converts a turn's objects and queues them for the consumer; then schedules the steps that waited for this."""
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
        """The pager's turn for an answer; an empty one if the request is to be repeated. Raises final errors."""
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
