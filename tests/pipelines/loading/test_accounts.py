"""Several accounts: one, a list, or all that a platform has; each with rows, progress and budget of its own."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipelines.commands.accounts import each_account
from pipelines.configuration.settings import Settings
from pipelines.loading.run import Order, run
from pipelines.loading.session import open_session
from pipelines.stripe_sync import sync_once
from pipelines.sync.stripe_api.settings import SyncSettings
from sources.errors import BadConfiguration
from sources.stripe_api.catalogue import select
from sources.stripe_api.provider import STRIPE
from tests import processes
from tests.pipelines.mirror import Mirror

if TYPE_CHECKING:
    from simulator.account.account import Account


def settings(account: str | None) -> Settings:
    return Settings(stripe_secret_key="sk_test_x", stripe_account=account)


def test_one_a_list_or_none() -> None:
    assert [each.stripe_account for each in each_account(settings(None))] == [None]
    assert [each.stripe_account for each in each_account(settings("acct_1"))] == ["acct_1"]
    assert [each.stripe_account for each in each_account(settings("acct_1, acct_2,acct_1"))] == ["acct_1", "acct_2"]
    with pytest.raises(BadConfiguration, match="STRIPE_ACCOUNT"):
        each_account(settings("cus_1"))


@pytest.mark.long
def test_all_accounts_of_a_platform_are_synced_apart(mirror: Mirror) -> None:
    ids = [row.id for row in mirror.sim.account.tables["accounts"].shelf.rows() if row.id != mirror.sim.account.id]
    both = replace(mirror.settings, stripe_account="all")
    assert sync_once(both, SyncSettings(), ["customers"]) == 0
    known = {row["_account_id"] for row in mirror.rows("customers")}
    assert mirror.sim.account.id in known
    lines = mirror.destination.query(
        "select _account_id, resource from stripe.sync_status where resource = 'customers'"
    )
    assert {account for account, _ in lines} == {mirror.sim.account.id, *ids}
    assert mirror.differences(["customers"]) == []
    for id in ids[:2]:
        assert mirror.differences(["customers"], mirror.sim.connected(id)) == []


def test_a_change_in_a_connected_account_arrives_under_its_id(mirror: Mirror) -> None:
    id = next(row.id for row in mirror.sim.account.tables["accounts"].shelf.rows() if row.id != mirror.sim.account.id)
    connected = mirror.sim.connected(id)
    one = replace(mirror.settings, stripe_account=id)
    mirror.pass_time(900)
    sync_once(one, SyncSettings(), ["customers"])
    mirror.pass_time(900)
    connected.create("customers", mirror.sim.make("customers", name="Theirs"))
    mirror.pass_time(900)
    mirror.forget_requests()
    sync_once(one, SyncSettings(), ["customers"])
    assert mirror.requests() == 1
    (row,) = [row for row in mirror.rows("customers") if row["name"] == "Theirs"]
    assert row["_account_id"] == id


def script(mirror: Mirror, root: Path, name: str, *options: str) -> subprocess.CompletedProcess[str]:
    return processes.run(f"pipelines/{name}", *options, cwd=root, env=mirror.environment)


@pytest.mark.long
def test_the_initial_load_takes_several_accounts_and_each_goes_on_by_itself(mirror: Mirror, root: Path) -> None:
    platform = mirror.sim.account
    first, second, *_ = [row.id for row in platform.tables["accounts"].shelf.rows() if row.id != platform.id]
    options = ("--resources", "customers,coupons", "--stripe-account")
    mirror.sim.faults.add(
        path="/v1/customers", status=500, holding=next(iter(mirror.sim.connected(second).objects("customers")))["id"]
    )
    broken = script(mirror, root, "stripe_full.py", *options, f"{platform.id},{second},{first}")
    assert broken.returncode == 1, broken.stderr
    assert all(f"{id}:" in broken.stdout for id in (platform.id, first, second))
    assert [mirror.differences(["customers"], account) == [] for account in accounts(mirror, first, second)] == [
        True,
        False,
    ]
    mirror.sim.faults.clear()
    mended = script(mirror, root, "stripe_full.py", *options, "all")
    assert mended.returncode == 0, mended.stderr
    for each in (platform, *accounts(mirror, first, second)):
        assert mirror.differences(["customers", "coupons"], each) == []
    lines = mirror.destination.query("select distinct _account_id from stripe.sync_status where resource = 'coupons'")
    assert {platform.id, first, second} <= {id for (id,) in lines}


def accounts(mirror: Mirror, *ids: str) -> list[Account]:
    return [mirror.sim.connected(id) for id in ids]


@pytest.mark.parametrize("name", ["stripe_full.py", "stripe_sync.py", "stripe_check.py"])
def test_an_account_that_cannot_be_read_stops_no_other(mirror: Mirror, root: Path, name: str) -> None:
    """The platform's key does not act for acct_nobody."""
    if mirror.destination.kind == "postgres":
        pytest.skip("one kind will do")
    own = mirror.sim.account.id
    mirror.pass_time(900)
    options = ("--resources", "coupons", "--stripe-account", f"acct_nobody,{own}")
    if name == "stripe_check.py":
        mirror.begin("coupons")
        mirror.destination.query("delete from stripe.coupons")
        mirror.pass_time(900)
    ran = script(mirror, root, name, *options)
    assert ran.returncode == 1, ran.stderr
    assert "acct_nobody was not finished" in ran.stderr
    assert "Traceback" not in ran.stderr
    mirror.pass_time(900)
    assert mirror.differences(["coupons"]) == []


