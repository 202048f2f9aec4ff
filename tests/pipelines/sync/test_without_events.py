"""A restricted key that may not read events: lists come round for everything, loudly, and nothing is lost for good."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelines.sync.stripe_api.parts import run_events, run_lists
from pipelines.sync.stripe_api.settings import SyncSettings
from sources.stripe_api.catalogue import TABLES
from tests import processes
from tests.databases import Database
from tests.pipelines.mirror import Mirror

LISTS = ("customers", "coupons", "events")
HOUR, DAY = 3_600, 86_400


@pytest.fixture
def destination(duckdb_path: Path) -> Database:
    """One kind will do: this is about requests."""
    return Database("duckdb", str(duckdb_path))


@pytest.fixture
def denied(mirror: Mirror) -> Mirror:
    """Loaded and synced with the whole key, which is then replaced by one that may not read events."""
    mirror.begin(*LISTS, synced=True)
    mirror.pass_time(DAY)
    mirror.changes["stripe_secret_key"] = mirror.sim.keys.restricted(read=TABLES.keys() - {"events"})
    return mirror


def renamed(mirror: Mirror) -> str:
    id = mirror.sim.account.tables["customers"].shelf.rows()[0].id
    mirror.sim.account.update("customers", id, {"name": "Renamed"})
    return id


def test_new_objects_come_from_their_lists_and_it_says_what_is_not_seen(denied: Mirror) -> None:
    old, new = renamed(denied), denied.sim.make("customers", name="New")
    denied.sim.account.create("customers", new)
    denied.pass_time(HOUR)
    outcome = denied.sync()
    assert outcome.failed == []
    assert "events" in outcome.skipped
    (said,) = denied.said
    assert "may not read events" in said
    assert "rak_event_read" in said
    assert denied.row("customers", new["id"])["name"] == "New"
    assert denied.row("customers", old)["name"] != "Renamed"
    status = "select events_status, events_error is not null from stripe.sync_accounts"
    assert denied.destination.query(status) == [("skipped", True)]


def test_a_key_that_may_again_makes_up_for_what_was_not_seen(denied: Mirror) -> None:
    old = renamed(denied)
    gone = denied.sim.account.tables["coupons"].shelf.rows()[0].id
    denied.sim.account.delete("coupons", gone)
    for _ in range(3):
        denied.pass_time(DAY)
        denied.sync()
    denied.changes.clear()
    outcome = denied.sync()
    assert (outcome.resynced, "events" in outcome.skipped) == (False, False)
    assert denied.row("customers", old)["name"] == "Renamed"
    assert denied.row("coupons", gone)["_deleted_at"] is not None
    assert denied.differences(LISTS) == []
    assert denied.destination.query("select events_status from stripe.sync_accounts") == [("complete",)]


def test_the_check_finds_what_is_not_seen(denied: Mirror) -> None:
    old = renamed(denied)
    denied.pass_time(HOUR)
    denied.sync()
    assert [finding.key for finding in denied.check("customers").findings] == [(old,)]
    assert denied.row("customers", old)["name"] == "Renamed"


def test_lists_come_round_by_the_cadence_and_not_more_often(denied: Mirror) -> None:
    denied.sync()
    denied.pass_time(HOUR)
    denied.forget_requests()
    denied.sync()
    assert denied.requests() <= 2  # the refusal, and Stripe's clock
    denied.pass_time(DAY)
    denied.forget_requests()
    denied.sync()
    assert denied.sim.service.requests["GET /v1/customers"] == 1


def test_a_scheduler_is_told_of_the_lists_that_are_due_then(denied: Mirror) -> None:
    new = denied.sim.make("customers", name="New")
    denied.sim.account.create("customers", new)
    denied.pass_time(HOUR)
    with denied.session("stripe_sync", scope="events") as session:
        outcome, parts = run_events(session, SyncSettings(), "")
    assert not outcome.has_events
    (part,) = (part for part in parts if "customers" in part["RESOURCES"].split(","))
    with denied.session("stripe_sync", scope="lists") as session:
        run_lists(session, SyncSettings(), part["RESOURCES"].split(","), [])
    assert denied.row("customers", new["id"])["name"] == "New"


def test_a_first_sync_lists_everything(mirror: Mirror) -> None:
    mirror.changes["stripe_secret_key"] = mirror.sim.keys.restricted(read=TABLES.keys() - {"events"})
    mirror.pass_time(HOUR)
    assert mirror.sync("customers", "coupons").resynced
    assert mirror.differences(("customers", "coupons")) == []
    mirror.pass_time(HOUR)
    assert "events" in mirror.sync().skipped


def test_the_script_says_it_and_with_strict_it_is_an_error(denied: Mirror, root: Path) -> None:
    environment = denied.environment | {"STRIPE_SECRET_KEY": str(denied.changes["stripe_secret_key"])}
    denied.pass_time(HOUR)
    codes = []
    for options in ([], ["--strict"]):
        ran = processes.run("pipelines/stripe_sync.py", *options, cwd=root, env=environment)
        assert "The key may not read events" in ran.stderr
        assert "Traceback" not in ran.stderr
        assert json.dumps(environment["STRIPE_SECRET_KEY"])[1:-1] not in ran.stderr + ran.stdout
        codes.append(ran.returncode)
    assert codes == [0, 1]
