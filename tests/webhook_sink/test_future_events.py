"""Signed events that claim to be from the future are kept as failed: their rows would win over each later state."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import orjson
import pytest

from sources.errors import BrokenPage
from sources.stripe_api.events.webhook import read_event
from sources.stripe_api.provider import STRIPE
from tests.webhook_sink.conftest import NOW, Stored, event, settings_for, sink_settings
from webhook_sink.sink import Sink, refuse_future

DAY = 86_400


def test_event_from_the_future_fails_and_its_neighbours_are_committed(postgres_url: str, stored: Stored) -> None:
    far = event("customer.updated", {"id": "cus_1", "object": "customer"}, id="evt_far", created=NOW + 2 * DAY)
    near = event("customer.updated", {"id": "cus_1", "object": "customer"}, id="evt_near", created=NOW)

    async def main() -> list[str]:
        sink = Sink(
            replace(settings_for(postgres_url), max_clock_skew=600.0),
            sink_settings(),
            provider=STRIPE,
            clock=lambda: NOW,
        )
        sink.start()
        try:
            await sink.opened()
            return await asyncio.gather(*(sink.take(read_event(orjson.dumps(each))) for each in (far, near)))
        finally:
            await sink.stop()

    assert asyncio.run(main()) == ["failed", "committed"]
    status, _, error = stored.ledger("evt_far")
    assert status == "failed"
    assert "creation time" in error
    assert "NTP" in error
    assert stored.query("select extract(epoch from _as_of)::bigint from stripe.customers") == [(NOW,)]


@pytest.mark.parametrize("ahead", [-DAY * 400, 0, 7 * 3_600, DAY])
def test_machine_that_is_hours_behind_takes_what_is_true(ahead: int) -> None:
    refuse_future(1_780_000_000 + ahead, 1_780_000_000.0, 600.0)


@pytest.mark.parametrize(("ahead", "skew"), [(DAY + 1, 600.0), (366 * DAY, 2.0 * DAY)])
def test_event_more_than_a_day_ahead_is_refused(ahead: int, skew: float) -> None:
    with pytest.raises(BrokenPage, match="seconds ahead of this machine"):
        refuse_future(1_780_000_000 + ahead, 1_780_000_000.0, skew)


def test_simulated_account_has_a_clock_of_its_own() -> None:
    shown: dict[str, Any] = event("customer.created", {"id": "cus_1"}, created=4_000_000_000)
    refuse_future(read_event(orjson.dumps(shown)).created, 1_780_000_000.0, float("inf"))
