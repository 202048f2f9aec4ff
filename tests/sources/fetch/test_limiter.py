"""The limiter under a clock of its own: no test waits."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sources.fetch.limiter import CATCH_UP, JITTER, SHRINK, Limiter

PACE = 1 / (1 + CATCH_UP + JITTER)  # of a limit that is made use of

ENDPOINTS = ("/v1/customers", "/v1/charges", "/v1/invoices/{id}/lines")


class Clock:
    """Seconds that pass only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds


def limiter(clock: Clock, account: float | None, endpoint: float | None, **rates: float) -> Limiter:
    named = {"/" + name.replace("_", "/"): rate for name, rate in rates.items()}
    return Limiter(account, endpoint, rates=named, clock=clock, sleep=clock.sleep)


def warm(limiter: Limiter, clock: Clock, *endpoints: str) -> None:
    """Past the first seconds, in which a limit is approached."""
    for endpoint in endpoints or ENDPOINTS[:2]:
        grants(limiter, clock, endpoint, 5.0)


def most_in_a_second(times: list[float]) -> int:
    return max((sum(start <= t < start + 1.0 for t in times) for start in times), default=0)


def grants(limiter: Limiter, clock: Clock, endpoint: str, seconds: float) -> list[float]:
    """Everything that one greedy caller, who sees all at once, gets in a time."""
    times: list[float] = []
    end = clock.now + seconds
    while clock.now < end:
        wait = limiter.try_acquire(endpoint)
        if wait:
            clock.sleep(wait)
        else:
            times.append(clock.now)
            limiter.succeeded(endpoint)
    return times


@given(
    account=st.integers(1, 120),
    endpoint=st.integers(1, 40),
    asks=st.lists(st.tuples(st.floats(0.0, 0.3), st.sampled_from(ENDPOINTS)), min_size=1, max_size=300),
)
def test_never_more_than_the_limit_in_any_second(account: int, endpoint: int, asks: list[tuple[float, str]]) -> None:
    clock = Clock()
    subject = limiter(clock, account, endpoint)
    granted: list[tuple[float, str]] = []
    for pause, name in asks:
        clock.now += pause
        if subject.try_acquire(name) == 0.0:
            granted.append((clock.now, name))
            subject.succeeded(name)
    assert most_in_a_second([at for at, _ in granted]) <= account
    for name in ENDPOINTS:
        assert most_in_a_second([at for at, of in granted if of == name]) <= endpoint


@pytest.mark.long
@given(limit=st.integers(1, 120), late=st.floats(0.0, CATCH_UP / 2))
def test_limit_is_nearly_used_up_even_by_a_caller_who_wakes_late(limit: int, late: float) -> None:
    clock = Clock()
    subject = limiter(clock, limit, None)
    warm(subject, clock, "/v1/customers")
    times: list[float] = []
    end = clock.now + 10.0
    while clock.now < end:
        if wait := subject.try_acquire("/v1/customers"):
            clock.sleep(wait + late)
        else:
            times.append(clock.now)
            subject.succeeded("/v1/customers")
    assert len(times) >= math.floor(10 * limit * PACE) - 1
    assert most_in_a_second(times) <= limit


def test_requests_are_spread_evenly_over_a_second() -> None:
    clock = Clock()
    subject = limiter(clock, 100, 25)
    assert len(grants(subject, clock, "/v1/customers", 1.0)) == math.ceil(SHRINK * 25 * PACE)
    warm(subject, clock)
    times = grants(subject, clock, "/v1/customers", 1.0)
    assert len(times) in (24, 25)
    assert max(later - earlier for earlier, later in pairwise(times)) < 0.05


def test_endpoint_has_its_own_limit() -> None:
    clock = Clock()
    subject = limiter(clock, 100, 25, v1_files=20)
    assert most_in_a_second(grants(subject, clock, "/v1/files", 5.0)) == 20
    assert most_in_a_second(grants(subject, clock, "/v1/customers", 5.0)) == 25


def test_no_limit_grants_at_once() -> None:
    clock = Clock()
    subject = limiter(clock, None, None)
    assert all(subject.try_acquire("/v1/customers") == 0.0 for _ in range(10_000))


def test_asking_when_takes_nothing() -> None:
    clock = Clock()
    subject = limiter(clock, 10, 10)
    assert [subject.wait("/v1/customers") for _ in range(100)] == [0.0] * 100
    assert subject.try_acquire("/v1/customers") == 0.0
    assert subject.wait("/v1/customers") > 0.0


def test_refusal_for_the_account_slows_every_endpoint() -> None:
    clock = Clock()
    subject = limiter(clock, 100, 25)
    warm(subject, clock)
    clock.sleep(0.1)
    assert subject.try_acquire("/v1/customers") == 0.0
    subject.throttled("/v1/customers", "global-rate")
    assert subject.rate() == pytest.approx(SHRINK * 100 * PACE)
    assert subject.rate("/v1/customers") == pytest.approx(25 * PACE)


@pytest.mark.parametrize("reason", ["endpoint-rate", "resource-specific"])
def test_refusal_for_an_endpoint_leaves_the_others_alone(reason: str) -> None:
    clock = Clock()
    subject = limiter(clock, 100, 25)
    warm(subject, clock)
    clock.sleep(0.1)
    assert subject.try_acquire("/v1/customers") == 0.0
    subject.throttled("/v1/customers", reason)
    assert subject.rate("/v1/customers") == pytest.approx(SHRINK * 25 * PACE)
    assert subject.rate("/v1/charges") == pytest.approx(25 * PACE)
    assert subject.rate() == pytest.approx(100 * PACE)


