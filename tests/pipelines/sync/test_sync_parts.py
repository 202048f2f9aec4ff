"""The pure parts of a sync: positions, cadences, budgets, settings. No request, no database, no clock."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.commands.syncs import follow
from pipelines.sync.lists import Last, reopened
from pipelines.sync.stripe_api.cadence import Due, due_lists
from pipelines.sync.stripe_api.settings import SyncSettings, read_sync_settings
from sources.changes import ObjectRef
from sources.errors import BadConfiguration, Unreachable
from sources.fetch.limiter import BudgetSpent, Limiter, Spending
from sources.fetch.position import KEPT, Position
from sources.fetch.progress import Progress
from sources.fetch.windows import Window, window
from sources.stripe_api.catalogue import RESOURCES, select

DAY = 86_400

# Runs of a pass: how far the clock has come, and at which second (if any) it is stopped, reading newest first.
RUNS = st.lists(st.tuples(st.integers(1, 400), st.one_of(st.none(), st.integers(0, 2_000))), max_size=8)


@given(runs=RUNS, overlap=st.integers(0, 50))
def test_every_second_up_to_the_position_was_read(runs: list[tuple[int, int | None]], overlap: int) -> None:
    position, now, read = Position(100), 100, set[int]()
    for passed, stop in runs:
        now += passed
        todo = [*position.holes(), *filter(None, [window(position.newest_from(overlap), now)])]
        for each in todo:
            bottom = each.gte if stop is None else max(each.gte, min(stop, each.lt))
            done = window(bottom, each.lt)
            if done is not None:
                read |= set(range(done.gte, done.lt))
            position = Position.from_json(position.cover(done).to_json())
            if bottom > each.gte:
                break
        assert set(range(100, position.reached)) <= read
    todo = [*position.holes(), *filter(None, [window(position.newest_from(overlap), now + 1)])]
    for each in todo:
        position = position.cover(each)
        read |= set(range(each.gte, each.lt))
    assert position.reached == now + 1
    assert set(range(100, now + 1)) <= read


def test_a_position_older_than_thirty_days_is_a_gap() -> None:
    position = Position(0).cover(Window(0, 1_000))
    assert not position.has_gap(1_000 + KEPT - 2 * 3_600)
    assert position.has_gap(1_000 + KEPT)


def test_a_position_keeps_what_is_owed() -> None:
    owed = (
        ObjectRef("customers", ("cus_1",), None, 5, 7),
        ObjectRef("capabilities", ("transfers", "acct_1"), "acct_1", None, 8),
    )
    assert Position.from_json(Position(3).owe(owed).to_json()).owed == owed


def test_old_windows_are_forgotten_but_never_a_hole() -> None:
    now = 2 * KEPT
    whole = Position(0).cover(Window(0, now - 10))
    assert whole.forget(now).covered == (Window(now - KEPT, now - 10),)
    holed = Position(0).cover(Window(0, 50)).cover(Window(60, now - 10))
    assert holed.forget(now).holes() == (Window(50, 60),)


def due(name: str, last: Last | None, now: int, touched: set[str] | None = None) -> list[Due]:
    return due_lists([RESOURCES[name]], {name: last} if last else {}, now, SyncSettings(), touched or set())


def test_events_spare_the_lists_that_they_tell_whole() -> None:
    assert RESOURCES["customers"].covered_by_events
    assert RESOURCES["charges"].covered_by_events
    assert not RESOURCES["balance_transactions"].covered_by_events
    assert not RESOURCES["quotes"].covered_by_events
    assert due("customers", Last(0, "complete"), 100 * DAY) == []


def test_lists_come_round_with_their_cadence() -> None:
    assert due("quotes", Last(0, "complete"), DAY - 1) == []
    assert [listing.reason for listing in due("quotes", Last(0, "complete"), DAY)] == ["cadence"]
    assert due("tax_codes", Last(0, "complete"), 6 * DAY) == []
    assert [listing.reason for listing in due("tax_codes", Last(0, "complete"), 7 * DAY)] == ["cadence"]


def test_what_the_account_lacks_is_asked_for_rarely() -> None:
    assert due("issuing_cards", Last(0, "skipped"), 6 * DAY) == []
    assert len(due("issuing_cards", Last(0, "skipped"), 7 * DAY)) == 1


def test_what_failed_is_read_again_at_once() -> None:
    assert [listing.reason for listing in due("customers", Last(0, "error"), 1)] == ["never finished"]
    assert [listing.reason for listing in due("customers", None, 1)] == ["never finished"]


def test_balance_transactions_follow_the_money() -> None:
    assert due("balance_transactions", Last(0, "complete"), 3_600, {"customers"}) == []
    (one,) = due("balance_transactions", Last(0, "complete"), 3_600, {"charges"})
    assert (one.reason, one.lookback) == ("events", 3_600)


def test_a_lookback_opens_the_end_of_what_was_covered() -> None:
    progress = Progress(covered={"": (Window(0, 100), Window(200, 1_000))})
    opened = reopened(progress, 850)
    assert opened.covered[""] == (Window(0, 100),)
    assert opened.remaining("", 0, 1_100) == (Window(100, 1_100),)
    assert reopened(progress, 10).remaining("", 200, 1_100) == (Window(990, 1_100),)


def test_the_day_of_an_idle_account_stays_within_its_price() -> None:
    """70 lists a day and 24 requests for events make fewer than 3,000 a month."""
    last = {name: Last(0, "complete") for name in RESOURCES}
    lists = due_lists(select(), last, DAY, SyncSettings(), set())
    daily = sum(len(resource.resource.passes) for resource in lists)
    assert 30 * (daily + 24) < 3_000


def test_single_resources_have_settings_of_their_own() -> None:
    settings = read_sync_settings(lookbacks="refund=1.5, payouts=0", cadences="quotes=6")
    assert (settings.lookback("refunds"), settings.lookback("payouts"), settings.lookback("topups")) == (5_400, 0, DAY)
    assert settings.cadence("quotes") == 6 * 3_600
    assert settings.lookback("balance_transactions") == 8 * DAY


@pytest.mark.parametrize(
    "given", [{"lookbacks": "refnd=1"}, {"cadences": "quotes=often"}, {"events_lag": -1}, {"after_sync": "yes"}]
)
def test_settings_that_cannot_work_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(BadConfiguration, match="SYNC__"):
        read_sync_settings(**given)


def test_a_budget_is_never_exceeded() -> None:
    spending = Spending(Limiter(None, None), 2)
    spending.acquire("/v1/events")
    assert spending.try_acquire("/v1/events") == 0.0
    assert (spending.spent, spending.left) == (2, 0)
    for ask in (spending.acquire, spending.try_acquire):
        with pytest.raises(BudgetSpent, match="2 requests"):
            ask("/v1/events")
    assert spending.spent == 2


def test_following_survives_what_may_pass() -> None:
    rounds, slept = list[int](), list[float]()

    def once() -> int:
        rounds.append(len(rounds))
        if len(rounds) == 2:
            raise Unreachable("Stripe could not be reached.")
        if len(rounds) == 4:
            raise KeyboardInterrupt
        return 0

    with pytest.raises(KeyboardInterrupt):
        follow(once, 30.0, slept.append)
    assert (len(rounds), slept) == (4, [30.0, 30.0, 30.0])
