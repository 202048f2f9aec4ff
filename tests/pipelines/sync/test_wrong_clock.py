"""Clocks that are hours ahead, on both databases: nothing is stored by them, and what was is found and mended."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from io import StringIO

import pytest

from pipelines.loading.run import Order, run
from pipelines.sync.lists import SyncState
from sources.errors import BrokenPage
from sources.fetch.position import Position
from sources.stripe_api.catalogue import select
from sources.stripe_api.provider import STRIPE
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


def test_load_by_a_clock_minutes_ahead_hides_no_later_change(mirrored: Callable[..., Mirror]) -> None:
    mirror = mirrored(now=None, running=True, customers=4)
    mirror.changes = {"max_clock_skew": 600.0}
    mirror.pass_time(540)
    run(mirror.settings, Order("stripe_full", select(["customers"])), STRIPE)
    mirror.sync("customers")
    with mirror.session("stripe_sync") as session:
        position = Position.from_json(session.state.read_account().events_position or {})
    newest = max(row["_as_of"].timestamp() for row in mirror.rows("customers"))
    assert max(newest, position.begin, *(window.lt for window in position.covered)) <= time.time()
    mirror.sim.clock.set(time.time())
    mirror.sim.clock.run()
    changed = mirror.rows("customers")[0]["id"]
    mirror.sim.account.update("customers", changed, {"name": "Changed meanwhile"})
    assert [finding.key for finding in mirror.check("customers").findings] == [(changed,)]
    assert mirror.differences(["customers"]) == []


@pytest.mark.long
@pytest.mark.parametrize("way", ["sync", "check"])
def test_load_by_a_clock_ahead_is_mended(mirror: Mirror, way: str) -> None:
    """As a version that believed any clock has left it."""
    account = mirror.sim.account
    mirror.begin(*LISTS)
    mirror.sync(*LISTS)
    mirror.sim.clock.set(START + HOURS)
    run(mirror.settings, Order("stripe_full", select(LISTS), full_refresh=True), STRIPE)
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
        assert ("customers", (changed,)) in {(finding.table, finding.key) for finding in report.findings}
        assert not mirror.check(*LISTS).future
    mirror.pass_time(120)
    outcome = mirror.sync(*LISTS)
    assert outcome.resynced
    assert mirror.differences(LISTS) == []
    account.update("customers", changed, {"name": "And again"})
    mirror.pass_time(600)
    assert not mirror.sync(*LISTS).resynced
    assert mirror.differences(LISTS) == []


def test_row_without_a_moment_is_mended(mirror: Mirror) -> None:
    mirror.begin("customers")
    id = mirror.rows("customers")[0]["id"]
    mirror.destination.query("update stripe.customers set _as_of = null, name = 'Wrong' where id = ?", [id])
    mirror.pass_time(600)
    report = mirror.check("customers")
    assert report.future == {"customers": 1}
    assert [(finding.key, finding.fields) for finding in report.findings] == [((id,), ("name",))]
    assert mirror.differences(["customers"]) == []


def test_views_and_tables_of_users_are_left_alone(mirror: Mirror) -> None:
    """Such a view has no account, and a view of customers cannot be updated in every database."""
    mirror.begin("customers")
    query = mirror.destination.query
    query("create view stripe.mine as select id, _as_of from stripe.customers")
    query("create view stripe.coupons as select * from stripe.customers")
    query("create table stripe.notes as select id, _account_id, _as_of from stripe.customers")
    query("update stripe.notes set _as_of = null")
    query("update stripe.customers set _as_of = null where id = ?", [mirror.rows("customers")[0]["id"]])
    mirror.pass_time(600)
    assert mirror.check("customers").future == {"customers": 1}
    assert {row["_as_of"] for row in mirror.rows("notes")} == {None}


def test_check_that_found_rows_from_the_future_does_not_say_that_there_is_no_drift(mirror: Mirror) -> None:
    mirror.begin("customers")
    mirror.destination.query("update stripe.customers set _as_of = ?", [datetime(2100, 1, 1, tzinfo=UTC)])
    rows = len(mirror.rows("customers"))
    mirror.pass_time(600)
    said: list[str] = []
    for dry_run in (True, False):
        report, shown = mirror.check("customers", dry_run=dry_run), StringIO()
        report.show(shown)
        said.append(" ".join(shown.getvalue().split()))
        assert (report.has_drift, report.findings) == (True, [])
    assert f"checked, {rows:,} rows were dated in the future, not repaired (--dry-run);" in said[0]
    assert f"checked, {rows:,} rows were dated in the future, repaired;" in said[1]


def test_relisting_that_a_wrong_clock_began_reads_no_row_by_itself(mirror: Mirror) -> None:
    """As it was left by a sync that went by a clock ahead, and was killed when it had read one list."""
    mirror.begin("customers", "products")
    mirror.sync("customers", "products")
    begin = mirror.sim.clock.seconds() + HOURS
    with mirror.session("stripe_sync") as session:
        state = SyncState(session)
        session.save(account={"resync_since": datetime.fromtimestamp(begin, UTC)})
        state.note_listed(["products"], begin)
    mirror.pass_time(600)
    mirror.forget_requests()
    assert mirror.sync("customers", "products").resynced
    asked = [request.path.removeprefix("/v1/") for request in mirror.sim.service.log]
    assert {"customers", "products"} <= set(asked)
    assert [path for path in asked if re.fullmatch("(customers|products)/[^/]+", path)] == []
    assert "used a wrong clock" in mirror.said[-1]
    assert mirror.differences(["customers", "products"]) == []
