"""The initial load and what comes after it: equal tables, resuming, failures, and what is recorded of a run."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.loading.run import Outcome
from pipelines.loading.session import open_database
from pipelines.warehouse.problems import AlreadyRunning
from sources.errors import AuthenticationFailed
from tests import processes
from tests.pipelines.mirror import Mirror
from tests.pipelines.orb_mirror import OrbMirror

ROOT = Path(__file__).resolve().parents[3]


Made = Callable[..., Mirror | OrbMirror]


def load(mirror: Mirror | OrbMirror, *names: str, **order: Any) -> Outcome:
    return mirror.run(*names, **order)


def statuses(mirror: Mirror | OrbMirror) -> dict[str, str]:
    dataset = mirror.settings.dataset
    return dict(mirror.destination.query(f"select resource, status from {dataset}.sync_status"))


def everything(mirror: Mirror, table: str) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in mirror.rows(table)}


def test_every_table_equals_the_account(mirrored: Callable[..., Mirror]) -> None:
    mirror = mirrored(customers=25)
    mirror.load("all")
    assert mirror.differences(["all"]) == []


@pytest.mark.long
def test_default_run_skips_what_the_account_lacks_and_says_why(mirrored: Callable[..., Mirror]) -> None:
    mirror = mirrored(lacks=["issuing_cards", "treasury_financial_accounts"])
    outcome = load(mirror)
    assert outcome.failed == []
    assert {"issuing_cards", "treasury_financial_accounts"} <= set(outcome.skipped)
    rows = mirror.destination.query("select error, rows from stripe.sync_status where resource = 'issuing_cards'")
    assert "Issuing" in rows[0][0]
    assert rows[0][1] == 0
    assert mirror.differences() == []


def test_second_run_asks_for_what_is_newer_and_leaves_the_rest(mirror: Mirror) -> None:
    mirror.load("customers", "charges", "products", "payment_links", "account")
    before = {table: everything(mirror, table) for table in ("customers", "charges", "payment_links")}
    new = mirror.sim.account.create("customers", mirror.sim.make("customers", name="New"))
    link = mirror.sim.account.create("payment_links", mirror.sim.make("payment_links"))
    mirror.pass_time(60)
    mirror.forget_requests()
    load(mirror, "customers", "charges", "payment_links")
    after = {table: everything(mirror, table) for table in before}
    assert after["customers"].keys() - before["customers"].keys() == {new["id"]}
    assert link["id"] in after["payment_links"]
    for table in ("customers", "charges"):
        assert {id: after[table][id] for id in before[table]} == before[table]
    assert mirror.requests() <= 5  # the account, a window each, and the list without `created`
    assert mirror.differences(["customers", "charges", "payment_links"]) == []


def test_children_are_asked_for_again_only_where_their_parent_changed(mirrored: Callable[..., Mirror]) -> None:
    mirror = mirrored(customers=20)
    mirror.load("customers", "customer_balance_transactions")
    customers = len(mirror.rows("customers"))
    mirror.forget_requests()
    load(mirror, "customers", "customer_balance_transactions")
    # our clock, not Stripe's, says when a parent was written: within the overlap all of them count
    assert mirror.requests() <= customers + 3
    assert mirror.differences(["customers", "customer_balance_transactions"]) == []


def test_full_refresh_reads_everything_again_and_ends_equal(mirror: Mirror) -> None:
    mirror.load("core")
    mirror.forget_requests()
    outcome = load(mirror, "core", full_refresh=True)
    assert outcome.failed == []
    assert mirror.requests() > 30
    assert mirror.differences(["core"]) == []


def test_since_and_until_load_their_window_and_no_more(mirrored: Callable[..., Mirror]) -> None:
    mirror = mirrored(customers=30)
    created = sorted(obj["created"] for obj in mirror.sim.account.objects("customers"))
    since, until = created[len(created) // 3], created[2 * len(created) // 3]
    load(mirror, "customers", since=since, until=until)
    ids = {obj["id"] for obj in mirror.sim.account.objects("customers") if since <= obj["created"] < until}
    assert everything(mirror, "customers").keys() == ids
    mirror.forget_requests()
    load(mirror, "customers", since=since, until=until)
    assert mirror.requests() == 1  # who the key belongs to
    mirror.load("customers")
    assert mirror.differences(["customers"]) == []


def test_page_that_fails_for_good_is_an_error_and_stops_no_other(mirrored_provider: Made) -> None:
    mirror = mirrored_provider()
    broken = {"stripe": "charges", "orb": "invoices"}[mirror.provider.name]
    other = {"stripe": "products", "orb": "items"}[mirror.provider.name]
    mirror.sim.faults.add("status", status=500, path_prefix=f"/v1/{broken}")
    outcome = load(mirror, "customers", broken, other)
    assert outcome.failed == [broken]
    assert statuses(mirror) == {"customers": "complete", broken: "error", other: "complete"}
    error, request_id = mirror.destination.query(
        f"select error, request_id from {mirror.settings.dataset}.sync_status where resource = '{broken}'"
    )[0]
    assert f"/v1/{broken}" in error
    assert mirror.provider.name != "stripe" or request_id.startswith("req_")
    mirror.sim.faults.clear()
    assert load(mirror, "customers", broken, other).failed == []
    assert mirror.differences(["customers", other] if broken == "invoices" else ["customers", broken, other]) == []


@pytest.mark.long
def test_passing_failures_are_retried(mirrored_provider: Made) -> None:
    mirror = mirrored_provider(customers=20)
    kinds = ("status", "throttle", "drop", "cut", "half_json", "not_json")
    for kind in kinds if mirror.provider.name == "orb" else (*kinds, "error_200"):
        mirror.sim.faults.add(kind, probability=0.03)
    mirror.changes |= {"max_retries": 12, "max_retry_delay": 0.01}
    assert load(mirror, "core").failed == []
    mirror.sim.faults.clear()
    assert mirror.differences(["core"]) == []


def test_unknown_fields_become_columns_and_changed_types_lose_nothing(mirror: Mirror) -> None:
    first = mirror.sim.account.create("customers", mirror.sim.make("customers", brand_new=7, balance=5))
    mirror.load("customers")
    second = mirror.sim.account.create(
        "customers", mirror.sim.make("customers", brand_new="text", balance=2.5, delinquent="maybe")
    )
    mirror.load("customers")
    assert mirror.differences(["customers"]) == []
    rows = everything(mirror, "customers")
    assert rows[first["id"]]["brand_new"] == 7
    assert rows[second["id"]]["brand_new__v_text"] == "text"
    assert rows[second["id"]]["balance__v_double"] == 2.5
    assert rows[second["id"]]["balance"] is None


def test_subscription_item_that_is_gone_disappears_with_its_subscription(mirror: Mirror) -> None:
    mirror.load("subscriptions")
    item = mirror.rows("subscription_items", live=True)[0]
    mirror.sim.account.delete("subscription_items", item["id"])
    mirror.pass_time(60)
    load(mirror, "subscriptions", full_refresh=True)
    assert item["id"] not in {row["id"] for row in mirror.rows("subscription_items", live=True)}
    assert mirror.differences(["subscriptions"]) == []


def test_run_and_its_resources_are_recorded(mirror: Mirror) -> None:
    mirror.load("customers", "products")
    command, status, rows, requests, ended = mirror.destination.query(
        "select command, status, rows, requests, ended_at from stripe.sync_runs"
    )[0]
    assert (command, status) == ("stripe_full", "complete")
    assert ended is not None
    assert requests >= 3
    assert rows == mirror.destination.value("select sum(rows) from stripe.sync_status")
    start, end = mirror.destination.query(
        "select window_start, window_end from stripe.sync_status where resource = 'customers'"
    )[0]
    assert start.timestamp() == 0
    assert mirror.sim.clock.seconds() - 180 < end.timestamp() <= mirror.sim.clock.seconds()


def test_wrong_key_stops_before_anything_is_written(mirrored_provider: Made) -> None:
    mirror = mirrored_provider()
    mirror.changes |= {"stripe_secret_key" if mirror.provider.name == "stripe" else "orb_api_key": "sk_test_wrong"}
    with pytest.raises(AuthenticationFailed, match=mirror.settings.key_variable):
        load(mirror, "customers")
    assert mirror.destination.tables(mirror.settings.dataset) == set()


def test_second_run_at_the_same_time_ends_with_a_clear_message(mirrored_provider: Made) -> None:
    mirror = mirrored_provider()
    first = open_database(mirror.settings)
    first.lock_run(mirror.settings.dataset)
    with pytest.raises(AlreadyRunning, match="Another run"):
        load(mirror, "customers")
    first.close()
    load(mirror, "customers")


@pytest.mark.long
@pytest.mark.timeout(300)
def test_killed_at_ten_random_instants_it_ends_equal(mirrored_provider: Made) -> None:
    mirror = mirrored_provider(customers=60)
    name, dataset = mirror.provider.name, mirror.settings.dataset
    limits = {f"SOURCES__{name.upper()}__PACKAGE_ROWS": "300", f"SOURCES__{name.upper()}__WORKERS": "4"}
    environment = mirror.environment | limits
    command = (f"pipelines/{name}_full.py", "--resources", "core")
    chance = random.Random(20)
    mirror.pass_time(60)
    instants = [chance.uniform(0.0, 0.4 * (1 + attempt)) for attempt in range(10)]  # a whole run may take a second
    ended = [processes.run(*command, cwd=ROOT, env=environment, kill_after=instant) for instant in instants]
    assert -signal.SIGKILL in [process.returncode for process in ended]
    finished = processes.run(*command, cwd=ROOT, env=environment)
    assert finished.returncode == 0, finished.stderr
    assert mirror.differences(["core"]) == []
    assert set(statuses(mirror).values()) == {"complete"}
    assert mirror.destination.tables(f"{dataset}_staging") == set()


def test_frozen_columns_stop_the_resource_that_would_change_them(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror.load("customers", "products")
    monkeypatch.setenv("SOURCES__STRIPE__SCHEMA_CONTRACT", '{"columns": "freeze"}')
    mirror.sim.account.create("customers", mirror.sim.make("customers", brand_new=7))
    product = mirror.sim.account.create("products", mirror.sim.make("products"))
    outcome = load(mirror, "customers", "products")
    assert outcome.failed == ["customers"]
    assert "brand_new" in mirror.destination.value("select error from stripe.sync_status where resource = 'customers'")
    assert product["id"] in everything(mirror, "products")
