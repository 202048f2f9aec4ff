"""Several accounts: one, a list, or all that a platform has; each with rows, progress and budget of its own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipelines.accounts import each_account
from pipelines.settings import Settings
from pipelines.stripe_sync import sync_once
from pipelines.sync_settings import SyncSettings
from sources.stripe_api.errors import BadConfiguration
from tests.pipelines.mirror import Mirror


def settings(account: str | None) -> Settings:
    return Settings(stripe_secret_key="sk_test_x", stripe_account=account)


def test_one_a_list_or_none() -> None:
    assert [one.stripe_account for one in each_account(settings(None))] == [None]
    assert [one.stripe_account for one in each_account(settings("acct_1"))] == ["acct_1"]
    assert [one.stripe_account for one in each_account(settings("acct_1, acct_2,acct_1"))] == ["acct_1", "acct_2"]
    with pytest.raises(BadConfiguration, match="STRIPE_ACCOUNT"):
        each_account(settings("cus_1"))


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
