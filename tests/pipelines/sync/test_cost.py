"""What a month costs: the requests of hourly syncs with daily lists, counted by the simulator."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tests.databases import Database
from tests.pipelines.mirror import START, Mirror

if TYPE_CHECKING:
    from simulator import Simulator

HOUR, DAY = 3_600, 86_400
DAYS = int(os.environ.get("COUNTED_DAYS", "1"))


@pytest.mark.long
@pytest.mark.timeout(0)
def test_an_idle_month_costs_fewer_than_3000_requests(simulator: Callable[..., Simulator], postgres_url: str) -> None:
    """The default group: every root list of the API, of which 70 are not told whole by events.

    COUNTED_DAYS=30 counts all of it. Fewer days are counted hour by hour and repeated, with the lists that come round
    once a week on top.
    """
    mirror = Mirror(simulator(seed=1, customers=8, now=START, running=False), Database("postgres", postgres_url))
    mirror.load()
    mirror.sync()
    if DAYS >= 30:
        month = hours(mirror, 720)
    else:
        mirror.pass_time(8 * DAY)
        mirror.sync()  # the week's lists are behind it
        day = hours(mirror, 24)
        mirror.forget_requests()
        mirror.pass_time(7 * DAY)
        mirror.sync()
        weekly = mirror.requests() - (day - 23)
        month = 30 * day + 5 * weekly
        print(f"{day} requests a day, {weekly} more once a week")
    print(f"{month} requests a month")
    assert month < 3_000


def hours(mirror: Mirror, count: int) -> int:
    """Requests of so many hourly syncs, each of which asks for events once."""
    mirror.forget_requests()
    for _ in range(count):
        mirror.pass_time(HOUR)
        mirror.sync()
    assert mirror.sim.service.requests["GET /v1/events"] == count
    return mirror.requests()
