"""Which dates of answers are believed. Clocks are injected; nothing waits."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import TYPE_CHECKING

import pytest
from urllib3 import HTTPHeaderDict

from sources.errors import BrokenPage
from sources.fetch.http.clock_guard import ClockGuard
from sources.fetch.limiter import Limiter
from sources.fetch.values import Reply, as_of, date_of
from sources.stripe_api.client.client import Client
from sources.stripe_api.client.settings import ClientSettings

if TYPE_CHECKING:
    from simulator import Simulator

NOW = 1_780_000_000
HOUR = 3_600.0


class Hand:
    """A clock that a test sets."""

    def __init__(self, at: float) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at


def reply(at: float, **headers: str) -> Reply:
    date = format_datetime(datetime.fromtimestamp(at, UTC), usegmt=True)
    return Reply("/v1/customers", 200, HTTPHeaderDict({"Date": date, **headers}), b"", 0.1)


def guard(
    wall: Callable[[], float] | None = None, elapsed: Callable[[], float] | None = None, bound: float = 600.0
) -> ClockGuard:
    return ClockGuard(bound, ClientSettings.api, wall=wall or Hand(NOW), elapsed=elapsed or Hand(0.0))


@pytest.mark.parametrize("difference", [-600.0, -1.0, 0.0, 599.0, 600.0])
def test_date_within_the_bound_is_believed(difference: float) -> None:
    guard().check(reply(NOW + difference))


@pytest.mark.parametrize("difference", [-9 * HOUR, -601.0, 601.0, 5 * HOUR, 253_402_300_799.0 - NOW])
def test_date_that_no_clock_confirms_is_refused(difference: float) -> None:
    with pytest.raises(BrokenPage, match="this machine's clock") as caught:
        guard().check(reply(NOW + difference))
    said = str(caught.value)
    assert "NTP" in said
    assert "SOURCES__STRIPE__MAX_CLOCK_SKEW" in said
    assert ("ahead of" if difference > 0 else "behind") in said


def test_machine_with_a_wrong_clock_believes_what_the_database_confirms() -> None:
    wrong = guard(Hand(NOW - 7 * HOUR))
    wrong.add_witness("the database's clock", NOW)
    wrong.check(reply(NOW + 3))
    with pytest.raises(BrokenPage, match=r"8:00:00 ahead of .*, 1:00:00 ahead of the database's clock, 1:00:00 ahead"):
        wrong.check(reply(NOW + HOUR))


def test_proxy_that_is_wrong_for_a_while_is_refused_for_that_while() -> None:
    wall, elapsed = Hand(NOW), Hand(100.0)
    one = guard(wall, elapsed)
    one.check(reply(NOW))
    for step in (1, 2, 3):
        with pytest.raises(BrokenPage):
            one.check(reply(NOW + step + 4 * HOUR))
    one.check(reply(NOW + 4))


def test_clock_of_the_machine_that_is_set_during_a_run_ends_nothing() -> None:
    wall, elapsed = Hand(NOW), Hand(0.0)
    one = guard(wall, elapsed)
    one.check(reply(NOW))
    wall.at, elapsed.at = NOW - 5 * HOUR, 60.0
    one.check(reply(NOW + 60))


def test_machine_that_slept_ends_nothing() -> None:
    """`elapsed` stands still meanwhile."""
    wall, elapsed = Hand(NOW), Hand(0.0)
    one = guard(wall, elapsed)
    one.check(reply(NOW))
    wall.at, elapsed.at = NOW + 8 * HOUR, 1.0
    one.check(reply(NOW + 8 * HOUR))


def test_without_a_bound_any_date_is_believed() -> None:
    far = NOW + 1_000 * HOUR
    assert as_of(guard(bound=math.inf).check(reply(far))) == far - 2


@pytest.mark.parametrize(("difference", "shown"), [(600, 0), (60, 0), (1, 0), (0, 0), (-1, -1), (-600, -600)])
def test_no_answer_is_dated_later_than_the_clock_that_confirms_it(difference: int, shown: int) -> None:
    assert as_of(guard().check(reply(NOW + difference))) == NOW + shown - 2


@pytest.mark.parametrize(
    ("wall", "database", "shown"), [(-100, 20, 20), (20, -100, 20), (-7 * HOUR, 9, 9), (2 * HOUR, 9, 9)]
)
def test_the_latest_clock_that_confirms_an_answer_bounds_its_date(wall: float, database: float, shown: int) -> None:
    one = guard(Hand(NOW + wall))
    one.add_witness("the database's clock", NOW + database)
    assert as_of(one.check(reply(NOW + 300))) == NOW + shown - 2


def test_the_time_that_a_body_took_makes_no_date_believable() -> None:
    assert as_of(guard(Hand(NOW + 30)).check(reply(NOW + 30), since=30.0)) == NOW - 2


def test_proxy_that_is_further_ahead_each_time_is_not_followed() -> None:
    wall, elapsed = Hand(NOW), Hand(0.0)
    one = guard(wall, elapsed)
    for minute in range(11):
        assert as_of(one.check(reply(NOW + 60 * minute))) == NOW - 2
    for minute in range(11, 60):
        with pytest.raises(BrokenPage, match="ahead of this machine's clock"):
            one.check(reply(NOW + 60 * minute))


@pytest.mark.parametrize("way", [-1, 1])
def test_answers_that_no_clock_confirms_lead_to_no_others(way: int) -> None:
    """After the machine's clock was set wrong, a run goes by the last answers that it had confirmed."""
    wall, elapsed = Hand(NOW), Hand(0.0)
    one = guard(wall, elapsed)
    one.check(reply(NOW))
    wall.at = NOW - way * 5 * HOUR
    assert as_of(one.check(reply(NOW + way * 600))) == NOW + min(0, way * 600) - 2
    with pytest.raises(BrokenPage, match="the earlier answers"):
        one.check(reply(NOW + way * 1_100))


@pytest.mark.parametrize(
    "text",
    [
        "Thu, 28 May 2026 20:26:40 GMT",
        "Thu, 28 May 2026 20:26:40 -0000",
        "Thu, 28 May 2026 22:26:40 +0200",
        "Thursday, 28-May-26 20:26:40 GMT",
        "Thu May 28 20:26:40 2026",
    ],
)
def test_every_form_of_a_date_is_the_same_moment(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    assert date_of(reply(0, Date=text)) == NOW


@pytest.mark.parametrize(("age", "seconds"), [("300", 300), ("0", 0), ("", 0), ("-5", 0), ("soon", 0), ("9" * 40, 0)])
def test_answer_from_a_cache_is_as_old_as_it_says(age: str, seconds: int) -> None:
    assert as_of(reply(NOW, Age=age)) == NOW - 2 - seconds


def test_client_asks_again_until_a_date_is_believed(simulator: Callable[..., Simulator]) -> None:
    sim = simulator(customers=1, now=NOW, running=False)
    sim.clock.set(NOW + 5 * HOUR)
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        sim.clock.set(NOW)

    settings = ClientSettings(sim.key, sim.url, max_clock_skew=600.0)
    with Client(settings, Limiter(None, None), sleep=sleep, wall=Hand(NOW + 0.9)) as client:
        page = client.page("/v1/customers")
    assert len(waits) == 1
    assert page.as_of == NOW - 2
