"""The algebra of windows, against sets of whole seconds."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sources.fetch.windows import Window, intersect, merge, seconds, subtract, window

seconds_ = st.integers(min_value=0, max_value=60)
windows_ = st.tuples(seconds_, st.integers(min_value=1, max_value=20)).map(lambda p: Window(p[0], p[0] + p[1]))
sets_ = st.lists(windows_, max_size=8)


def plain(windows: object) -> set[int]:
    return {second for each in windows for second in range(each.gte, each.lt)}  # type: ignore[attr-defined]


def is_normal(windows: tuple[Window, ...]) -> bool:
    return all(older.lt < newer.gte for older, newer in pairwise(windows))


@given(sets_)
def test_merge_holds_the_same_seconds_in_normal_form(windows: list[Window]) -> None:
    merged = merge(windows)
    assert plain(merged) == plain(windows)
    assert is_normal(merged)
    assert merge(merged) == merged
    assert merge(reversed(windows)) == merged


@given(sets_, sets_)
def test_subtract_leaves_exactly_what_is_not_covered(windows: list[Window], covered: list[Window]) -> None:
    left = subtract(windows, covered)
    assert plain(left) == plain(windows) - plain(covered)
    assert is_normal(left)


@given(sets_, sets_)
def test_what_is_left_and_what_is_covered_tile_the_whole(windows: list[Window], covered: list[Window]) -> None:
    left, done = subtract(windows, covered), intersect(windows, covered)
    assert seconds(left) + seconds(done) == seconds(merge(windows))
    assert merge((*left, *done)) == merge(windows)


@given(windows_, st.lists(st.integers(min_value=-5, max_value=90), max_size=6))
def test_splits_tile_the_window_exactly(whole: Window, cuts: list[int]) -> None:
    parts = [whole]
    for cut in cuts:
        for part in list(parts):
            if part.gte < cut < part.lt:
                parts.remove(part)
                parts.extend(part.split(cut))
    parts.sort()
    assert parts[0].gte == whole.gte
    assert parts[-1].lt == whole.lt
    assert all(older.lt == newer.gte for older, newer in pairwise(parts))
    assert merge(parts) == (whole,)


@given(windows_, seconds_)
def test_window_holds_its_first_second_and_not_its_last(one: Window, second: int) -> None:
    assert one.holds(one.gte)
    assert not one.holds(one.lt)
    assert one.holds(second) == (second in plain([one]))


def test_empty_window_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one second"):
        Window(5, 5)
    with pytest.raises(ValueError, match="at least one second"):
        Window(5, 6).split(6)
    assert window(5, 5) is None
    assert window(5, 6) == Window(5, 6)
