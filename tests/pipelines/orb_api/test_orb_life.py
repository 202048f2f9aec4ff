"""An Orb account that lives for sixty days beside a database: syncs, lost webhooks, equal tables every night.

SIMULATED_NIGHTS=60 SYNCS_A_NIGHT=24 is every night and every hour of them. Without these variables the sixty days have
fewer nights, and fewer syncs between two of them.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable

import pytest

from simulator.orb import OrbSimulator
from simulator.orb.activity import Activity
from simulator.orb.deliveries import OrbDeliveries
from tests.databases import Database
from tests.pipelines.orb_mirror import OrbMirror
from tests.webhook_sink.orb_served import SECRET, OrbServed, orb_servers

DAY, DAYS = 86_400, 60
NIGHTS = int(os.environ.get("SIMULATED_NIGHTS", "3"))
SYNCS = int(os.environ.get("SYNCS_A_NIGHT", "1"))  # before each night
LISTS = ("core", "dimensional_price_groups")
STYLES = ("expanded", "expanded", "standard")


class Webhooks:
    """Orb's deliveries on their way to a sink: half of them are lost, some come twice, none in order."""

    def __init__(self, sim: OrbSimulator, served: OrbServed, chance: random.Random) -> None:
        self._deliveries: OrbDeliveries = sim.deliveries
        self._sim, self._served, self._chance, self.sent = sim, served, chance, 0
        made = {"id": "ours", "created_at": sim.account.now(), "enabled": True, "enabled_event_types": None}
        made |= {"payload_style": "expanded", "url": served.url + served.path}
        sim.account.create("webhook_endpoints", made)
        sim.deliveries.secrets["ours"] = [SECRET]

    def style(self, style: str) -> None:
        """What payloads show from now on."""
        self._sim.account.update("webhook_endpoints", "ours", {"payload_style": style})

    def deliver(self) -> None:
        """Sends what arrives of what has been told since, and has read again what waits for it."""
        due = self._deliveries.due
        arrived = [listing for listing in due if self._chance.random() < 0.5]
        again = [each for each in arrived if self._chance.random() < 0.1]
        due.clear()
        due.extend(self._chance.sample(mixed := [*arrived, *again], len(mixed)))
        statuses = self._deliveries.send_all()
        assert set(statuses) <= {200}
        self.sent += len(statuses)
        self._sim.clock.advance(5)
        self._served.read_again()


@pytest.mark.long
@pytest.mark.timeout(0)
def test_tables_equal_the_account_every_night(
    destination: Database, orb_mirrored: Callable[..., OrbMirror], request: pytest.FixtureRequest
) -> None:
    """With Postgres a real sink runs beside the syncs; a DuckDB file has no sink. A night's sync finds what is gone."""
    chance = random.Random(7)
    mirror = orb_mirrored(seed=3, customers=8, running=False)
    sim = mirror.sim
    sim.account.update("customers", sim.account.objects("customers")[0]["id"], {}, "customer.edited")
    mirror.pass_time(3_600)  # so that the log goes back behind the first load
    mirror.load(*LISTS)
    activity, begin = Activity(sim.account, seed=11), sim.clock.seconds()
    if destination.kind != "postgres":
        live(mirror, activity, chance, None, begin)
        return
    with orb_servers(destination.address) as start:
        webhooks = Webhooks(sim, start(sim), chance)
        live(mirror, activity, chance, webhooks, begin)
        assert webhooks.sent


def live(mirror: OrbMirror, activity: Activity, chance: random.Random, webhooks: Webhooks | None, begin: int) -> None:
    sim = mirror.sim
    for night in range(NIGHTS):
        for hour in range(SYNCS):
            for _ in range(chance.choice((0, 0, 1, 1, 4)) if SYNCS >= 24 else 10):
                if webhooks is not None:
                    webhooks.style(chance.choice(STYLES))
                activity.step()
                sim.clock.advance(chance.choice((0, 0, 1, 60)))
            if webhooks is not None:
                webhooks.deliver()
            until = begin + DAYS * DAY * (night * SYNCS + hour + 1) // (NIGHTS * SYNCS)
            sim.clock.advance(max(1_800, until - sim.clock.seconds()))
            mirror.sync("new")
        if night % 2 and len(sim.account.tables["customers"]) > 2:
            activity.delete()
        mirror.sync("everything" if night % 2 else "changes")
        assert mirror.differences(LISTS) == [], night
