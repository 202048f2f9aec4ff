"""Lists that need a request for each customer, subscription or plan: loaded if they are named, resumed, kept equal."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from simulator.orb.account import Account
from sources.orb_api.catalogue import CATALOGUE
from tests.pipelines.orb_mirror import OrbMirror

ROOT = Path(__file__).resolve().parents[3]
Made = Callable[..., OrbMirror]
BELOW = [resource.name for resource in CATALOGUE.select(["all"]) if resource.parents]


def happens(account: Account, id: str) -> None:
    """What changes in lists of parents, all of it without an event: new, other, and vanished objects."""
    for table in ("credit_ledger_entries", "customer_balance_transactions", "licenses"):
        row = next(iter(account.tables[table].values()))
        changed = {"created_at": account.now()} if "created_at" in row.object else {}
        account.create(table, row.object | changed | {"id": f"{table} {id}"}, **row.owner)
    blocks = [obj["id"] for obj in account.objects("credit_blocks")]
    account.update("credit_blocks", blocks[0], {"balance": len(id) + 0.25})
    account.delete("credit_blocks", blocks[-1])
    for obj in account.objects("credit_top_ups")[:1]:
        account.delete("credit_top_ups", obj["id"])
    account.delete("subscription_schedules", next(iter(account.tables["subscription_schedules"])))
    volume = next(iter(account.tables["event_volumes"]))
    account.update("event_volumes", volume, {"count": 90 + len(id)})  # late events


@pytest.mark.long
def test_lists_of_parents_are_loaded_synced_and_checked_if_they_are_asked_for(orb_mirrored: Made) -> None:
    mirror = orb_mirrored(customers=9)
    account, query = mirror.sim.account, mirror.destination.query
    account.create(
        "credit_blocks",
        account.objects("credit_blocks")[0] | {"id": "gems"},
        **(next(iter(account.tables["credit_blocks"].values())).owner | {"currency": "gems"}),
    )
    warning = {"properties": {"pricing_unit": "gems"}}
    account.update("customers", account.objects("customers")[0]["id"], {}, "customer.credit_balance_dropped", **warning)
    mirror.pass_time(3_600)
    loaded = mirror.load("all")
    assert loaded.outcome.skipped == []
    assert mirror.differences(["all"]) == []
    shown = dict(query("select currency, count(*) from orb_current.credit_blocks group by 1"))
    assert shown == {"credits": 12, "USD": 8, "tokens": 4, "gems": 1}  # the last one only events have told of
    intervals = query("select count(*) from orb_current.subscription_price_intervals")
    assert intervals == [(len(mirror.rows("subscription_price_intervals", live=True)),)]
    for statement in re.findall(r"```sql\n(.+?)```", (ROOT / "docs/orb.md").read_text("utf-8"), re.DOTALL):
        assert query(statement), statement
    known = dict(query("select resource, status from orb.sync_status"))
    assert {known[name] for name in BELOW} == {"complete"}
    query("update orb.customers set _synced_at = _synced_at - interval '1 hour'")
    mirror.sim.log.clear()
    mirror.run("all")
    assert not any("/credits" in request for request in mirror.sim.log)  # no customer has changed since

    happens(account, "first")
    mirror.sync("changes")
    assert mirror.differences(["all"]) == []

    happens(account, "second")
    account.delete("alerts", account.objects("alerts")[0]["id"])
    stopped = 0
    while mirror.sync("everything", budget=70).stopped:
        stopped += 1
        assert mirror.requests() <= 70
    assert stopped >= 2
    assert mirror.differences(["all"]) == []

    happens(account, "the third")
    report = mirror.check()
    drift = {(finding.table, finding.drift) for finding in report.findings}
    assert {(table, "missing") for table in ("credit_ledger_entries", "licenses")} <= drift
    assert {("credit_blocks", "vanished"), ("credit_blocks", "stale"), ("event_volumes", "stale")} <= drift
    assert mirror.differences(["all"]) == []
    assert mirror.check().findings == []


def test_a_feature_that_is_off_is_skipped_and_the_other_lists_go_on(orb_mirrored: Made) -> None:
    mirror = orb_mirrored(customers=3)
    mirror.sim.api.lacks |= {"licenses", "event_volumes"}
    mirror.sim.api.largest["credit_ledger_entries"] = 1
    outcome = mirror.run("customers", "subscriptions", "licenses", "credit_ledger_entries", "event_volumes")
    assert (outcome.failed, sorted(outcome.skipped)) == ([], ["event_volumes", "licenses"])
    assert mirror.differences(["credit_ledger_entries"]) == []
    no_customers = orb_mirrored(customers=3, seed=2)
    no_customers.changes["dataset"] = "other"
    outcome = no_customers.run("credit_blocks")
    assert outcome.skipped == ["credit_blocks"]  # what to load with it is said
