"""The consistency check of Orb's tables: what differs is found, named and repaired, and nothing else is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.check.report import CheckReport
from pipelines.commands.orb_report import orb_session
from simulator.orb.account import moment
from tests import processes
from tests.databases import Database
from tests.pipelines.orb_api.test_orb_sync import DAY, delete_customer, drafts
from tests.pipelines.orb_mirror import OrbMirror

ROOT = Path(__file__).resolve().parents[3]
Made = Callable[..., OrbMirror]


def drifts(report: CheckReport) -> set[tuple[str, str, str]]:
    return {(finding.table, finding.key[0], finding.drift) for finding in report.findings}


def test_equal_tables_have_no_drift_and_cost_their_pages(orb_mirrored: Made) -> None:
    """No row of a table that several lists fill is read once more: invoices and drafts, prices of plans and add-ons."""
    mirror = orb_mirrored(customers=8)
    mirror.load()
    report = mirror.check()
    assert (report.findings, report.incomplete, report.skipped) == ([], {}, {})
    assert report.unlisted.total() == 0
    assert report.requests == mirror.requests() <= 21
    for table in ("customers", "invoice_line_items", "subscription_price_intervals", "prices"):
        assert report.checked[table] == len(mirror.rows(table, live=True)) > 0


@pytest.mark.long
def test_every_kind_of_drift_is_found_named_and_repaired(orb_mirrored: Made) -> None:
    mirror = orb_mirrored(customers=12)
    account, query = mirror.sim.account, mirror.destination.query
    mirror.load()
    lost, wrong, dead, gone = (row["id"] for row in mirror.rows("customers", live=True)[:4])
    price, metric = mirror.rows("prices", live=True)[0]["id"], mirror.rows("billable_metrics", live=True)[0]["id"]
    others = [obj for obj in account.objects("invoices") if obj["customer"]["id"] != gone]
    vanished, late, *_ = (other["id"] for other in others if other["status"] == "draft")
    kept = [other for other in others if other["status"] != "draft" and other["line_items"]]
    cut, line = kept[0], kept[1]["line_items"][0]["id"]
    interval = next(
        obj["price_intervals"][0]["id"]
        for obj in account.objects("subscriptions")
        if obj["customer"]["id"] != gone and obj["price_intervals"]
    )
    query("delete from orb.customers where id = ?", [lost])
    query("update orb.customers set name = 'Wrong', balance = 7 where id = ?", [wrong])
    query("update orb.customers set _deleted_at = _as_of where id = ?", [dead])
    query("update orb.prices set name = 'Wrong' where id = ?", [price])
    query("update orb.invoice_line_items set amount = 1234567 where id = ?", [line])
    query("delete from orb.subscription_price_intervals where id = ?", [interval])
    delete_customer(account, gone)
    account.delete("billable_metrics", metric)
    account.delete("invoices", vanished)
    past = moment(mirror.sim.clock.seconds() - 30 * DAY)
    account.update("invoices", late, {"status": "issued", "invoice_date": past})
    account.update("invoices", cut["id"], {"line_items": cut["line_items"][:-1]})

    seen = mirror.check(dry_run=True)
    expected = {
        ("customers", lost, "missing"),
        ("customers", wrong, "stale"),
        ("customers", dead, "stale"),
        ("customers", gone, "vanished"),
        ("prices", price, "stale"),
        ("billable_metrics", metric, "vanished"),
        ("invoices", vanished, "vanished"),
        ("invoices", late, "stale"),
        ("invoice_line_items", line, "stale"),
        ("invoice_line_items", cut["line_items"][-1]["id"], "vanished"),
        ("subscription_price_intervals", interval, "missing"),
    }
    found = drifts(seen)
    assert found >= expected
    of_the_customer = {each for each in found - expected if each[2] == "vanished"}
    assert found - expected == of_the_customer
    assert {table for table, *_ in of_the_customer} == {"subscriptions", "invoices"}
    fields = {finding.key[0]: finding.fields for finding in seen.findings}
    assert set(fields[wrong]) == {"name", "balance"}
    assert fields[dead] == ("_deleted_at",)
    assert set(fields[late]) == {"status", "invoice_date"}
    assert mirror.differences() != []

    repaired = mirror.check()
    assert drifts(repaired) == found
    assert mirror.differences() == []
    marked = "select name is not null, _deleted_at is not null from orb.customers where id = ?"
    assert query(marked, [gone]) == [(True, True)]
    assert mirror.check().findings == []
    counts = "select missing, stale, vanished from orb.sync_checks where table_name = 'customers' order by started_at"
    assert query(counts) == [(1, 2, 1), (1, 2, 1), (0, 0, 0)]


@pytest.mark.long
def test_changes_that_no_sync_has_applied_yet_are_no_drift(orb_mirrored: Made) -> None:
    mirror = orb_mirrored(customers=6)
    account = mirror.sim.account
    told, untold = (obj["id"] for obj in account.objects("customers")[:2])
    account.update("customers", told, {}, "customer.edited")
    mirror.pass_time(3_600)
    mirror.load()
    mirror.sync()
    account.update("customers", told, {"name": "Told"}, "customer.edited")
    account.update("customers", untold, {"name": "Untold"})
    assert drifts(mirror.check(dry_run=True)) == {("customers", untold, "stale")}
    assert mirror.differences() != []
    assert drifts(mirror.check()) == {("customers", untold, "stale")}
    assert mirror.differences() == []
    mirror.sim.api.lacks.add("webhook_events")
    account.update("customers", told, {"name": "Told again"}, "customer.edited")
    assert drifts(mirror.check("customers")) == {("customers", told, "stale")}  # nobody can tell without the log


@pytest.mark.long
def test_each_list_of_invoices_answers_for_its_own_rows(orb_mirrored: Made) -> None:
    """Checked alone, it neither takes the rows of the other one for deleted, nor reads them. Nor do prices' plans'."""
    mirror = orb_mirrored(customers=8)
    account = mirror.sim.account
    mirror.load()
    draft = drafts(account)[0]["id"]
    issued = next(obj["id"] for obj in account.objects("invoices") if obj["status"] == "issued")
    account.delete("invoices", draft)
    account.delete("invoices", issued)
    for name, id in (("invoices", issued), ("invoice_drafts", draft)):
        report = mirror.check(name)
        assert drifts(report) == {("invoices", id, "vanished")}
        assert report.requests == 3  # the clock, the list, what it does not show
    assert mirror.check("prices").findings == []
    assert mirror.load("prices", full_refresh=True).unlisted.rows == 0
    assert mirror.differences() == []


def test_a_window_leaves_the_rest_alone_and_old_events_may_be_gone(orb_mirrored: Made) -> None:
    mirror = orb_mirrored(customers=10)
    account = mirror.sim.account
    for obj in account.objects("customers")[:2]:
        account.update("customers", obj["id"], {}, "customer.edited")
    mirror.pass_time(3_600)
    mirror.load("customers", "webhook_events")
    rows = sorted(mirror.rows("customers", live=True), key=lambda row: row["created_at"])
    middle = int(rows[5]["created_at"].timestamp())
    for row in (rows[0], rows[-1]):
        mirror.destination.query("delete from orb.customers where id = ?", [row["id"]])
    account.delete("customers", rows[1]["id"])
    account.delete("webhook_events", account.objects("webhook_events")[0]["id"])
    report = mirror.check(since=middle)
    assert drifts(report) == {("customers", rows[-1]["id"], "missing")}
    assert drifts(mirror.check()) == {
        ("customers", rows[0]["id"], "missing"),
        ("customers", rows[1]["id"], "vanished"),
    }


def test_a_sample_finds_what_it_sees_and_reads_no_price_of_a_plan(orb_mirrored: Made) -> None:
    mirror = orb_mirrored(customers=130)
    mirror.load()
    mirror.destination.query("update orb.customers set name = 'Wrong'")
    mirror.sim.api.largest["customers"] = 60
    report = mirror.check(sample=50, dry_run=True)
    assert report.is_sample
    assert {(finding.table, finding.fields) for finding in report.findings} == {("customers", ("name",))}
    assert 0 < len(report.findings) <= 60
    assert mirror.requests() <= 30


def test_what_cannot_be_checked_is_named(orb_mirrored: Made) -> None:
    mirror = orb_mirrored(customers=6)
    mirror.load("customers", "items", "license_types", "coupons")
    mirror.sim.api.lacks.add("license_types")
    report = mirror.check()
    assert (list(report.skipped), report.incomplete, report.findings) == (["license_types"], {}, [])
    assert mirror.check(budget=2).incomplete


@pytest.mark.parametrize("destination", ["postgres"], indirect=True)
def test_a_check_runs_beside_a_sync(orb_mirrored: Made) -> None:
    mirror = orb_mirrored(customers=4)
    mirror.load("customers")
    mirror.destination.query("update orb.customers set name = 'Wrong'")
    with orb_session(mirror.settings, "orb_sync", {}):
        assert mirror.check().has_drift
    assert mirror.differences(["customers"]) == []


@pytest.mark.parametrize("destination", ["duckdb"], indirect=True)
def test_the_command_tells_drift_by_its_exit_code(orb_mirrored: Made, destination: Database, tmp_path: Path) -> None:
    mirror = orb_mirrored(customers=4)
    mirror.load()
    mirror.pass_time(90)

    def run(*arguments: str) -> tuple[int, str]:
        command = (str(ROOT / "pipelines/orb_check.py"), *arguments)
        done = processes.run(*command, cwd=tmp_path, env=mirror.environment)
        assert "Traceback" not in done.stderr
        return done.returncode, " ".join(f"{done.stdout} {done.stderr}".split())

    mirror.destination.query("update orb.customers set name = 'Wrong'")
    code, said = run("--fail-on-drift", "--dry-run", "--json", "report.json")
    assert (code, "name (4)" in said, "not repaired" in said) == (3, True, True), said
    (report,) = json.loads((tmp_path / "report.json").read_text())
    assert report["tables"]["customers"]["stale"] == 4
    assert run()[0] == 0
    code, said = run("--fail-on-drift")
    assert (code, "orb: " in said, "no drift" in said) == (0, True, True), said
    code, said = run("--resources", "custmers")
    assert (code, "did you mean 'customers'?" in said) == (2, True), said
    assert mirror.destination.value("select count(*) from orb.sync_runs where command = 'orb_check'") == 3
