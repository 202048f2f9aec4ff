"""Threads that look for work: hired while there is more of it than hands, asleep while there is none."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

PATIENCE = 20.0  # seconds to wait for threads to end
JOIN = 0.05  # seconds between reminders


class Crew:
    """Threads that run `work` until it returns. All methods but `dismiss` are called with the lock held.

    The one who rested last is called first, so that no more threads are busy than have to be; of those who rest only
    one keeps an eye on the clock.
    """

    def __init__(self, lock: threading.Lock, work: Callable[[], None], clock: Callable[[], float]) -> None:
        self._lock, self._work, self._clock = lock, work, clock
        self._threads: list[threading.Thread] = []
        self._idle: list[threading.Condition] = []
        self._alarm = math.inf

    def __len__(self) -> int:
        return len(self._threads)

    def hire(self, most: int) -> None:
        """Sees to it that somebody looks for work: one who rests, or somebody new while there are fewer than `most`."""
        if self._idle:
            self.call()
        elif len(self._threads) < most:
            thread = threading.Thread(target=self._work, name=f"stripe-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def call(self) -> None:
        """Has one who rests look again."""
        if self._idle:
            self._idle.pop().notify()

    def call_all(self) -> None:
        """Has everybody look again."""
        while self._idle:
            self.call()

    def rest(self, seconds: float) -> None:
        """Waits to be called, or so long. Called by a thread of the crew."""
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
