"""An account that lives on beside both databases: syncs, lost webhooks, a check every night, and equal tables then.

Sixty days go by. SIMULATED_NIGHTS=60 SYNCS_A_NIGHT=24 is the whole of it; without them nights and syncs are further
apart.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from sources.stripe_api.arrow import arrow_tables
from sources.stripe_api.changes import Ignored, change_of, merged, rows_of
from tests.databases import Database
from tests.pipelines.mirror import START, Mirror

if TYPE_CHECKING:
    from simulator import Simulator

HOUR, DAY = 3_600, 86_400
NIGHTS = int(os.environ.get("SIMULATED_NIGHTS", "3"))
SYNCS = int(os.environ.get("SYNCS_A_NIGHT", "3"))  # before each night
BETWEEN = 60 * DAY // NIGHTS
CHANGES = 12  # between two nights, and more in the events that they bring along
VERSIONS = ("2020-08-27", None)
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


class Webhooks:
    """Events on their way to the tables: some are lost, some come twice, none in order."""

    def __init__(self, sim: Simulator, chance: random.Random) -> None:
        self._chance, self._due = chance, list[bytes]()
        sim.account.events.listeners.append(self._due.append)

    def take(self) -> list[dict[str, Any]]:
        """What arrives now of what has been told since."""
        told, self._due[:] = list(self._due), []
        arrived = [orjson.loads(body) for body in told if self._chance.random() < 0.5]
        again = [event for event in arrived if self._chance.random() < 0.1]
        return self._chance.sample(mixed := [*arrived, *again], len(mixed))


def deliver(mirror: Mirror, events: Sequence[dict[str, Any]]) -> None:
    """Merges payloads that can be believed, as the sink does."""
    with mirror.session("webhooks", scope="webhooks") as session:
        copies = [orjson.loads(orjson.dumps(one)) for one in events]
        changes = [change_of(one, session.api_version, session.account_id) for one in copies]
        believed = [one for one in changes if not isinstance(one, Ignored) and one.doubt is None]
        rows = merged(rows_of(one, session.account_id) for one in believed)
        session.store(arrow_tables(rows, session.columns))


def corrupt(mirror: Mirror, chance: random.Random) -> set[tuple[str, str]]:
    """Damages a few rows behind everybody's back; gives what a check has to find."""
    customers = sorted(row["id"] for row in mirror.rows("customers", live=True))
    wrong, lost = chance.sample(customers, 2)
    line = chance.choice(sorted(row["id"] for row in mirror.rows("invoice_line_items", live=True)))
    mirror.destination.query("update stripe.customers set email = 'nobody@example.com' where id = ?", [wrong])
    mirror.destination.query("delete from stripe.customers where id = ?", [lost])
    mirror.destination.query("update stripe.invoice_line_items set amount = -1 where id = ?", [line])
    return {("customers", wrong), ("customers", lost), ("invoice_line_items", line)}


@pytest.mark.timeout(0)
def test_tables_equal_the_account_every_night(
    simulator: Callable[..., Simulator], postgres_url: str, duckdb_path: Path
) -> None:
    chance = random.Random(7)
    sim = simulator(seed=3, customers=12, now=START, running=False)
    mirrors = [Mirror(sim, Database("postgres", postgres_url)), Mirror(sim, Database("duckdb", str(duckdb_path)))]
    for mirror in mirrors:
        mirror.load(*LISTS)
    activity, webhooks, version = sim.activity(seed=11), Webhooks(sim, chance), sim.account.events.api_version
    for night in range(NIGHTS):
        sim.account.events.api_version = chance.choice((version, version, VERSIONS[0]))
        for _ in range(SYNCS):
            for _ in range(max(1, CHANGES // SYNCS)):
                activity.step()
                sim.clock.advance(chance.choice((0, 0, 1, 60)))
            sim.clock.advance(BETWEEN // SYNCS - 600)
            arrived = webhooks.take()
            for mirror in mirrors:
                if mirror.destination.kind == "postgres":
                    deliver(mirror, arrived)
                mirror.sync()
        damaged = [corrupt(mirror, chance) if night % 2 else set() for mirror in mirrors]
        sim.clock.advance(600)
        for mirror, wrong in zip(mirrors, damaged, strict=True):
            report = mirror.check()
            assert {(one.table, one.key[0]) for one in report.findings} == wrong, (night, mirror.destination.kind)
            assert report.incomplete == {}
            assert mirror.differences(LISTS) == [], (night, mirror.destination.kind)
