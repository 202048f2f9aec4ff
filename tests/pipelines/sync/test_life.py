"""An account that lives for sixty days beside a database: syncs, lost webhooks, a check every night, equal tables.

SIMULATED_NIGHTS=60 SYNCS_A_NIGHT=24 is every night and every hour of them. Without these variables the sixty days have
fewer nights, and fewer syncs between two of them.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import TYPE_CHECKING

import orjson
import pytest

from tests.databases import Database
from tests.pipelines.mirror import START, Mirror

if TYPE_CHECKING:
    from simulator import Simulator
    from tests.webhook_sink.conftest import Served

HOUR, DAY = 3_600, 86_400
DAYS = 60
NIGHTS = int(os.environ.get("SIMULATED_NIGHTS", "4"))
SYNCS = int(os.environ.get("SYNCS_A_NIGHT", "2"))  # before each night
OLD_VERSION = "2020-08-27"
LISTS = (
    "customers",
    "coupons",
    "products",
    "prices",
    "subscriptions",
    "invoices",
    "invoice_payments",
    "charges",
    "refunds",
    "payment_intents",
    "payment_methods",
    "balance_transactions",
    "checkout_sessions",
    "events",
)
Damage = set[tuple[str, str, str]]


class Webhooks:
    """Events on their way to a sink over HTTP: half of them are lost, some come twice, none in order."""

    def __init__(self, sim: Simulator, served: Served, chance: random.Random) -> None:
        self._served, self._chance, self._told = served, chance, list[bytes]()
        self.sent = 0
        sim.account.events.listeners.append(self._listen)

    def _listen(self, body: bytes) -> None:
        if orjson.loads(body)["object"] == "event":
            self._told.append(body)

    def deliver(self) -> None:
        """Sends what arrives of what has been told since."""
        arrived = [body for body in self._told if self._chance.random() < 0.5]
        again = [body for body in arrived if self._chance.random() < 0.1]
        self._told.clear()
        for body in self._chance.sample(mixed := [*arrived, *again], len(mixed)):
            assert self._served.post(body).status == 200
            self.sent += 1


def corrupt(database: Database, chance: random.Random) -> Damage:
    """Damages a row in each of the ways there are, behind everybody's back; gives what a check has to find."""
    with database.asked() as query:

        def ids(table: str, where: str) -> list[str]:
            return [id for (id,) in query(f"select id from stripe.{table} where {where} order by id")]

        wrong, lost, dead, *_ = chance.sample(ids("customers", "_deleted_at is null"), 3)
        line, *_ = chance.sample(ids("invoice_line_items", "_deleted_at is null"), 1)
        item, *_ = chance.sample(ids("subscription_items", "_deleted_at is null"), 1)
        undead = chance.sample(ids("coupons", "_deleted_at is not null"), 1)[:1]
        query("update stripe.customers set email = 'nobody@example.com', metadata = null where id = ?", [wrong])
        query("delete from stripe.customers where id = ?", [lost])
        query("update stripe.customers set _deleted_at = _as_of where id = ?", [dead])
        query("update stripe.invoice_line_items set amount = -1 where id = ?", [line])
        query("delete from stripe.subscription_items where id = ?", [item])
        query("update stripe.coupons set _deleted_at = null where id = ?", undead)
    return {
        ("customers", wrong, "stale"),
        ("customers", lost, "missing"),
        ("customers", dead, "stale"),
        ("invoice_line_items", line, "stale"),
        ("subscription_items", item, "missing"),
        *(("coupons", id, "vanished") for id in undead),
    }


@pytest.mark.long
@pytest.mark.timeout(0)
def test_tables_equal_the_account_every_night(
    destination: Database, simulator: Callable[..., Simulator], request: pytest.FixtureRequest
) -> None:
    """With Postgres a real sink runs beside the syncs; a DuckDB file has no sink."""
    chance = random.Random(7)
    sim = simulator(seed=3, customers=12, now=START, running=False)
    mirror = Mirror(sim, destination)
    mirror.load(*LISTS)
    account, activity, webhooks = sim.account, sim.activity(seed=11), None
    if destination.kind == "postgres":
        webhooks = Webhooks(sim, served := request.getfixturevalue("serve")(sim), chance)
    account.create("coupons", sim.make("coupons", id="gone"))
    account.delete("coupons", "gone")
    begin, version = sim.clock.seconds(), account.events.api_version
    for night in range(NIGHTS):
        for hour in range(SYNCS):
            account.events.api_version = chance.choice((version, version, version, OLD_VERSION))
            for _ in range(chance.choice((0, 0, 1, 1, 4)) if SYNCS >= 24 else 4):
                activity.step()
                sim.clock.advance(chance.choice((0, 0, 1, 60)))
            if webhooks is not None:
                webhooks.deliver()
            until = begin + DAYS * DAY * (night * SYNCS + hour + 1) // (NIGHTS * SYNCS)
            sim.clock.advance(max(HOUR // 2, until - sim.clock.seconds()))
            if webhooks is not None:
                served.read_again()
            mirror.sync()
        assert mirror.differences(LISTS) == [], night
        damaged = corrupt(destination, chance) if night % 2 else set()
        report = mirror.check()
        assert {(finding.table, finding.key[0], finding.drift) for finding in report.findings} == damaged, night
        assert report.incomplete == {}
        assert mirror.differences(LISTS) == [], night
    assert webhooks is None or webhooks.sent
