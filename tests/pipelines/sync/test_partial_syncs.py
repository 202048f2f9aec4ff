"""Syncs that are about a part, named resources, a budget, a scheduler's groups, lose nothing of the rest."""

from __future__ import annotations

import random

import pytest

from pipelines.sync.stripe_api.parts import run_events, run_lists
from pipelines.sync.stripe_api.settings import SyncSettings
from tests.pipelines.mirror import Mirror

LISTS = (
    "customers", "invoices", "subscriptions", "coupons", "prices", "products", "charges", "refunds", "payment_intents",
    "balance_transactions", "shipping_rates", "quotes", "events",
)  # fmt: skip
HOUR, DAY = 3_600, 86_400
OLD_VERSION = "2020-08-27"


def change(mirror: Mirror, table: str, value: str) -> str:
    """Changes the newest object of a table, which an event tells; its id."""
    id = mirror.sim.account.tables[table].shelf.rows()[-1].id
    mirror.sim.account.update(table, id, {"description": value})
    return id


def live_on(mirror: Mirror, chance: random.Random, activity: object) -> None:
    """A while passes in the account: changes of every kind, in both versions, some that no event tells."""
    account, version = mirror.sim.account, mirror.sim.account.events.api_version
    for _ in range(chance.randrange(6)):
        account.events.api_version = chance.choice((version, OLD_VERSION))
        activity.step()  # type: ignore[attr-defined]
        mirror.pass_time(chance.choice((0, 1, 60)))
    account.events.api_version = version
    if chance.random() < 0.3:
        account.create("shipping_rates", mirror.sim.make("shipping_rates"))
    mirror.pass_time(chance.choice((120, HOUR, 20 * HOUR)))


def finish(mirror: Mirror) -> None:
    """A day later a sync of everything, without a budget."""
    mirror.pass_time(DAY)
    outcome = mirror.sync()
    assert outcome.stopped is None
    assert outcome.failed == []


@pytest.mark.long
def test_events_of_resources_that_a_sync_does_not_name_are_not_lost(mirror: Mirror) -> None:
    mirror.begin(*LISTS, synced=True)
    mirror.pass_time(HOUR)
    first = change(mirror, "invoices", "before")
    mirror.pass_time(HOUR)
    mirror.sync("customers")
    second = change(mirror, "invoices", "between")
    mirror.pass_time(HOUR)
    mirror.sync("customers")
    mirror.pass_time(HOUR)
    mirror.sync()
    assert first == second
    assert mirror.row("invoices", second)["description"] == "between"
    assert mirror.differences(LISTS) == []


def test_a_resource_that_is_named_later_has_all_that_happened_before(mirror: Mirror) -> None:
    """While only customers are followed, events of invoices are passed over; naming invoices reads their list."""
    mirror.begin("customers", synced=True)
    mirror.pass_time(HOUR)
    invoice = change(mirror, "invoices", "passed over")
    mirror.pass_time(HOUR)
    mirror.sync("customers")
    mirror.sync("customers", "invoices")
    assert mirror.row("invoices", invoice)["description"] == "passed over"
    change(mirror, "invoices", "followed")
    mirror.pass_time(HOUR)
    mirror.sync("customers")
    assert mirror.row("invoices", invoice)["description"] == "followed"
    assert mirror.differences(("customers", "invoices")) == []


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2))
def test_syncs_of_random_parts_end_equal_to_the_account(mirror: Mirror, seed: int) -> None:
    """Random resources and random budgets, cut anywhere; at the end a plain sync has nothing left to mend."""
    chance = random.Random(seed)
    mirror.begin(*LISTS)
    activity, stopped = mirror.sim.activity(seed=seed), 0
    for _ in range(6):
        live_on(mirror, chance, activity)
        names = chance.sample(LISTS, chance.randrange(4))
        stopped += mirror.sync(*names, budget=chance.choice((1, 2, 4, 8, None))).stopped is not None
    assert stopped
    finish(mirror)
    assert mirror.differences(LISTS) == []


@pytest.mark.long
def test_parts_of_a_scheduler_that_are_cut_or_never_run_lose_nothing(mirror: Mirror) -> None:
    chance = random.Random(5)
    mirror.begin(*LISTS)
    activity = mirror.sim.activity(seed=5)
    for _ in range(6):
        live_on(mirror, chance, activity)
        with mirror.session("stripe_sync", scope="events", budget=chance.choice((1, 3, 9, None))) as session:
            _, parts = run_events(session, SyncSettings(), "")
        for part in parts:
            if chance.random() < 0.5:  # its worker is lost
                continue
            with mirror.session("stripe_sync", scope=part["AREA"], budget=chance.choice((1, 3, None))) as session:
                run_lists(session, SyncSettings(), part["RESOURCES"].split(","), part["TOUCHED"].split(","))
    finish(mirror)
    assert mirror.differences(LISTS) == []
