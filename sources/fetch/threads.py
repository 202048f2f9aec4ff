"""The queues that the threads of a run share: requests, answers, deliveries. Sends and converts nothing.

Callers of a method hold `lock`, except where its docstring says that it waits or takes the lock.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from sources.fetch.pager import Chunk, Delivery, Pager, Turn
from sources.fetch.schedule import Concurrency, ResourceRun, Schedule, Task

if TYPE_CHECKING:
    import pyarrow as pa

PATIENCE = 20.0  # seconds to wait for threads to end
JOIN = 0.05  # seconds between reminders


class WorkerPool:
    """Threads that run `work` until it returns. Callers of all methods but `dismiss` hold the lock.

    The thread that became idle last is woken first, so that no more threads are active than needed. Only one of the
    idle threads waits with a time-out.
    """

    def __init__(self, lock: threading.Lock, work: Callable[[], None], clock: Callable[[], float]) -> None:
        self._lock, self._work, self._clock = lock, work, clock
        self._threads: list[threading.Thread] = []
        self._idle: list[threading.Condition] = []
        self._alarm = math.inf

    def __len__(self) -> int:
        return len(self._threads)

    def hire(self, most: int) -> None:
        """Has a thread look for work: an idle one, or a new one while there are fewer than `most`."""
        if self._idle:
            self.call()
        elif len(self._threads) < most:
            thread = threading.Thread(target=self._work, name=f"stripe-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def call(self) -> None:
        """Wakes one idle thread."""
        if self._idle:
            self._idle.pop().notify()

    def call_all(self) -> None:
        """Wakes all idle threads."""
        while self._idle:
            self.call()

    def rest(self, seconds: float) -> None:
        """Waits until `call`, but not longer than `seconds`. Called by a thread of the pool."""
        alarm, called = self._clock() + seconds, threading.Condition(self._lock)
        self._idle.append(called)
        if alarm < self._alarm:
            self._alarm = alarm
            called.wait(seconds)
            self._alarm = math.inf if self._alarm == alarm else self._alarm
        else:
            called.wait()
        if called in self._idle:
            self._idle.remove(called)

    def dismiss(self, remind: Callable[[], None]) -> None:
        """Waits until all threads have ended, and reminds those that do not. Called without the lock, from outside."""
        deadline = time.monotonic() + PATIENCE
        alive = self._threads
        while alive and time.monotonic() < deadline:
            alive[0].join(JOIN)
            alive = [thread for thread in alive if thread.is_alive()]
            if alive:
                remind()


MAX_ANSWERS = 4  # answers that may wait to be read


class RunQueues:
    """The state of a run. `ask` is the loop of the worker threads, `read` that of the reading thread."""

    def __init__(
        self,
        schedule: Schedule,
        concurrency: Concurrency,
        ask: Callable[[], None],
        read: Callable[[], None],
        max_rows: int,
        max_bytes: int,
        clock: Callable[[], float],
    ) -> None:
        self._schedule, self._concurrency, self._clock = schedule, concurrency, clock
        self._max_rows, self._max_bytes = max_rows, max_bytes
        self.lock = threading.Lock()
        self.workers = WorkerPool(self.lock, ask, clock)
        self.reader = WorkerPool(self.lock, read, clock)
        self._news = threading.Condition(self.lock)  # signals the consumer
        self._asking = 0  # requests under way
        self._answers: deque[tuple[Task, Any]] = deque()
        self._out: deque[Delivery] = deque()
        self._rows = self._bytes = 0  # of what waits for the consumer
        self._error: BaseException | None = None
        self._closed = False

    # --- waiting -----------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Starts the threads. Takes the lock."""
        with self.lock:
            for run in self._schedule.runs:
                self._settle(run)
            self.workers.hire(1)
            self.reader.hire(1)

    def close(self) -> None:
        """Tells all threads to end. Takes the lock."""
        with self.lock:
            self._closed = True
            self._out.clear()
            self._answers.clear()
            self._call_all()

    def stop(self, error: BaseException) -> None:
        """Ends the run with an error, which `next_delivery` raises. Takes the lock."""
        with self.lock:
            if not self._closed and self._error is None:
                self._error = error
            self._call_all()

    def next_delivery(self) -> Delivery:
        """Waits for the next delivery. Raises StopIteration at the end, and the error that stopped the run."""
        with self.lock:
            while not self._out and not self._is_ended:
                self._news.wait()
            if self._error is not None:
                raise self._error
            if not self._out:
                raise StopIteration
            delivery = self._out.popleft()
            if isinstance(delivery, Chunk):
                self._rows -= delivery.rows
                self._bytes -= delivery.nbytes
            self.call()
            return delivery

    def next_task(self) -> Task | None:
        """Waits for the next task of a worker; None at the end."""
        with self.lock:
            while not self._is_ended:
                picked = self._schedule.pick(self._clock()) if self._has_room else math.inf
                if isinstance(picked, Task):
                    self._asking += 1
                    self.workers.hire(self._concurrency.at_once + 1)
                    return picked
                self.workers.rest(picked)
            return None

    def next_answer(self) -> tuple[Task, Any] | None:
        """Waits for the next answer to read; None at the end."""
        with self.lock:
            while not self._is_ended:
                if self._answers:
                    return self._answers.popleft()
                self.reader.rest(math.inf)
            return None

    def cut_short(self) -> tuple[ResourceRun, Pager, Turn] | None:
        """The complete part of a page that is held back, once the budget is spent and the last answer has arrived.

        Otherwise its requests would be lost, and with a budget too small for one page no run would ever advance. Takes
        the lock.
        """
        with self.lock:
            runs = self._schedule.runs
            if self._is_ended or not self._schedule.is_spent or sum(run.under_way for run in runs) > 1:
                return None
            for run in runs:
                if run.error is None and (rest := run.cut_short()) is not None:
                    return run, *rest
            return None

    # --- with the lock held ------------------------------------------------------------------------------------------

    def answered(self, task: Task, answer: Any, waited: float, processor: float) -> None:
        """Queues an answer, or an error, that took `waited` seconds and `processor` seconds of CPU."""
        self._asking -= 1
        if task.step.request is not None:
            self._concurrency.answered(task.endpoint, waited, processor)
        self._answers.append((task, answer))
        self.reader.call()

    def put(self, run: ResourceRun, tables: Mapping[str, pa.Table], rows: int, turn: Turn) -> None:
        """Queues a turn's tables for the consumer; `rows` is the number of their rows without set markers."""
        nbytes = sum(table.get_total_buffer_size() for table in tables.values())
        requests = run.requests - run.reported
        run.rows, run.reported = run.rows + rows, run.requests
        self._rows, self._bytes = self._rows + rows, self._bytes + nbytes
        self._tell(Chunk(run.resource.name, tables, rows, nbytes, requests, turn.advance))

    def done(self, task: Task, processor: float) -> None:
        """Records that an answer has been processed, in `processor` seconds of CPU."""
        self._concurrency.converted(processor)
        task.run.under_way -= 1
        self._settle(task.run)
        self.call()

    def call(self) -> None:
        """Wakes a worker, if there is room for its answer."""
        if self._has_room:
            self.workers.call()

    def fail(self, run: ResourceRun, error: Exception) -> None:
        """Gives a resource up."""
        if not self.is_given_up(run):
            run.error = error
        run.clear()

    def is_given_up(self, run: ResourceRun) -> bool:
        """Whether a resource has been given up."""
        return self._closed or self._error is not None or run.error is not None

    def _settle(self, run: ResourceRun) -> None:
        """Delivers a resource's end once none of its tasks is under way."""
        if not run.is_closed and run.is_idle and not self._closed and self._error is None:
            if run.pagers and run.error is None:
                run.error = RuntimeError(f"the paging of {run.resource.name} stopped before its end; please report it")
            self._schedule.drop(run)
            self._tell(run.close(self._clock()))
        if self._is_over:
            self._call_all()

    def _tell(self, delivery: Delivery) -> None:
        self._out.append(delivery)
        self._news.notify()

    def _call_all(self) -> None:
        self.workers.call_all()
        self.reader.call_all()
        self._news.notify_all()

    @property
    def _has_room(self) -> bool:
        """Whether the queues have room for another answer, and the processor keeps up."""
        is_full = self._rows >= self._max_rows or self._bytes >= self._max_bytes
        return not is_full and self._asking < self._concurrency.at_once and len(self._answers) < MAX_ANSWERS

    @property
    def _is_ended(self) -> bool:
        return self._closed or self._error is not None or self._is_over

    @property
    def _is_over(self) -> bool:
        """Whether all resources have ended, or no request may be sent any more."""
        runs = self._schedule.runs
        if all(run.is_closed for run in runs):
            return True
        return self._schedule.is_spent and not any(run.under_way for run in runs)
