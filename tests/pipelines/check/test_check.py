"""The consistency check, on both databases: what was corrupted is found, named and repaired, and nothing else is."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from pipelines.commands.checks import ReportFile
from pipelines.warehouse.staging import scope_of
from tests import processes
from tests.pipelines.mirror import Mirror

LISTS = ("customers", "invoices", "subscriptions", "coupons", "reviews", "balance", "events")


def run_check(mirror: Mirror, root: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return processes.run("pipelines/stripe_check.py", *options, cwd=root, env=mirror.environment)


def drifts(findings: Sequence[object]) -> set[tuple[str, str, str]]:
    return {(finding.table, finding.key[0], finding.drift) for finding in findings}  # type: ignore[attr-defined]


def test_equal_tables_have_no_drift(mirror: Mirror) -> None:
    mirror.begin(*LISTS)
    report = mirror.check()
    assert report.findings == []
    assert report.incomplete == {}
    assert mirror.differences(LISTS) == []
    assert report.checked["invoice_line_items"] == len(mirror.rows("invoice_line_items", live=True)) > 0


def test_it_finds_names_and_repairs_what_was_corrupted(mirror: Mirror) -> None:
    account, query = mirror.sim.account, mirror.destination.query
    mirror.begin(*LISTS)
    lost, wrong, dead, gone = (row["id"] for row in mirror.rows("customers")[:4])
    line, item = mirror.rows("invoice_line_items")[0], mirror.rows("subscription_items")[0]
    query("delete from stripe.customers where id = ?", [lost])
    query("update stripe.customers set name = 'Wrong', balance = 7 where id = ?", [wrong])
    query("update stripe.customers set _deleted_at = _as_of where id = ?", [dead])
    query("update stripe.invoice_line_items set amount = amount + 1 where id = ?", [line["id"]])
    query("delete from stripe.subscription_items where id = ?", [item["id"]])
    account.delete("customers", gone, event=False)
    mirror.pass_time(600)

    seen = mirror.check(dry_run=True)
    assert drifts(seen.findings) >= {
        ("customers", lost, "missing"),
        ("customers", wrong, "stale"),
        ("customers", dead, "stale"),
        ("customers", gone, "vanished"),
        ("invoice_line_items", line["id"], "stale"),
        ("subscription_items", item["id"], "missing"),
    }
    fields = {finding.key[0]: finding.fields for finding in seen.findings if finding.table == "customers"}
    assert set(fields[wrong]) == {"name", "balance"}
    assert fields[dead] == ("_deleted_at",)
    assert mirror.differences(LISTS) != []

    repaired = mirror.check()
    assert drifts(repaired.findings) == drifts(seen.findings)
    assert mirror.differences(LISTS) == []
    assert mirror.row("customers", gone)["_deleted_at"] is not None
    assert mirror.row("customers", gone)["email"] is not None
    assert mirror.check().findings == []
    kept = mirror.destination.query(
        "select missing, stale, vanished from stripe.sync_checks where table_name = 'customers' order by started_at"
    )
    assert kept == [(1, 2, 1), (1, 2, 1), (0, 0, 0)]


def test_a_child_that_left_its_parent_without_an_event_is_found(mirror: Mirror) -> None:
    mirror.begin(*LISTS)
    invoice = max(mirror.rows("invoices"), key=lambda row: row["created"])["id"]
    lines = mirror.sim.account.show("invoices", invoice)["lines"]["data"]
    mirror.sim.account.update("invoices", invoice, {"lines": lines[:-1]}, event=False)
    mirror.pass_time(600)
    report = mirror.check("invoices")
    assert ("invoice_line_items", lines[-1]["id"], "vanished") in drifts(report.findings)
    assert mirror.differences(LISTS) == []


def test_a_live_row_of_an_object_that_stripe_never_had_is_found(mirror: Mirror) -> None:
    """It does not even say when it was made, so that no window of `created` has it."""
    mirror.begin(*LISTS)
    mirror.destination.query(
        "insert into stripe.customers (id, _account_id, _as_of, _source, _synced_at)"
        " select 'cus_nobody', _account_id, _as_of, _source, _synced_at from stripe.customers limit 1"
    )
    mirror.pass_time(600)
    assert drifts(mirror.check("customers").findings) == {("customers", "cus_nobody", "vanished")}
    assert mirror.row("customers", "cus_nobody")["_deleted_at"] is not None


def test_rows_that_no_list_shows_and_that_live_are_no_drift(mirror: Mirror) -> None:
    mirror.begin(*LISTS)
    review = mirror.rows("reviews")[0]["id"]
    mirror.sim.account.update("reviews", review, {"open": False, "closed_reason": "approved"})
    mirror.pass_time(600)
    mirror.sync()
    report = mirror.check("reviews")
    assert report.findings == []
    assert report.unlisted["reviews"] == 1


def test_changes_that_no_sync_has_applied_yet_are_no_drift(mirror: Mirror) -> None:
    mirror.begin(*LISTS, synced=True)
    mirror.pass_time(600)
    customer = mirror.rows("customers")[0]["id"]
    mirror.sim.account.update("customers", customer, {"name": "New"})
    mirror.pass_time(600)
    assert mirror.check("customers", dry_run=True).findings == []
    assert mirror.row("customers", customer)["name"] != "New"
    assert mirror.check("customers").findings == []
    assert mirror.row("customers", customer)["name"] == "New"


def test_a_window_leaves_the_rest_alone(mirror: Mirror) -> None:
    mirror.begin(*LISTS)
    rows = sorted(mirror.rows("invoices"), key=lambda row: row["created"])
    middle = int(rows[len(rows) // 2]["created"].timestamp())
    for row in (rows[0], rows[-1]):
        mirror.destination.query("delete from stripe.invoices where id = ?", [row["id"]])
    report = mirror.check("invoices", since=middle)
    assert drifts(report.findings) == {("invoices", rows[-1]["id"], "missing")}


def test_a_sample_costs_a_page_and_finds_what_it_sees(mirror: Mirror) -> None:
    mirror.begin(*LISTS, synced=True)
    mirror.destination.query("update stripe.customers set name = 'Wrong'")
    mirror.pass_time(600)
    mirror.forget_requests()
    report = mirror.check("customers", sample=50)
    assert report.is_sample
    assert report.findings
    assert {finding.fields for finding in report.findings} == {("name",)}
    assert mirror.requests() <= 30
    assert mirror.check("customers").findings == [] or len(report.findings) < len(mirror.rows("customers"))


def test_the_script_tells_drift_by_its_exit_code(mirror: Mirror, root: Path, tmp_path: Path) -> None:
    mirror.begin("customers")
    assert run_check(mirror, root, "--fail-on-drift").returncode == 0
    mirror.destination.query("update stripe.customers set name = 'Wrong'")
    mirror.pass_time(600)
    path = tmp_path / "report.json"
    result = run_check(mirror, root, "--fail-on-drift", "--json", str(path))
    assert result.returncode == 3, result.stderr
    assert "name (" in result.stdout
    (report,) = json.loads(path.read_text())
    assert report["tables"]["customers"]["stale"] == len(mirror.rows("customers"))
    assert run_check(mirror, root, "--fail-on-drift").returncode == 0


def test_lists_below_parents_are_checked_too(mirror: Mirror) -> None:
    lists = ("accounts", "capabilities", "persons", "setup_intents", "setup_attempts")
    mirror.begin(*lists)
    assert mirror.check().findings == []
    person, gone = (row["id"] for row in mirror.rows("persons")[:2])
    mirror.destination.query("update stripe.persons set email = 'wrong@example.com' where id = ?", [person])
    mirror.sim.account.delete("persons", gone, event=False)
    mirror.pass_time(600)
    report = mirror.check()
    assert drifts(report.findings) == {("persons", person, "stale"), ("persons", gone, "vanished")}
    assert mirror.differences(lists) == []


def test_a_check_runs_beside_a_sync_and_beside_checks_of_other_accounts(mirror: Mirror, root: Path) -> None:
    """A long check holds up no hourly sync; a second check of the same account ends at once."""
    if mirror.destination.kind == "duckdb":
        pytest.skip("one process has a DuckDB file")
    mirror.begin("customers")
    mirror.destination.query("update stripe.customers set name = 'Wrong'")
    mirror.pass_time(600)
    other = scope_of("check", "acct_other")
    with mirror.session("stripe_sync"), mirror.session("stripe_check", scope=other):
        found = run_check(mirror, root, "--fail-on-drift")
    assert found.returncode == 3, found.stderr
    assert mirror.differences(["customers"]) == []
    with mirror.session("stripe_check", scope=scope_of("check", None)):
        second = run_check(mirror, root, "--fail-on-drift")
    assert (second.returncode, "Another run" in second.stderr) == (0, True)
    staged = "select schema_name from information_schema.schemata where schema_name like 'stripe_staging_check%'"
    assert mirror.destination.query(staged) == []


def test_report_keeps_links_and_devices(tmp_path: Path) -> None:
    target, link, dangling = tmp_path / "report.json", tmp_path / "latest.json", tmp_path / "next.json"
    target.write_text("the earlier one")
    link.symlink_to(target)
    dangling.symlink_to(tmp_path / "made.json")
    for path in (link, dangling):
        with (file := ReportFile(path)):
            file.write(b"[]")
        assert path.is_symlink()
        assert path.read_bytes() == path.resolve().read_bytes() == b"[]"
    assert {path.name for path in tmp_path.iterdir()} == {"report.json", "latest.json", "next.json", "made.json"}
