"""Polling `/v1/events`: what one event is stops no other, and nothing is read again without need."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import orjson
import pytest

from simulator import Simulator
from simulator.account.events import KEPT
from sources.errors import SkipResource
from sources.fetch.limiter import Limiter
from sources.fetch.values import Page
from sources.stripe_api.catalogue import TABLES
from sources.stripe_api.client.client import Client
from tests.webhook_sink.commit.test_batches import POISON, customer
from tests.webhook_sink.conftest import NOW, Stored
from webhook_sink.follow import OVERLAP_SECONDS, follow, poll
from webhook_sink.sink import Sink

WithSink = Callable[..., Any]


@pytest.fixture
def sim() -> Iterator[Simulator]:
    with Simulator(seed=9, customers=1, now=NOW, running=False) as sim:
        sim.clock.advance(100)
        yield sim


def tell(sim: Simulator, *shown: dict[str, Any] | None) -> list[str]:
    """Events of this second with these objects; their ids."""
    now = sim.clock.seconds()
    return [sim.account.events.tell("customer.updated", orjson.dumps(each), now)["id"] for each in shown]


def test_an_event_that_fails_is_kept_and_holds_up_no_other(with_sink: WithSink, stored: Stored, sim: Simulator) -> None:
    poison, _ = tell(sim, customer(POISON), customer(1))

    async def body(sink: Sink) -> None:
        seen: set[str] = set()
        client = sink.client_of(None)
        start, told = await poll(sink, client, NOW + 50, seen)
        assert (start, told) == (NOW + 50, 2)
        assert (await poll(sink, client, start, seen))[1] == 0

    with_sink(body, sim)
    assert stored.ledger(poison)[:2] == ("failed", 1)
    assert stored.query("select id from stripe.customers") == [("cus_1",)]


def test_what_is_no_event_is_counted_said_and_left_out(
    with_sink: WithSink, stored: Stored, sim: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    tell(sim, None, customer(1))

    async def body(sink: Sink) -> str:
        await follow(sink, since=NOW + 50, interval=0.0, once=True)
        return sink.metrics.text().decode()

    assert 'stripe_sink_refused_total{reason="body"} 1.0' in with_sink(body, sim)
    assert "the event has no object" in caplog.text
    assert stored.query("select id from stripe.customers") == [("cus_1",)]


def test_more_events_than_the_queue_holds_wait_for_room(with_sink: WithSink, stored: Stored, sim: Simulator) -> None:
    tell(sim, *(customer(i) for i in range(30)))

    async def body(sink: Sink) -> None:
        await follow(sink, since=NOW + 50, interval=0.0, once=True)

    with_sink(body, sim, queue_events=4, batch_events=3)
    assert stored.value("select count(*) from stripe.customers") == 30


class Ageing:
    """A client under whose hands time passes: so many seconds after each page."""

    def __init__(self, client: Client, sim: Simulator, seconds: float) -> None:
        self._client, self._sim, self._seconds = client, sim, seconds

    def page(self, *asked: Any) -> Page:
        page = self._client.page(*asked)
        self._sim.clock.advance(self._seconds)
        return page


def test_event_that_expires_while_it_is_the_cursor_ends_no_round(
    with_sink: WithSink, stored: Stored, sim: Simulator
) -> None:
    begin = sim.clock.seconds()
    for number in range(150):
        tell(sim, customer(number))
        sim.clock.advance(10)
    sim.clock.advance(KEPT - 1_505)  # the oldest has five seconds left

    async def body(sink: Sink) -> None:
        client: Any = Ageing(sink.client_of(None), sim, 600)
        assert (await poll(sink, client, begin, set()))[1] == 100

    with_sink(body, sim)
    shown = {f"cus_{number}" for number in range(50, 150)}
    assert {id for (id,) in stored.query("select id from stripe.customers")} == shown


def test_overlap_reaches_neither_before_the_given_second_nor_further_back_each_time(
    with_sink: WithSink, stored: Stored, sim: Simulator
) -> None:
    tell(sim, customer(1))
    sim.clock.advance(1_000)

    async def body(sink: Sink) -> list[int]:
        client, starts = sink.client_of(None), [NOW + 500]
        for _ in range(3):
            starts.append((await poll(sink, client, starts[-1], set()))[0])
        tell(sim, customer(2))
        starts.append((await poll(sink, client, starts[-1], set()))[0])
        return starts

    assert with_sink(body, sim) == [NOW + 500] * 4 + [sim.clock.seconds() - OVERLAP_SECONDS]
    assert stored.query("select id from stripe.customers") == [("cus_2",)]


def test_key_that_may_not_read_events_gets_no_advice_for_syncs(with_sink: WithSink, sim: Simulator) -> None:
    key = sim.keys.restricted(read=TABLES.keys() - {"events"})

    async def body(sink: Sink) -> None:
        with Client(replace(sink.client_of(None).settings, api_key=key), Limiter(None, None)) as client:
            with pytest.raises(SkipResource) as refused:
                await poll(sink, client, NOW + 50, set())
            assert "SYNC__CADENCE_HOURS" not in str(refused.value)

    with_sink(body, sim)
