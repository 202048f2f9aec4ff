"""How many requests are worth having under way, by what they were measured to take."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sources.fetch.schedule import FIRST, SPARE, Concurrency


def after(most: int, waited: float, asking: float, converting: float, times: int = 40) -> Concurrency:
    concurrency = Concurrency(most)
    for _ in range(times):
        concurrency.answered("/v1/customers", waited, asking)
        concurrency.converted(converting)
    return concurrency


@pytest.mark.parametrize(
    ("waited", "at_once"),
    [(0.0, SPARE), (0.003, 1 + SPARE), (0.009, 3 + SPARE), (0.1, 16), (1.0, 16), (3600.0, 16)],
)
def test_as_many_as_the_program_can_deal_with_while_an_answer_is_waited_for(waited: float, at_once: int) -> None:
    assert after(16, waited, asking=0.001, converting=0.002).at_once == at_once


def test_few_before_anything_is_known() -> None:
    assert Concurrency(16).at_once == FIRST
    assert Concurrency(1).at_once == 1


def test_queueing_in_the_program_itself_is_not_latency() -> None:
    concurrency = Concurrency(16)
    for n in range(200):
        concurrency.answered("/v1/customers", 0.002 + 0.05 * (n % 8 > 0), 0.001)
        concurrency.converted(0.002)
    assert concurrency.at_once == 1 + SPARE


def test_slow_endpoint_among_fast_ones_counts() -> None:
    concurrency = Concurrency(16)
    for n in range(200):
        concurrency.answered("/v1/charges" if n % 4 else "/v1/invoices", 0.005 if n % 4 else 0.3, 0.001)
        concurrency.converted(0.002)
    assert concurrency.at_once == 16


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 1e6), st.floats(0, 1e6)), max_size=100), st.integers(1, 64)
)
def test_never_none_and_never_more_than_allowed(answers: list[tuple[str, float, float]], most: int) -> None:
    concurrency = Concurrency(most)
    for endpoint, waited, processor in answers:
        concurrency.answered(endpoint, waited, processor)
        concurrency.converted(processor)
        assert 1 <= concurrency.at_once <= most
