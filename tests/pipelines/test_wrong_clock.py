"""Clocks that are hours ahead, on both databases: nothing is stored by them, and what was is found and mended."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from pipelines.run import Order, run
from sources.stripe_api.catalogue import select
from sources.stripe_api.errors import BrokenPage
from tests.pipelines.mirror import START, Mirror

HOURS = 6 * 3_600
LISTS = ("customers", "subscriptions", "events")


def test_clock_ahead_of_both_others_stores_nothing(mirrored: Callable[..., Mirror]) -> None:
    mirror = mirrored(now=None, running=True, customers=4)
    mirror.changes = {"max_clock_skew": 7_200.0}
    mirror.load("customers")
    assert mirror.differences(["customers"]) == []
    mirror.sim.clock.advance(HOURS)
    with pytest.raises(BrokenPage, match=r"6:\d\d:\d\d ahead of this machine's clock"):
        mirror.load("customers")
    newest = max(row["_as_of"].timestamp() for row in mirror.rows("customers"))
    assert newest < time.time() + 1_800


@pytest.mark.parametrize("way", ["sync", "check"])
def test_load_by_a_clock_ahead_is_mended(mirror: Mirror, way: str) -> None:
    """As a version that believed any clock has left it."""
    account = mirror.sim.account
    mirror.load(*LISTS)
    mirror.sync(*LISTS)
    mirror.sim.clock.set(START + HOURS)
    run(mirror.settings, Order("stripe_full", select(LISTS), full_refresh=True))
    mirror.sync(*LISTS)
    mirror.sim.clock.set(START + 2_000)
    changed, gone, *_ = (row["id"] for row in mirror.rows("customers"))
    account.update("customers", changed, {"name": "Changed meanwhile"})
    account.delete("customers", gone)
    mirror.pass_time(600)
    if way == "check":
        seen = mirror.check(*LISTS, dry_run=True)
        assert seen.future["customers"] > 0
        report = mirror.check(*LISTS)
        assert report.has_drift
        assert ("customers", (changed,)) in {(one.table, one.key) for one in report.findings}
        assert not mirror.check(*LISTS).future
    mirror.pass_time(120)
    outcome = mirror.sync(*LISTS)
    assert outcome.relisted
    assert mirror.differences(LISTS) == []
    account.update("customers", changed, {"name": "And again"})
    mirror.pass_time(600)
    assert not mirror.sync(*LISTS).relisted
    assert mirror.differences(LISTS) == []


def test_row_without_a_moment_is_mended(mirror: Mirror) -> None:
    mirror.load("customers")
    id = mirror.rows("customers")[0]["id"]
    mirror.destination.query("update stripe.customers set _as_of = null, name = 'Wrong' where id = ?", [id])
    mirror.pass_time(600)
    report = mirror.check("customers")
    assert report.future == {"customers": 1}
    assert [(one.key, one.fields) for one in report.findings] == [((id,), ("name",))]
    assert mirror.differences(["customers"]) == []
