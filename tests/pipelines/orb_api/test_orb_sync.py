"""Orb's scheduled runs: what is new, what changes, what is gone; the tables end equal to the account."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.sync.orb_api.lists import Loaded
from simulator.orb.account import Account, Object, moment
from tests import processes
from tests.databases import Database
from tests.pipelines.orb_mirror import OrbMirror

ROOT = Path(__file__).resolve().parents[3]
Made = Callable[..., OrbMirror]
DAY = 86_400
LISTS = ("customers", "subscriptions", "invoices", "invoice_drafts", "items")


def asked(loaded: Loaded | None) -> dict[str, int]:
    assert loaded is not None
    return {status.resource: status.requests for status in loaded.outcome.board.statuses()}


def drafts(account: Account) -> list[Object]:
    return [obj for obj in account.objects("invoices") if obj["status"] == "draft"]


def delete_customer(account: Account, id: str) -> None:
    """With its subscriptions and invoices, as Orb does it: no event tells of it."""
    for table in ("subscriptions", "invoices"):
        for obj in account.objects(table):
            if obj["customer"]["id"] == id:
                account.delete(table, obj["id"])
    account.delete("customers", id)


def test_drafts_that_vanish_or_are_issued_late_are_read_once_after_their_list(orb_mirrored: Made) -> None:
    mirror = orb_mirrored(customers=12)
    account = mirror.sim.account
    assert mirror.load("invoices", "invoice_drafts").unlisted.rows == 0
    vanished, late, *_ = (draft["id"] for draft in drafts(account))
    account.delete("invoices", vanished)
    past = moment(mirror.sim.clock.seconds() - 30 * DAY)
    account.update("invoices", late, {"status": "issued", "invoice_date": past, "issued_at": account.now()})
    mirror.sim.log.clear()
    loaded = mirror.load("invoices", "invoice_drafts")
    assert (loaded.unlisted.rows, loaded.unlisted.deleted) == (2, 1)
    assert mirror.differences(["invoices"]) == []
    assert mirror.load("invoices", "invoice_drafts").unlisted.rows == 0
    deleted = "select count(*) from orb.invoice_line_items where _deleted_at is not null"
    assert mirror.destination.value(deleted) == 1  # of the draft that has vanished


@pytest.mark.long
def test_a_full_refresh_finds_what_orb_has_deleted(orb_mirrored: Made) -> None:
    mirror = orb_mirrored(customers=12)
    account = mirror.sim.account
    mirror.load()
    one, other = (each["id"] for each in account.objects("customers")[:2])
    delete_customer(account, one)
    account.delete("webhook_endpoints", account.objects("webhook_endpoints")[0]["id"])
    loaded = mirror.load("customers", "subscriptions", "invoices", "invoice_drafts", full_refresh=True)
    assert loaded.unlisted.deleted >= 3
    assert mirror.differences(["customers", "subscriptions", "invoices"]) == []
    assert mirror.load(full_refresh=True).unlisted.deleted == 1  # the endpoint, whose list was not read before
    assert mirror.differences() == []
    assert other in {row["id"] for row in mirror.rows("customers", live=True)}


@pytest.mark.long
def test_without_a_log_of_events_a_sync_reads_the_lists_that_are_due(orb_mirrored: Made) -> None:
    mirror = orb_mirrored(customers=10)
    account = mirror.sim.account
    mirror.sim.api.lacks.add("webhook_events")
    mirror.load()
    new = account.create("customers", account.objects("customers")[0] | {"id": "new", "created_at": account.now()})
    assert sum(asked(mirror.sync().lists).values()) == 7  # a window of each list with a filter, three of plans
    assert "so this run only reads lists" in mirror.said[0]
    assert new["id"] in {row["id"] for row in mirror.rows("customers", live=True)}

    subscription, invoice = account.objects("subscriptions")[0], account.objects("invoices")[0]
    account.update("subscriptions", subscription["id"], {"name": "Renamed", "price_intervals": []})
    account.update("invoices", invoice["id"], {"invoice_date": account.now(), "status": "paid"})
    mirror.changes["changes_hours"] = 0.0
    assert {"items", "invoice_drafts"} <= asked(mirror.sync().lists).keys()
    assert mirror.differences() == []
    mirror.changes["changes_hours"] = 24.0
    assert sum(asked(mirror.sync().lists).values()) == 7

    mirror.changes["everything_hours"] = 0.0
    delete_customer(account, new["id"])
    synced = mirror.sync()
    assert synced.lists is not None
    assert synced.lists.unlisted.deleted == 1
    assert mirror.differences() == []
    runs = "select command, count(*) from orb.sync_runs where command like 'orb_sync %' group by 1 order by 1"
    assert mirror.destination.query(runs) == [
        ("orb_sync changes", 1),
        ("orb_sync everything", 1),
        ("orb_sync new", 2),
    ]


def test_events_are_applied_and_an_idle_run_costs_a_request(orb_mirrored: Made) -> None:
    mirror = orb_mirrored(customers=10)
    account = mirror.sim.account
    first, second = account.objects("customers")[:2]
    account.update("customers", first["id"], {"name": "Before"}, "customer.edited")
    mirror.pass_time(3_600)
    mirror.load()
    mirror.sync()
    assert mirror.requests() == 2  # whether the log reaches back, and its newest page

    account.update("customers", second["id"], {"name": "Renamed", "brand_new": 7}, "customer.edited")
    invoice, plan = account.objects("invoices")[0], account.objects("plans")[0]
    account.update("invoices", invoice["id"], {"line_items": invoice["line_items"] * 1}, "invoice.edited")
    account.update("plans", plan["id"], {"prices": plan["prices"][:1]}, "plan.edited")
    account.update("customers", second["id"], {"balance": "5.00"}, "customer.credit_balance_dropped")
    account.update("subscriptions", account.objects("subscriptions")[0]["id"], {}, "subscription.usage_exceeded")
    synced = mirror.sync()
    assert synced.lists is None
    assert synced.events is not None
    assert (synced.events.events, synced.events.believed, mirror.requests()) == (5, 5, 1)
    rows = {row["id"]: row for row in mirror.rows("customers", live=True)}
    assert (rows[second["id"]]["name"], rows[second["id"]]["_source"]) == ("Renamed", "event")
    assert rows[second["id"]]["brand_new"] == 7
    alerts = "select type, subject_type from orb.alert_events order by 1"
    assert mirror.destination.query(alerts) == [
        ("customer.credit_balance_dropped", "customer"),
        ("subscription.usage_exceeded", "subscription"),
    ]
    mirror.sync()
    assert mirror.requests() == 1


@pytest.mark.long
@pytest.mark.parametrize("style", ["standard", "summary"])
def test_payloads_that_are_cut_are_not_believed_and_their_objects_are_read(orb_mirrored: Made, style: str) -> None:
    mirror = orb_mirrored(customers=8)
    account = mirror.sim.account
    account.update("customers", account.objects("customers")[0]["id"], {}, "customer.edited")
    mirror.pass_time(3_600)
    mirror.load()
    account.style = style  # type: ignore[assignment]
    for table, event in (
        ("invoices", "invoice.edited"),
        ("subscriptions", "subscription.edited"),
        ("plans", "plan.edited"),
    ):
        account.update(table, account.objects(table)[0]["id"], {"metadata": {"told": style}}, event)
    gone = account.objects("invoices")[1]["id"]
    account.update("invoices", gone, {"metadata": {}}, "invoice.edited")
    account.delete("invoices", gone)
    events = mirror.sync().events
    assert events is not None
    assert dict(events.doubts) == {"cut payload": 4}
    assert (events.believed, events.retrieved, events.deleted) == (0, 4, 1)
    assert mirror.differences(["invoices", "subscriptions", "plans", "prices"]) == []


def test_a_log_that_no_longer_reaches_back_is_not_relied_on(orb_mirrored: Made) -> None:
    mirror = orb_mirrored(customers=6)
    account = mirror.sim.account
    mirror.load()
    mirror.pass_time(3_600)
    account.update("customers", account.objects("customers")[0]["id"], {"name": "Late"}, "customer.edited")
    synced = mirror.sync()
    assert synced.events is None
    assert "shows no event from before" in mirror.said[0]
    assert synced.lists is not None


@pytest.mark.long
def test_what_a_log_did_not_tell_is_read_by_the_next_lists_although_the_log_reaches_back_again(
    orb_mirrored: Made,
) -> None:
    mirror = orb_mirrored(customers=6)
    account = mirror.sim.account
    mirror.load()
    mirror.pass_time(3_600)
    plan = account.objects("plans")[0]["id"]
    account.update("plans", plan, {"name": "Unheard of"}, "plan.edited")
    mirror.pass_time(3_600)
    assert mirror.sync().events is None
    assert mirror.destination.value("select resync_since is not null from orb.sync_accounts")
    mirror.pass_time(3_600)
    account.update("customers", account.objects("customers")[0]["id"], {"name": "Heard of"}, "customer.edited")
    mirror.pass_time(60)
    synced = mirror.sync("new")  # the log reaches back now
    assert synced.events is not None
    assert synced.lists is not None  # what is new, too: events may not have told of it
    assert mirror.differences() == [f"plans ({plan!r},) differs in name"]
    assert mirror.sync("changes", budget=5).stopped
    mirror.sync("changes")  # goes on where the budget was spent: what was read before that may have been read too early
    assert mirror.destination.value("select resync_since is not null from orb.sync_accounts")
    mirror.sync("changes")
    assert mirror.differences() == []
    assert mirror.destination.value("select resync_since is null from orb.sync_accounts")
    assert mirror.sync("new").lists is None


def test_a_log_that_can_be_read_again_is_read_from_where_lists_were_all_there_was(orb_mirrored: Made) -> None:
    mirror = orb_mirrored(customers=6)
    account = mirror.sim.account
    account.update("customers", account.objects("customers")[0]["id"], {}, "customer.edited")
    mirror.pass_time(3_600)
    mirror.load()
    mirror.sim.api.lacks.add("webhook_events")
    plan = account.objects("plans")[0]["id"]
    account.update("plans", plan, {"name": "Late"}, "plan.edited")
    mirror.pass_time(3_600)
    assert mirror.sync("new").events is None
    mirror.sim.api.lacks.clear()
    synced = mirror.sync("new")
    assert synced.events is not None
    assert synced.events.applied
    assert mirror.differences() == []
    assert mirror.destination.value("select events_status from orb.sync_accounts") == "complete"


@pytest.mark.long
def test_days_of_an_account_end_equal_each_night_that_reads_everything(orb_mirrored: Made) -> None:
    mirror = orb_mirrored(customers=20)
    account, chance = mirror.sim.account, random.Random(3)
    mirror.load()
    for day in range(12):
        mirror.pass_time(DAY)
        for _ in range(6):
            change(account, chance, f"d{day}n{chance.randrange(10**9)}")
        what = ("new", "changes", "everything")[day % 3]
        mirror.sync(what)  # type: ignore[arg-type]
        if what == "everything":
            assert mirror.differences() == [], day


def change(account: Account, chance: random.Random, id: str) -> None:
    """Something that happens in an account, most of it without a trace."""
    customer = chance.choice(account.objects("customers"))
    match chance.randrange(7):
        case 0:
            account.create("customers", customer | {"id": id, "created_at": account.now()}, "customer.created")
        case 1:
            account.update("customers", customer["id"], {"balance": f"{chance.randrange(10**6) / 100:.2f}"})
        case 2:
            one = chance.choice(account.objects("subscriptions"))
            account.update(
                "subscriptions", one["id"], {"price_intervals": one["price_intervals"][: chance.randrange(3)]}
            )
        case 3 if found := drafts(account):
            account.update("invoices", chance.choice(found)["id"], {"status": "issued", "invoice_date": account.now()})
        case 4 if found := drafts(account):
            one = chance.choice(found)
            account.delete("invoices", one["id"])
            account.create("invoices", one | {"id": id, "total": "9.99"})
        case 5 if len(account.objects("customers")) > 5:
            delete_customer(account, customer["id"])
        case _:
            one = chance.choice(account.objects("invoices"))
            if one["status"] in ("issued", "synced"):
                account.update("invoices", one["id"], {"status": "paid", "paid_at": account.now()}, "invoice.edited")


@pytest.mark.long
def test_a_budget_is_kept_and_the_next_runs_go_on_until_everything_is_read(orb_mirrored: Made) -> None:
    mirror = orb_mirrored(customers=40)
    account = mirror.sim.account
    account.update("customers", account.objects("customers")[0]["id"], {}, "customer.edited")
    mirror.pass_time(3_600)
    mirror.load(*LISTS)
    mirror.sync()
    for obj in account.objects("customers")[-1:]:
        delete_customer(account, obj["id"])
    first = account.objects("customers")[0]["id"]
    account.update("customers", first, {"name": "Told"}, "customer.edited")
    mirror.changes["everything_hours"] = 0.0
    stopped = 0
    while (synced := mirror.sync(budget=6)).stopped:
        assert "is spent. Everything that was loaded is kept" in synced.stopped
        assert (synced.what, mirror.requests() <= 6) == ("everything", True)
        assert first in {
            row["id"] for row in mirror.rows("customers", live=True) if row["name"] == "Told"
        }  # events come first
        stopped += 1
        assert stopped < 12
    assert stopped >= 2
    assert mirror.differences(LISTS) == []
    mirror.changes.clear()
    assert (mirror.sync().what, mirror.requests()) == ("new", 1)

    stale = account.objects("subscriptions")[0]["id"]
    account.update("subscriptions", stale, {"name": "Untold"})
    mirror.changes["changes_hours"] = 0.0
    assert mirror.sync(budget=3).stopped
    assert mirror.requests() == 3
    assert mirror.sync().stopped is None
    runs = "select status from orb.sync_runs where command = 'orb_sync changes' order by started_at"
    assert mirror.destination.query(runs) == [("interrupted",), ("complete",)]  # what was cut is still due
    assert mirror.differences(LISTS) == []


@pytest.mark.long
@pytest.mark.parametrize("destination", ["duckdb"], indirect=True)
def test_the_command_syncs_and_says_what_it_has_found(orb_mirrored: Made, destination: Database) -> None:
    mirror = orb_mirrored(customers=4)
    mirror.pass_time(60)

    def run(script: str, *arguments: str) -> tuple[int, str]:
        done = processes.run(str(ROOT / "pipelines" / script), *arguments, cwd=ROOT, env=mirror.environment)
        assert "Traceback" not in done.stderr
        return done.returncode, " ".join(f"{done.stdout} {done.stderr}".split())

    assert run("orb_full.py")[0] == 0
    mirror.sim.account.delete("invoices", drafts(mirror.sim.account)[0]["id"])
    mirror.pass_time(60)
    code, said = run("orb_sync.py")
    assert (code, "This run reads the lists instead" in said, "webhook_endpoints" in said) == (0, True, False), said
    code, said = run("orb_sync.py", "--reads", "changes")
    assert (code, "Rows that no list shows any more: 1 read, 1 deleted." in said) == (0, True), said
    assert mirror.differences() == []
    assert run("orb_sync.py", "--reads", "all")[0] == 2
    mirror.sim.api.lacks.add("license_types")
    assert run("orb_sync.py", "--reads", "everything", "--requests-budget", "400")[0] == 0
    code, said = run("orb_sync.py", "--strict")
    assert (code, "an error with --strict: license_types." in said) == (1, True), said