def test_the_same_id_under_two_accounts_is_two_objects(mirror: Mirror) -> None:
    """Coupons have ids that users choose: both accounts have a SPRING25, and each has its own of everything else."""
    platform = mirror.sim.account
    id = next(row.id for row in platform.tables["accounts"].shelf.rows() if row.id != platform.id)
    connected = mirror.sim.connected(id)
    both = replace(mirror.settings, stripe_account=f"{platform.id},{id}")
    for account, percent in ((platform, 25), (connected, 10)):
        coupon = mirror.sim.make("coupons", id="SPRING25", percent_off=percent)
        account.create("coupons", coupon)
    mirror.pass_time(900)
    for name in ("New here", "New there"):
        sync_once(both, SyncSettings(), ["customers", "coupons"])
        platform.update("coupons", "SPRING25", {"name": name})
        mirror.pass_time(900)
    connected.delete("coupons", "SPRING25")
    mirror.pass_time(900)
    sync_once(both, SyncSettings(), ["customers", "coupons"])
    rows = {row["_account_id"]: row for row in mirror.rows("coupons") if row["id"] == "SPRING25"}
    assert (rows[platform.id]["percent_off"], rows[platform.id]["name"]) == (25, "New there")
    assert rows[platform.id]["_deleted_at"] is None
    assert (rows[id]["percent_off"], rows[id]["_deleted_at"] is None) == (10, False)
    for account in (platform, connected):
        assert mirror.differences(["customers", "coupons"], account) == []


def test_differences_are_those_of_one_account(mirror: Mirror) -> None:
    platform = mirror.sim.account
    id = next(row.id for row in platform.tables["accounts"].shelf.rows() if row.id != platform.id)
    connected = mirror.sim.connected(id)
    for account in (platform, connected):
        account.create("coupons", mirror.sim.make("coupons", id="SPRING25", percent_off=5))
    mirror.pass_time(900)
    sync_once(replace(mirror.settings, stripe_account=f"{platform.id},{id}"), SyncSettings(), ["coupons"])
    where = "where id = 'SPRING25' and _account_id = ?"
    mirror.destination.query(f"update stripe.coupons set percent_off = 99 {where}", [id])
    assert mirror.differences(["coupons"], platform) == []
    assert mirror.differences(["coupons"], connected) == ["coupons ('SPRING25',) differs in percent_off"]
    mirror.destination.query(f"delete from stripe.coupons {where}", [platform.id])
    assert mirror.differences(["coupons"], platform) == ["coupons ('SPRING25',) is missing"]
    assert mirror.differences(["coupons"], connected) == ["coupons ('SPRING25',) differs in percent_off"]


def test_a_connected_account_s_load_is_its_own_whatever_the_platform_is_called(mirror: Mirror) -> None:
    id = next(row.id for row in mirror.sim.account.tables["accounts"].shelf.rows() if row.id != mirror.sim.account.id)
    one = replace(mirror.settings, stripe_account=id, account_id=mirror.sim.account.id)
    assert run(one, Order("stripe_full", select(["products"])), mirror.provider).failed == []
    assert mirror.destination.query("select distinct _account_id from stripe.sync_status") == [(id,)]


def test_a_key_of_the_other_mode_is_refused_before_anything_is_counted_as_read(mirror: Mirror) -> None:
    mirror.begin("products")
    live = replace(mirror.settings, stripe_secret_key="sk_live_x", account_id=mirror.sim.account.id)
    with (
        pytest.raises(BadConfiguration, match=r"test-mode objects.*--dataset"),
        open_session(live, "stripe_sync", provider=STRIPE),
    ):
        pass
    with open_session(replace(live, dataset="other"), "stripe_sync", provider=STRIPE) as session:
        assert session.account_id == mirror.sim.account.id
    with (
        pytest.raises(BadConfiguration, match="live-mode objects"),
        open_session(replace(mirror.settings, dataset="other"), "stripe_sync", provider=STRIPE),
    ):
        pass
    assert mirror.sync("products").failed == []
