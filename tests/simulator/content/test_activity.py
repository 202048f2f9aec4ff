"""The account that goes on living."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.simulator.conftest import NOON, Reader

TOLD = ("customers", "subscriptions", "invoices", "charges", "coupons", "refunds")


def test_it_changes_everything_there_is_to_change(simulate: Callable[..., Reader]) -> None:
    get = simulate(customers=3)
    activity, done = get.sim.activity(seed=5), Counter[str]()
    for number in range(400):
        done[activity.step()] += 1
        get.sim.clock.advance(number % 3)
    assert len(done) == 14
    assert get.sim.account.deleted["customers"]
    assert get.sim.account.deleted["coupons"]
    assert get.sim.account.deleted["subscription_items"]


@pytest.mark.parametrize("steps", [0, 300])
def test_the_newest_event_of_an_object_shows_how_it_stands(simulate: Callable[..., Reader], steps: int) -> None:
    get = simulate(customers=40)
    activity = get.sim.activity(seed=6)
    for _ in range(steps):
        activity.step()
        get.sim.clock.advance(1)
    account, latest = get.sim.account, dict[tuple[str, str], tuple[str, dict[str, Any]]]()
    for event in account.objects("events"):
        shown = event["data"]["object"]
        latest[shown["object"], shown["id"]] = event["type"], shown
    checked = Counter[str]()
    for table, collection in account.tables.items():
        for row in collection if table != "events" else ():
            object = account.show(table, row.id, row.parent)
            if (object["object"], row.id) in latest:
                type, shown = latest[object["object"], row.id]
                assert shown == object
                assert not type.endswith(".deleted") or table == "subscriptions"
                checked[table] += 1
            elif table in TOLD and not row.hidden:
                assert row.created <= NOON - 30 * 86400
    assert len(checked) > 15


def test_the_same_seed_lives_the_same_life(simulate: Callable[..., Reader]) -> None:
    lives = []
    for _ in range(2):
        sim = simulate(customers=3).sim
        activity = sim.activity(seed=7)
        lives.append(([activity.step() for _ in range(50)], sim.account.truth()))
    assert lives[0] == lives[1]
