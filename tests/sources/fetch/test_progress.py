"""Progress: nothing that was not handed over counts as covered, and its JSON form says the same."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sources.fetch.progress import Advance, Covered, Listed, Progress, Reached, pass_key
from sources.fetch.windows import Window, merge, seconds

keys = st.sampled_from(["", "active=true", "active=false"])
ids = st.text(min_size=1, max_size=8)
windows = st.tuples(st.integers(0, 50), st.integers(1, 20)).map(lambda p: Window(p[0], p[0] + p[1]))
covered = st.builds(Covered, keys, windows)
listed = st.builds(
    Listed, keys, st.none() | ids, st.none() | ids, st.booleans(), st.integers(min_value=0, max_value=2**33)
)
parents = st.lists(ids, min_size=1, max_size=2).map(tuple)
reached = st.builds(Reached, st.none() | parents, st.booleans(), st.none() | st.tuples(parents, ids))
advances: st.SearchStrategy[list[Advance]] = st.lists(covered | listed | reached, max_size=12)


def after(advances: list[Advance]) -> Progress:
    progress = Progress()
    for advance in advances:
        progress = progress.apply(advance)
    return progress


@given(advances)
def test_json_form_gives_the_same_progress(some: list[Advance]) -> None:
    progress = after(some)
    assert Progress.from_json(json.loads(json.dumps(progress.to_json()))) == progress


@given(st.lists(covered, max_size=12), st.randoms(use_true_random=False))
def test_windows_count_in_whatever_order_they_are_stored(some: list[Covered], random: object) -> None:
    shuffled = list(some)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert after(list(some)) == after(list(shuffled))


@given(advances)
def test_storing_a_page_twice_changes_nothing(some: list[Advance]) -> None:
    once = after(some)
    windows_again: list[Advance] = [advance for advance in some if isinstance(advance, Covered)]
    assert after([*some, *windows_again]) == once


@given(advances, keys, st.integers(0, 60), st.integers(0, 60))
def test_what_remains_and_what_is_covered_tile_the_range(some: list[Advance], key: str, since: int, until: int) -> None:
    progress = after(some)
    left = progress.remaining(key, since, until)
    assert all(since <= each.gte and each.lt <= until for each in left)
    asked = {second for each in left for second in range(each.gte, each.lt)}
    had = {s for a in some if isinstance(a, Covered) and a.key == key for s in range(a.window.gte, a.window.lt)}
    assert asked == set(range(since, until)) - had


@given(st.lists(windows, max_size=8))
def test_later_run_asks_only_for_what_is_newer(some: list[Window]) -> None:
    progress = after([Covered("", Window(0, 100)), *(Covered("", each) for each in some)])
    assert progress.remaining("", 0, 130) == (Window(100, 130),)
    assert progress.remaining("", 0, 100) == ()
    assert seconds(merge(progress.covered[""])) == 100


def test_pages_without_an_advance_change_nothing() -> None:
    progress = after([Covered("", Window(0, 100))])
    assert progress.apply(None) == progress


def test_passes_are_known_by_their_parameters() -> None:
    assert pass_key(()) == ""
    assert pass_key((("active", "true"),)) == "active=true"
    assert pass_key((("statuses[0]", "open"), ("statuses[1]", "closed"))) == "statuses[0]=open&statuses[1]=closed"


@pytest.mark.parametrize(
    "value", [{}, {"covered": {}}, {"covered": {"": [[5, 5]]}, "listed": {}, "reached": [None, False, None]}]
)
def test_broken_json_is_refused(value: dict[str, object]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        Progress.from_json(value)
