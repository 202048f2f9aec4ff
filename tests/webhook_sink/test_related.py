"""`backfill_related`: objects that an event refers to, and that no table has, are read from the API."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from simulator import Simulator
from sources.errors import BadConfiguration
from sources.stripe_api.objects.related import related
from sources.stripe_api.provider import STRIPE
from tests.webhook_sink.conftest import Stored, deliver, event, read_again, settings_for, sink_settings
from webhook_sink.sink import Sink

REQUESTED = "select table_name, reason, error from stripe.stripe_webhook_rereads"


@pytest.fixture(scope="module")
def sim() -> Iterator[Simulator]:
    with Simulator(seed=4, customers=4, lacks=["balance_transactions"]) as sim:
        yield sim


def charge_of(sim: Simulator) -> dict[str, Any]:
    """A charge that names several objects, among them one that the account may not read."""
    found = [obj for obj in sim.account.objects("charges") if obj["customer"] and obj["balance_transaction"]]
    return dict(found[0])


def sent(sim: Simulator, id: str, charge: dict[str, Any], *, ago: int = 0) -> dict[str, Any]:
    """An event of now, or of some seconds ago: an object of which one second has two events is read again for that."""
    return event("charge.succeeded", charge, id=id, created=sim.clock.seconds() - ago)


def test_what_an_event_names_is_read_once(with_sink: Callable[..., Any], sim: Simulator, stored: Stored) -> None:
    charge = charge_of(sim)

    async def body(sink: Sink) -> None:
        assert await deliver(sink, sent(sim, "evt_1", charge, ago=60)) == ["committed"]
        await read_again(sink)
        sim.service.reset()
        assert await deliver(sink, sent(sim, "evt_2", charge | {"description": "again"})) == ["committed"]
        await read_again(sink)
        assert sum(sim.service.requests.values()) == 0

    with_sink(body, sim, backfill_related=True)
    named = {(ref.table, ref.key[0]) for ref in related(charge)}
    assert {"customers", "payment_intents", "balance_transactions"} <= {table for table, _ in named}
    for table, id in named - {("balance_transactions", charge["balance_transaction"])}:
        source = f'select _source from stripe."{table}" where id = %s'
        assert stored.query(source, id) == [("retrieve",)], (table, id)
    assert stored.value("select count(*) from stripe.customers") == 1
    assert stored.query(REQUESTED) == []
    assert stored.query("select distinct status from stripe.stripe_webhook_events") == [("processed",)]


def test_without_the_setting_nothing_is_read(with_sink: Callable[..., Any], sim: Simulator, stored: Stored) -> None:
    async def body(sink: Sink) -> None:
        await deliver(sink, sent(sim, "evt_1", charge_of(sim)))

    with_sink(body, sim)
    assert stored.query(REQUESTED) == []


def test_it_needs_a_key(postgres_url: str) -> None:
    with pytest.raises(BadConfiguration, match="backfill_related needs a key"):
        Sink(settings_for(postgres_url), sink_settings(backfill_related=True), provider=STRIPE)