def test_lock_on_an_object_slows_nothing() -> None:
    clock = Clock()
    subject = limiter(clock, 100, 25)
    warm(subject, clock)
    clock.sleep(0.1)
    assert subject.try_acquire("/v1/customers") == 0.0
    subject.throttled("/v1/customers", None)
    assert subject.rate("/v1/customers") == pytest.approx(25 * PACE)
    assert subject.rate() == pytest.approx(100 * PACE)


def test_refusals_of_one_second_count_once() -> None:
    clock = Clock()
    subject = limiter(clock, 100, 25)
    warm(subject, clock)
    clock.sleep(0.1)
    for _ in range(10):
        clock.sleep(0.05)
        subject.throttled("/v1/customers", "endpoint-rate")
    assert subject.rate("/v1/customers") == pytest.approx(SHRINK * 25 * PACE)


def test_lasting_refusals_shrink_to_a_trickle_but_never_to_nothing() -> None:
    clock = Clock()
    subject = limiter(clock, 100, 25)
    for _ in range(100):
        clock.sleep(1.5)
        subject.throttled("/v1/customers", "endpoint-rate")
    assert 0.0 < subject.rate("/v1/customers") <= 1.0
    assert grants(subject, clock, "/v1/customers", 5.0)


@pytest.mark.parametrize("reason", ["global-rate", "endpoint-rate", "global-concurrency", "endpoint-concurrency"])
def test_budget_recovers(reason: str) -> None:
    clock = Clock()
    subject = limiter(clock, 100, 25)
    for _ in range(5):
        clock.sleep(1.1)
        assert subject.try_acquire("/v1/customers") == 0.0
        subject.throttled("/v1/customers", reason)
    grants(subject, clock, "/v1/customers", 60.0)
    assert len(grants(subject, clock, "/v1/customers", 10.0)) >= 242


def test_unlimited_budget_learns_a_rate_from_a_refusal_and_forgets_it() -> None:
    clock = Clock()
    subject = limiter(clock, None, None)
    for _ in range(200):
        clock.sleep(0.01)
        assert subject.try_acquire("/v1/customers") == 0.0
        subject.succeeded("/v1/customers")
    subject.throttled("/v1/customers", "endpoint-rate")
    assert subject.rate("/v1/customers") == pytest.approx(SHRINK * 100, rel=0.05)
    for _ in range(4000):
        clock.sleep(0.02)
        if subject.try_acquire("/v1/customers") == 0.0:
            subject.succeeded("/v1/customers")
    assert subject.rate("/v1/customers") == math.inf


@pytest.mark.parametrize("reason", ["global-concurrency", "endpoint-concurrency"])
def test_refusal_for_concurrency_lets_fewer_go_at_once(reason: str) -> None:
    clock = Clock()
    subject = limiter(clock, None, None)
    for _ in range(10):
        assert subject.try_acquire("/v1/customers") == 0.0
    subject.throttled("/v1/customers", reason)  # nine are still on their way
    assert subject.try_acquire("/v1/customers") > 0.0
    for _ in range(2):
        subject.succeeded("/v1/customers")
    assert subject.try_acquire("/v1/customers") == 0.0  # the eighth
    assert subject.try_acquire("/v1/customers") > 0.0
    other = subject.try_acquire("/v1/charges")
    assert (other > 0.0) == reason.startswith("global")


def test_request_without_an_answer_frees_its_place() -> None:
    clock = Clock()
    subject = limiter(clock, None, None)
    assert subject.try_acquire("/v1/customers") == 0.0
    subject.throttled("/v1/customers", "endpoint-concurrency")
    assert subject.try_acquire("/v1/customers") == 0.0
    assert subject.try_acquire("/v1/customers") > 0.0
    subject.released("/v1/customers")
    assert subject.try_acquire("/v1/customers") == 0.0


@pytest.mark.parametrize("rival", ["/v1/customers", "/v1/charges"])
def test_waiting_caller_is_not_starved_by_greedy_ones(rival: str) -> None:
    clock = Clock()
    stolen = 0

    def sleep(seconds: float) -> None:
        nonlocal stolen
        clock.sleep(seconds)
        stolen += subject.try_acquire(rival) == 0.0

    subject = Limiter(5.0, 5.0, clock=clock, sleep=sleep)
    assert subject.try_acquire("/v1/customers") == 0.0
    subject.acquire("/v1/customers")
    assert stolen == 0


def test_caller_who_waits_for_a_slow_endpoint_does_not_hold_up_the_others() -> None:
    clock = Clock()
    passed = 0

    def sleep(seconds: float) -> None:
        nonlocal passed
        clock.sleep(min(seconds, 0.05))
        passed += subject.try_acquire("/v1/charges") == 0.0

    subject = Limiter(100.0, 25.0, rates={"/v1/files": 1.0}, clock=clock, sleep=sleep)
    assert subject.try_acquire("/v1/files") == 0.0
    subject.acquire("/v1/files")
    assert passed >= 3


def test_interrupted_caller_leaves_the_queue() -> None:
    clock = Clock()

    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    subject = Limiter(1.0, 1.0, clock=clock, sleep=interrupt)
    subject.acquire("/v1/customers")
    with pytest.raises(KeyboardInterrupt):
        subject.acquire("/v1/customers")
    clock.sleep(2.0)
    assert subject.try_acquire("/v1/customers") == 0.0
