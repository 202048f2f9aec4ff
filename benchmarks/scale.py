"""Simulates how long scheduled runs over many accounts take, and what limits them. Sends no request.

`python -m benchmarks.scale` prints the table of docs/scale.md. The limiter of loads paces the requests of a part, with
a simulated clock; parts wait for a slot as Airflow's tasks do.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from pipelines.sync.lists import Last
from pipelines.sync.stripe_api.cadence import due_lists
from pipelines.sync.stripe_api.parts import list_parts
from pipelines.sync.stripe_api.settings import SyncSettings
from sources.fetch.limiter import Limiter
from sources.stripe_api.catalogue import CATALOGUE

ACCOUNTS = (1, 10, 100, 1_000, 10_000)
SLOTS = 4  # the default; doubled until the hour's events are applied in half an hour
HALF_AN_HOUR = 1_800.0
RATE = 100 * 0.5  # requests a second of a live account, and the share of it that is used by default

START = 3.0  # CPU seconds of the start of a task: measured, see docs/scale.md
EVENTS, BUSY_EVENTS = 1, 50  # requests for an hour's events: of a quiet account, and of an account with 5,000 events
BUSY = 100  # one in so many accounts is busy
DAY = 86_400


@dataclass(frozen=True, slots=True)
class Run:
    """The cost of a run of the DAG: tasks, seconds until its end, requests, and processors that are busy on average."""

    tasks: int
    seconds: float
    requests: int

    @property
    def processors(self) -> float:
        """The number of processors that the starts of its tasks keep busy."""
        return self.tasks * START / self.seconds


class Clock:
    """A clock in seconds that only `sleep` moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        """Time passes."""
        self.now += seconds


@cache
def seconds_of(requests: int, slots: int) -> float:
    """The seconds that a part takes for its requests in one of so many slots, if each is answered at once."""
    clock = Clock()
    limiter = Limiter(RATE / slots, clock=lambda: clock.now, sleep=clock.sleep)
    for _ in range(requests):
        limiter.acquire("/v1/events")
        limiter.succeeded("/v1/events")
    return clock.now


def run(parts: Iterable[int], slots: int) -> Run:
    """The cost of parts with these numbers of requests, in order. A part begins when a slot is free."""
    free = [0.0] * slots
    tasks = requests = 0
    for part in parts:
        heapq.heapreplace(free, free[0] + START + seconds_of(part, slots))
        tasks, requests = tasks + 1, requests + part
    return Run(tasks, max(free), requests)


def hourly(accounts: int, slots: int) -> Run:
    """The cost of the events of an hour."""
    return run((BUSY_EVENTS if number % BUSY == 0 else EVENTS for number in range(accounts)), slots)


@cache
def lists() -> Sequence[int]:
    """The requests for an account's daily lists, by area: one for each list."""
    last = {resource.name: Last(at=0, status="complete") for resource in CATALOGUE.select()}
    due = due_lists(CATALOGUE.select(), last, DAY, SyncSettings(), ())
    return [
        len(part["RESOURCES"].split(",")) for part in list_parts("", (listing.resource for listing in due), (), None)
    ]


def daily(accounts: int, slots: int) -> Run:
    """The cost of the lists of a day, which are all due in one run, after its events."""
    return run((part for _ in range(accounts) for part in lists()), slots)


def main() -> None:
    """Prints the table."""
    print("                    the hour's events              the day's lists")
    print("accounts  slots     tasks  minutes  requests/s     tasks    hours  requests/s  processors")
    for accounts in ACCOUNTS:
        slots = SLOTS
        while (events := hourly(accounts, slots)).seconds > HALF_AN_HOUR:
            slots *= 2
        day = daily(accounts, slots)
        print(
            f"{accounts:>8,}  {slots:>5}  {events.tasks:>8,} {events.seconds / 60:>8.1f} "
            f"{events.requests / events.seconds:>11.1f}  {day.tasks:>8,} {day.seconds / 3_600:>8.1f} "
            f"{day.requests / day.seconds:>11.1f} {max(events.processors, day.processors):>11.1f}"
        )


if __name__ == "__main__":
    main()
