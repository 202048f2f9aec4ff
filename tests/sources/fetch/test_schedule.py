"""Paging as a whole without threads: any order of answers, any moment of a kill, against lists in memory."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sources.catalogue import Resource
from sources.errors import RequestRefused
from sources.fetch.limiter import Limiter
from sources.fetch.pager import Horizon
from sources.fetch.progress import Covered, Listed, Progress
from sources.fetch.schedule import ResourceRun, Schedule, Task
from sources.fetch.windows import Window, merge
from sources.stripe_api.paging.plan import resource_run
from tests.sources.model_lists import ModelList, plain, windowed

seconds_ = st.lists(st.integers(0, 400) | st.sampled_from([100, 101, 250]), max_size=60)
seeds = st.integers(0, 2**32)


class Run:
    """A run without threads: answers come in an order drawn by lot, at most `at_once` requests are under way."""

    def __init__(
        self,
        lists: Mapping[str, ModelList],
        resources: list[Resource],
        progress: dict[str, Progress],
        *,
        since: int = 0,
        until: int = 500,
        seed: int = 0,
        at_once: int = 4,
        limiter: Limiter | None = None,
        budget: int | None = None,
    ) -> None:
        self.lists, self.progress, self.chance, self.at_once = lists, progress, random.Random(seed), at_once
        self.limiter = limiter or Limiter(None, None)
        horizon = Horizon(0)
        known = [progress.get(resource.name, Progress()) for resource in resources]
        self.runs = [
            resource_run(resource, before, {}, None, since, until, horizon)
            for resource, before in zip(resources, known, strict=True)
        ]
        self.schedule = Schedule(self.runs, self.limiter, budget)
        self.under_way: list[Task] = []
        self.got: dict[str, list[str]] = {resource.name: [] for resource in resources}
        self.now = 0.0

    def step(self) -> bool:
        """Sends what may be sent, then takes one answer; False when nothing is under way any more."""
        while len(self.under_way) < self.at_once and isinstance(task := self.schedule.pick(self.now), Task):
            self.under_way.append(task)
        if not self.under_way:
            return False
        task = self.under_way.pop(self.chance.randrange(len(self.under_way)))
        self._take(task, task.run)
        return True

    def _take(self, task: Task, run: ResourceRun) -> None:
        assert task.step.request is not None
        name = run.resource.name
        try:
            turn = run.arrived(task, self.lists[name].answer(task.step.request))
        except RequestRefused as error:
            again = run.refused(task, error)
            if again is None:
                raise
            turn = again
        self.limiter.succeeded(task.endpoint)
        while turn.hands_over or turn.then:
            self.got[name] += [obj["id"] for listing in turn.listings for obj in listing.objects]
            self.progress[name] = self.progress.get(name, Progress()).apply(turn.advance)
            turn = run.handed_over(task.pager, turn)
        run.under_way -= 1

    def to_end(self) -> Run:
        """Until nothing is left."""
        while self.step():
            pass
        return self

    def is_complete(self) -> bool:
        return all(not run.pagers and run.is_idle for run in self.runs)


def ids(model: ModelList, since: int = 0, until: int = 500) -> set[str]:
    return {id for id, second in model.objects.items() if since <= second < until}


# --- windows ---------------------------------------------------------------------------------------------------------


@given(seconds_, seeds, st.integers(1, 8), st.integers(1, 5))
def test_every_object_is_handed_over_once(seconds: list[int], seed: int, at_once: int, limit: int) -> None:
    model, progress = ModelList.of(seconds), dict[str, Progress]()
    run = Run({"charges": model}, [windowed(limit=limit)], progress, seed=seed, at_once=at_once).to_end()
    assert run.is_complete()
    assert sorted(run.got["charges"]) == sorted(model.objects)
    assert progress["charges"].covered == {"": (Window(0, 500),)}


@given(seconds_, seeds, st.integers(0, 30))
def test_killed_run_goes_on_where_it_was(seconds: list[int], seed: int, steps: int) -> None:
    model, progress = ModelList.of(seconds), dict[str, Progress]()
    first = Run({"charges": model}, [windowed()], progress, seed=seed)
    for _ in range(steps):
        first.step()
    covered = merge(progress.get("charges", Progress()).covered.get("", ()))
    assert {id for id, second in model.objects.items() if any(window.holds(second) for window in covered)} <= set(
        first.got["charges"]
    )
    second = Run({"charges": model}, [windowed()], progress, seed=seed + 1).to_end()
    assert second.is_complete()
    assert set(first.got["charges"]) | set(second.got["charges"]) == set(model.objects)
    again = Counter(first.got["charges"]) & Counter(second.got["charges"])
    assert not any(window.holds(model.objects[id]) for id in again for window in covered), (
        "what is covered is not read again"
    )


@given(seconds_, seeds, st.integers(0, 500), st.integers(0, 500), st.integers(0, 500))
def test_bounds_and_later_runs_tile_the_range(seconds: list[int], seed: int, a: int, b: int, c: int) -> None:
    since, until, later = sorted((a, b, c))
    model, progress = ModelList.of(seconds), dict[str, Progress]()
    first = Run({"charges": model}, [windowed()], progress, since=since, until=until, seed=seed).to_end()
    assert sorted(first.got["charges"]) == sorted(ids(model, since, until))
    second = Run({"charges": model}, [windowed()], progress, since=since, until=later, seed=seed).to_end()
    assert sorted(second.got["charges"]) == sorted(ids(model, until, later))
    third = Run({"charges": model}, [windowed()], progress, until=500, seed=seed).to_end()
    assert sorted(third.got["charges"]) == sorted(ids(model, 0, since) | ids(model, later, 500))
    model.asked.clear()
    assert not Run({"charges": model}, [windowed()], progress, seed=seed).to_end().got["charges"]
    assert not model.asked


@given(seconds_, seeds, st.lists(st.integers(1, 25), max_size=4))
def test_objects_deleted_under_way_lose_no_other(seconds: list[int], seed: int, moments: list[int]) -> None:
    model, progress = ModelList.of(seconds), dict[str, Progress]()
    run = Run({"charges": model}, [windowed()], progress, seed=seed)
    alive = dict(model.objects)
    for step in range(200):
        if step in moments and run.got["charges"]:
            gone = run.got["charges"][-1]  # what the next page would begin after
            model.objects.pop(gone, None)
            alive.pop(gone, None)
        if not run.step():
            break
    assert run.is_complete()
    assert set(alive) <= set(run.got["charges"])
    assert progress["charges"].covered == {"": (Window(0, 500),)}


@given(seconds_, seeds)
def test_list_without_order_is_read_whole_before_it_counts(seconds: list[int], seed: int) -> None:
    model, progress = ModelList.of(seconds), dict[str, Progress]()
    resource = windowed(newest_first=False)
    run = Run({"charges": model}, [resource], progress, seed=seed)
    while run.step():
        assert progress.get("charges", Progress()).covered.get("", ()) in ((), (Window(0, 500),))
    assert sorted(run.got["charges"]) == sorted(model.objects)
    assert progress["charges"].covered == {"": (Window(0, 500),)}


def test_second_with_more_than_a_page_counts_only_after_its_last_object() -> None:
    model, progress = ModelList.of([100] * 10 + [50]), dict[str, Progress]()
    run = Run({"charges": model}, [windowed(limit=3)], progress, at_once=1)
    for _ in range(3):
        run.step()
    assert len(run.got["charges"]) == 9
    assert progress["charges"].covered == {"": (Window(101, 500),)}
    run.to_end()
    assert sorted(run.got["charges"]) == sorted(model.objects)


def test_small_list_costs_no_request_more_than_it_has_pages() -> None:
    model = ModelList.of(range(0, 9, 3))
    Run({"charges": model}, [windowed(limit=3)], {}, at_once=8).to_end()
    assert len(model.asked) == 1
    assert "created[gte]" not in dict(model.asked[0].params)


def test_empty_list_costs_one_request() -> None:
    model, progress = ModelList(), dict[str, Progress]()
    Run({"charges": model}, [windowed()], progress, at_once=8).to_end()
    assert len(model.asked) == 1
    assert progress["charges"].covered == {"": (Window(0, 500),)}


@pytest.mark.long
def test_big_list_is_divided_and_wastes_few_requests() -> None:
    chance = random.Random(1)
    model = ModelList.of(chance.randrange(500_000, 1_000_000) for _ in range(20_000))
    resource = windowed(limit=100)
    run = Run({"charges": model}, [resource], {}, until=1_000_000, at_once=8)
    widest = 0
    while run.step():
        widest = max(widest, len(run.under_way))
    assert widest == 7
    assert len(run.got["charges"]) == 20_000
    assert len(model.asked) <= 220


def test_passes_are_separate_lists() -> None:
    model, progress = ModelList.of([1, 2, 3]), dict[str, Progress]()
    resource = windowed(passes=((("active", "true"),), (("active", "false"),)))
    Run({"charges": model}, [resource], progress).to_end()
    assert progress["charges"].covered == {"active=true": (Window(0, 500),), "active=false": (Window(0, 500),)}


# --- lists without `created` -----------------------------------------------------------------------------------------


@given(seconds_, seeds, st.integers(0, 20), st.integers(0, 12))
def test_list_without_windows_goes_on_after_a_kill(seconds: list[int], seed: int, steps: int, more: int) -> None:
    model, progress = ModelList.of(seconds), dict[str, Progress]()
    first = Run({"quotes": model}, [plain()], progress, seed=seed)
    for _ in range(steps):
        first.step()
    for _ in range(more):
        model.add(450)
    second = Run({"quotes": model}, [plain()], progress, seed=seed).to_end()
    assert second.is_complete()
    assert set(first.got["quotes"]) | set(second.got["quotes"]) == set(model.objects)
    third = Run({"quotes": model}, [plain()], progress, seed=seed).to_end()
    if model.objects:
        assert third.got["quotes"] == []


@given(seconds_, st.integers(0, 12), st.booleans())
def test_later_run_asks_only_for_what_is_newer(seconds: list[int], more: int, is_bookmark_gone: bool) -> None:
    model, progress = ModelList.of([*seconds, 400]), dict[str, Progress]()
    Run({"quotes": model}, [plain()], progress).to_end()
    newer = {model.add(450) for _ in range(more)}
    if is_bookmark_gone:
        del model.objects[str(progress["quotes"].listed[""].top)]
    second = Run({"quotes": model}, [plain()], progress).to_end()
    assert set(second.got["quotes"]) == (set(model.objects) if is_bookmark_gone else newer)
    third = Run({"quotes": model}, [plain()], progress).to_end()
    assert third.got["quotes"] == [] or not model.objects


@given(seconds_, st.integers(0, 500), st.integers(0, 500))
def test_list_without_windows_keeps_to_the_bounds(seconds: list[int], a: int, b: int) -> None:
    since, until = sorted((a, b))
    model, progress = ModelList.of(seconds), dict[str, Progress]()
    first = Run({"quotes": model}, [plain()], progress, since=since, until=until).to_end()
    assert set(first.got["quotes"]) == ids(model, since, until)
    second = Run({"quotes": model}, [plain()], progress, since=0, until=500).to_end()
    assert set(first.got["quotes"]) | set(second.got["quotes"]) == set(model.objects)


@given(seconds_, st.integers(1, 12))
def test_objects_deleted_under_way_lose_no_other_of_a_plain_list(seconds: list[int], moment: int) -> None:
    model, progress = ModelList.of(seconds), dict[str, Progress]()
    run = Run({"quotes": model}, [plain()], progress)
    for _ in range(moment):
        run.step()
    if run.got["quotes"]:
        del model.objects[run.got["quotes"][-1]]
    run.to_end()
    assert run.is_complete()
    assert set(model.objects) <= set(run.got["quotes"])


def test_cursor_that_has_gone_costs_one_request_not_the_list() -> None:
    model = ModelList.of(range(60))
    run = Run({"quotes": model}, [plain(limit=3)], {})
    gone = 0
    while run.step():
        if run.got["quotes"] and gone < 10:
            model.objects.pop(run.got["quotes"][-1], None)
            gone += 1
    assert run.is_complete()
    assert len(run.got["quotes"]) == len(set(run.got["quotes"])) == 60
    assert len(model.asked) <= 20 + 10


def test_list_without_order_is_read_again_whole() -> None:
    model, progress = ModelList.of([1, 2, 3, 4]), dict[str, Progress]()
    resource = plain(newest_first=False)
    Run({"quotes": model}, [resource], progress).to_end()
    assert progress["quotes"].listed[""] == Listed("", None, None, True, 0)
    assert sorted(Run({"quotes": model}, [resource], progress).to_end().got["quotes"]) == sorted(model.objects)


# --- who goes first --------------------------------------------------------------------------------------------------


def test_biggest_resource_does_not_come_last_alone() -> None:
    chance = random.Random(2)
    sizes = {"charges": 6_000, "customers": 3_000, "refunds": 1_000}
    lists = {name: ModelList.of(chance.randrange(0, 10**6) for _ in range(size)) for name, size in sizes.items()}
    run = Run(lists, [windowed(name, limit=100) for name in sizes], {}, until=10**6, at_once=6)
    ends: dict[str, int] = {}
    step = 0
    while run.step():
        step += 1
        for each in run.runs:
            if each.is_idle and not each.pagers:
                ends.setdefault(each.resource.name, step)
    *_, last_but_one, last = sorted(ends.values())
    assert last_but_one > 0.9 * last


def test_small_resources_are_not_kept_waiting_by_a_big_one() -> None:
    chance = random.Random(3)
    lists = {"charges": ModelList.of(chance.randrange(0, 10**6) for _ in range(5_000))}
    lists |= {f"small_{n}": ModelList.of([n]) for n in range(20)}
    run = Run(lists, [windowed(name, limit=100) for name in lists], {}, until=10**6, at_once=4)
    for _ in range(40):
        run.step()
    assert all(run.got[f"small_{n}"] for n in range(20))


def test_window_is_not_divided_while_its_endpoint_has_no_room() -> None:
    chance = random.Random(4)
    model = ModelList.of(chance.randrange(0, 10**6) for _ in range(5_000))
    clock = [0.0]
    limiter = Limiter(None, 10.0, clock=lambda: clock[0])
    run = Run({"charges": model}, [windowed(limit=100)], {}, until=10**6, at_once=8, limiter=limiter)
    for _ in range(200):
        clock[0] += 0.11
        run.now = clock[0]
        run.step()
        assert len(run.runs[0].windows) <= 2
    assert len(model.asked) >= 50


def test_budget_is_not_exceeded() -> None:
    model, progress = ModelList.of(range(100)), dict[str, Progress]()
    run = Run({"charges": model}, [windowed()], progress, budget=7).to_end()
    assert len(model.asked) == 7
    assert not run.is_complete()
    assert run.schedule.is_spent
    rest = Run({"charges": model}, [windowed()], progress).to_end()
    assert set(run.got["charges"]) | set(rest.got["charges"]) == set(model.objects)


def test_failed_attempt_waits_for_its_time_and_others_go_on() -> None:
    lists = {"charges": ModelList.of([1]), "refunds": ModelList.of([2])}
    run = Run(lists, [windowed("charges"), windowed("refunds")], {})
    task = run.schedule.pick(0.0)
    assert isinstance(task, Task)
    task.run.under_way -= 1
    task.not_before = 5.0
    task.run.delayed.append(task)
    other = run.schedule.pick(1.0)
    assert isinstance(other, Task)
    assert other.run is not task.run
    assert run.schedule.pick(1.0) == pytest.approx(4.0)
    assert run.schedule.pick(5.0) is task
    assert run.schedule.pick(5.0) == math.inf


def test_share_of_the_windows_that_is_covered_grows_to_one() -> None:
    chance = random.Random(5)
    model = ModelList.of(chance.randrange(0, 10**6) for _ in range(3_000))
    run = Run({"charges": model}, [windowed(limit=100)], {}, until=10**6)
    shares = [run.runs[0].share]
    while run.step():
        shares.append(run.runs[0].share)
    known = [share for share in shares if share is not None]
    assert known[0] == 0.0
    assert known[-1] == 1.0
    assert all(0.0 <= share <= 1.0 for share in known)


def test_progress_of_one_pass_covers_its_windows_only() -> None:
    progress = Progress().apply(Covered("active=true", Window(0, 500)))
    assert progress.remaining("active=true", 0, 500) == ()
    assert progress.remaining("active=false", 0, 500) == (Window(0, 500),)
