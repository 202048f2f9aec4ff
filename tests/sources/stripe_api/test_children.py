"""Paging children without threads: whole lists in the parents' order, whatever order the answers come in."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sources.catalogue import Parent, Resource
from sources.errors import ObjectMissing, RequestRefused
from sources.fetch.pager import Listing, Step, Turn
from sources.fetch.parents.child_pager import BREADTH, LONG
from sources.fetch.parents.rows import rows_after
from sources.fetch.progress import Progress, Reached
from sources.fetch.values import Page, Request
from sources.stripe_api.paging.children import ChildPager
from sources.stripe_api.paging.conventions import range_params

CUSTOMERS = Parent("customers", "customer", "path")
METERS = Parent("billing_meters", "id", "path")
TAX_IDS = Resource(
    "customer_tax_ids",
    "/v1/customers/{customer}/tax_ids",
    "tax_ids",
    ("tax_id",),
    "child",
    limit=3,
    parents=(CUSTOMERS,),
)
BALANCES = Resource(
    "customer_balance_transactions",
    "/v1/customers/{customer}/balance_transactions",
    "customer_balance_transactions",
    ("customer_balance_transaction",),
    "child",
    limit=3,
    parents=(CUSTOMERS,),
)
Lists = dict[str, list[str]]


class Family:
    """Lists by parent, answered as Stripe does; a run of a pager over them in an order drawn by lot."""

    def __init__(self, lists: Lists, resource: Resource = BALANCES, seed: int = 0, limit: int = 3) -> None:
        self.lists, self.resource, self.limit, self.chance = lists, resource, limit, random.Random(seed)
        self.known = sorted(lists)
        self.progress = Progress()
        self.handed: list[Listing] = []
        self.asked: list[Request] = []

    def parents(self, parent: Parent, after: str | None) -> Iterator[tuple[str, ...]]:
        return iter([(id,) for id in self.known if after is None or id > after])

    def begin(self) -> None:
        params = (("limit", str(self.limit)),)
        self.pager = ChildPager(self.resource, (params,), self.progress.reached, self.parents, 0, 10**9)
        self.steps = self.pager.begin()

    def run(self, most: int = 10**6) -> Family:
        self.begin()
        for _ in range(most):
            if not self.step():
                break
        return self

    def step(self) -> bool:
        if not self.steps:
            return False
        step = self.steps.pop(self.chance.randrange(len(self.steps)))
        assert sum(step.request is not None for step in self.steps) < BREADTH
        self.follow(self.turn(step))
        return True

    def follow(self, turn: Turn) -> None:
        self.steps += turn.at_once
        while turn.hands_over or turn.then:
            self.handed += [
                Listing(list(listing.objects), listing.as_of, listing.parent_id, listing.whole)
                for listing in turn.listings
            ]
            self.progress = self.progress.apply(turn.advance)
            self.steps += turn.then
            turn = self.pager.handed_over()
            self.steps += turn.at_once

    def turn(self, step: Step) -> Turn:
        if step.request is None:
            return self.pager.turn(step, step.parents())
        try:
            return self.pager.turn(step, self.answer(step.request))
        except RequestRefused as error:
            turn = self.pager.refused(step, error)
            assert turn is not None
            return turn

    def answer(self, request: Request) -> Page:
        self.asked.append(request)
        parent, params = request.path.split("/")[3], dict(request.params)
        if parent not in self.lists:
            raise ObjectMissing("No such customer", param="customer")
        listed, after = self.lists[parent], params.get("starting_after")
        if after is not None and after not in listed:
            raise ObjectMissing("No such transaction", param="starting_after")
        start = listed.index(after) + 1 if after is not None else 0
        rows = listed[start : start + self.limit]
        objects: list[dict[str, Any]] = [{"id": id, "customer": parent} for id in rows]
        return Page(objects, start + self.limit < len(listed), None, 1000, 1, 10, None)

    def got(self) -> Lists:
        found: Lists = defaultdict(list)
        for listing in self.handed:
            assert listing.parent_id is not None
            found[listing.parent_id] += [obj["id"] for obj in listing.objects]
        return dict(found)


def family(sizes: list[int]) -> Lists:
    return {f"cus_{n:04d}": [f"txn_{n}_{k:05d}" for k in range(size)] for n, size in enumerate(sizes)}


sizes_ = st.lists(st.integers(0, 12), max_size=60)
seeds = st.integers(0, 2**32)


@given(sizes_, seeds)
def test_each_parents_list_comes_whole_and_once_in_the_parents_order(sizes: list[int], seed: int) -> None:
    lists = family(sizes)
    run = Family(lists, seed=seed).run()
    assert [listing.parent_id for listing in run.handed] == sorted(lists)
    assert run.got() == lists
    assert all(listing.whole for listing in run.handed)
    assert run.pager.is_done
    assert run.progress.reached.finished


@given(sizes_, seeds, st.integers(0, 40))
def test_killed_run_goes_on_after_the_last_parent_that_was_stored(sizes: list[int], seed: int, steps: int) -> None:
    lists = family(sizes)
    run = Family(lists, seed=seed).run(steps)
    first, run.handed = run.handed, []
    reached = run.progress.reached
    run.run()
    assert not {each.parent_id for each in first} & {each.parent_id for each in run.handed} or reached.finished
    run.handed = [*first, *run.handed]
    assert {parent: set(ids) for parent, ids in run.got().items()} == {
        parent: set(ids) for parent, ids in lists.items()
    }


def test_many_parents_are_handed_over_together() -> None:
    run = Family(family([1] * 400))
    run.begin()
    turns = 0
    follow = run.follow

    def count(turn: Turn) -> None:
        nonlocal turns
        turns += turn.hands_over
        follow(turn)

    run.follow = count  # type: ignore[method-assign]
    while run.step():
        pass
    assert turns == 1
    assert len(run.handed) == 400


@given(st.integers(0, 3), st.integers(0, 3), seeds, st.integers(0, 60))
def test_very_long_list_comes_in_pieces_and_goes_on_in_the_middle(
    before: int, after: int, seed: int, steps: int
) -> None:
    lists = family([2] * before + [LONG * 2 + 700] + [2] * after)
    run = Family(lists, seed=seed, limit=1000).run(steps)
    run.run()
    assert {parent: set(ids) for parent, ids in run.got().items()} == {
        parent: set(ids) for parent, ids in lists.items()
    }
    long = [each for each in run.handed if each.parent_id == f"cus_{before:04d}"]
    assert not any(each.whole for each in long)
    assert all(each.whole for each in run.handed if each not in long)
    assert max(len(each.objects) for each in long) <= LONG + 1000


@given(sizes_, seeds, st.integers(1, 30))
def test_parent_that_has_gone_has_no_list(sizes: list[int], seed: int, moment: int) -> None:
    lists = family([*sizes, 5])
    run = Family(lists, seed=seed)
    run.begin()
    for _ in range(moment):
        run.step()
    gone = run.chance.choice(sorted(lists))
    rest = {parent: ids for parent, ids in lists.items() if parent != gone}
    del lists[gone]
    while run.step():
        pass
    assert {parent: ids for parent, ids in run.got().items() if parent != gone} == rest


@given(seeds, st.integers(1, 12))
def test_cursor_that_has_gone_starts_that_list_again(seed: int, moment: int) -> None:
    lists = family([9, 9, 9])
    run = Family(lists, seed=seed)
    run.begin()
    for _ in range(moment):
        run.step()
    for step in list(run.steps):
        after = dict(step.request.params).get("starting_after") if step.request is not None else None
        if after is not None:
            for ids in lists.values():
                if after in ids:
                    ids.remove(after)
            break
    while run.step():
        pass
    assert {parent: set(ids) >= set(lists[parent]) for parent, ids in run.got().items()} == dict.fromkeys(lists, True)
    assert all(len(set(ids)) == len(ids) for ids in run.got().values())


def test_rows_that_belong_to_no_parent_are_no_set() -> None:
    methods = Resource(
        "customer_payment_methods",
        "/v1/customers/{customer}/payment_methods",
        "payment_methods",
        ("payment_method",),
        "child",
        limit=3,
        parents=(CUSTOMERS,),
    )
    run = Family(family([2, 0, 4]), methods)
    run.run()
    assert [(each.parent_id, each.whole, len(each.objects)) for each in run.handed] == [
        (None, False, 2),
        (None, False, 4),
    ]


# --- the order of parents --------------------------------------------------------------------------------------------

PAIRS = Resource(
    "billing_meter_event_summaries",
    "/v1/billing/meters/{id}/event_summaries",
    "billing_meter_event_summaries",
    ("billing.meter_event_summary",),
    "child",
    parents=(METERS, Parent("customers", "customer", "query")),
    range_params=("start_time", "end_time"),
    passes=((("value_grouping_window", "day"),),),
)


def pair_ids(parent: Parent, after: str | None) -> Iterator[tuple[str, ...]]:
    ids = ["m1", "m2", "m3"] if parent.table == "billing_meters" else ["c1", "c2"]
    return iter([(id,) for id in ids if after is None or id > after])


def test_pairs_come_in_order_and_go_on_after_any_of_them() -> None:
    pairs = [(m, c) for m in ("m1", "m2", "m3") for c in ("c1", "c2")]
    assert [(m[0], c[0]) for m, c in rows_after(PAIRS, pair_ids, None)] == pairs
    for place, pair in enumerate(pairs):
        assert [(m[0], c[0]) for m, c in rows_after(PAIRS, pair_ids, pair)] == pairs[place + 1 :]


def test_request_of_a_pair_carries_both_and_whole_days() -> None:
    pager = ChildPager(PAIRS, PAIRS.passes, Reached(None, False), pair_ids, 1_700_000_000, 1_700_500_000)
    (load,) = pager.begin()
    requests = [step.request for step in pager.turn(load, load.parents()).at_once if step.request is not None]
    assert requests[0].path == "/v1/billing/meters/m1/event_summaries"
    assert dict(requests[0].params) == {
        "value_grouping_window": "day",
        "start_time": str(1_700_006_400),
        "end_time": str(1_700_438_400),
        "customer": "c1",
    }


def test_further_columns_of_the_parent_become_parameters() -> None:
    owners = Resource(
        "financial_connections_account_owners",
        "/v1/financial_connections/accounts/{account}/owners",
        "financial_connections_account_owners",
        ("financial_connections.account_owner",),
        "child",
        parents=(Parent("financial_connections_accounts", "account", "path", also=(("ownership", "ownership"),)),),
    )
    pager = ChildPager(owners, ((),), Reached(None, False), lambda _, after: iter([("fca_1", "fcaowns_1")]), 0, 1)
    (load,) = pager.begin()
    (step,) = [each for each in pager.turn(load, load.parents()).at_once if each.request is not None]
    assert step.request is not None
    assert step.request.path == "/v1/financial_connections/accounts/fca_1/owners"
    assert step.request.params == (("ownership", "fcaowns_1"),)


@pytest.mark.parametrize(
    ("grouping", "since", "until", "bounds"),
    [
        ("day", 1_700_000_000, 1_700_100_000, (1_700_006_400, 1_700_092_800)),
        ("hour", 1_700_000_000, 1_700_099_999, (1_700_002_800, 1_700_096_400)),
        ("", 1_700_000_000, 1_700_100_059, (1_700_000_040, 1_700_100_000)),
        ("day", 1_700_006_401, 1_700_092_799, None),
    ],
)
def test_range_keeps_to_whole_units(grouping: str, since: int, until: int, bounds: tuple[int, int] | None) -> None:
    passes = ((("value_grouping_window", grouping),),) if grouping else ((),)
    expected = (("start_time", str(bounds[0])), ("end_time", str(bounds[1]))) if bounds else ()
    assert range_params(PAIRS, passes, since, until) == expected


def test_empty_range_asks_nothing() -> None:
    pager = ChildPager(PAIRS, PAIRS.passes, Reached(None, False), pair_ids, 1_700_006_401, 1_700_092_799)
    assert pager.begin() == []
    assert pager.is_done
