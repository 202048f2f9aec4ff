"""An account that lives for sixty days beside a database: syncs, lost webhooks, a check every night, equal tables.

SIMULATED_NIGHTS=60 SYNCS_A_NIGHT=24 is every night and every hour of them. Without these variables the sixty days have
fewer nights, and fewer syncs between two of them.
"""

from __future__ import annotations

import os
import random
from contextlib import ExitStack

import pytest

from tests.databases import Database
from tests.providers.conftest import Made
from tests.providers.provider_case import AccountLife, ProviderCase, corrupt
from tests.webhook_sink.conftest import Served

HOUR, DAY = 3_600, 86_400
DAYS = 60
NIGHTS = int(os.environ.get("SIMULATED_NIGHTS", "4"))
SYNCS = int(os.environ.get("SYNCS_A_NIGHT", "2"))  # before each night


class Webhooks:
    """Events on their way to a sink over HTTP: half of them are lost, some come twice, none in order."""

    def __init__(self, case: ProviderCase, life: AccountLife, served: Served, chance: random.Random) -> None:
        self._case, self._life, self._served, self._chance = case, life, served, chance
        self.sent = 0

    def deliver(self) -> None:
        """Sends what arrives of what has been told since."""
        arrived = [event for event in self._life.told if self._chance.random() < 0.5]
        again = [event for event in arrived if self._chance.random() < 0.1]
        self._life.told.clear()
        for event in self._chance.sample(mixed := [*arrived, *again], len(mixed)):
            assert self._served.post(self._life.body(event, self._chance.choice(self._case.styles))).status == 200
            self.sent += 1

    def read_again(self) -> None:
        """Has read again what waits for it."""
        self._served.read_again()


@pytest.mark.long
@pytest.mark.timeout(0)
def test_tables_equal_the_account_every_night(case: ProviderCase, mirrored: Made, destination: Database) -> None:
    """With Postgres a real sink runs beside the syncs; a DuckDB file has no sink."""
    chance = random.Random(7)
    mirror = mirrored(seed=3, customers=12)
    clock, life = mirror.sim.clock, case.live(mirror)
    life.begin(*case.lived)
    begin = clock.seconds()
    with ExitStack() as running:
        webhooks = None
        if destination.kind == "postgres":
            served = running.enter_context(case.serve(destination.address))(mirror.sim)
            webhooks = Webhooks(case, life, served, chance)
        for night in range(NIGHTS):
            for hour in range(SYNCS):
                for _ in range(chance.choice((0, 0, 1, 1, 4)) if SYNCS >= 24 else 4):
                    life.tell_in(chance.choice(case.styles))
                    life.step()
                    clock.advance(chance.choice((0, 0, 1, 60)))
                if webhooks is not None:
                    webhooks.deliver()
                until = begin + DAYS * DAY * (night * SYNCS + hour + 1) // (NIGHTS * SYNCS)
                clock.advance(max(HOUR // 2, until - clock.seconds()))
                if webhooks is not None:
                    webhooks.read_again()
                life.hourly()
            life.nightly(night)
            assert mirror.differences(case.lived) == [], night
            damaged = corrupt(mirror, case.damages, chance) if night % 2 else set()
            report = mirror.check()
            assert {(finding.table, finding.key[0], finding.drift) for finding in report.findings} == damaged, night
            assert report.incomplete == {}
            assert mirror.differences(case.lived) == [], night
        assert webhooks is None or webhooks.sent
