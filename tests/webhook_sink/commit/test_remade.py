"""Objects whose ids people choose, deleted and made again under them within one second: Stripe has the last word."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest

from simulator import Simulator
from tests.webhook_sink.conftest import NOW, Served, Stored

Serve = Callable[..., Served]
Story = Callable[[Simulator, str], None]
TABLES = ("coupons", "plans", "prices", "products")


@pytest.fixture
def sim() -> Iterator[Simulator]:
    with Simulator(seed=5, customers=0, now=NOW, running=False) as sim:
        yield sim


def told(sim: Simulator, change: Callable[[], Any]) -> list[dict[str, Any]]:
    bodies: list[bytes] = []
    sim.account.events.listeners.append(bodies.append)
    change()
    sim.account.events.listeners.remove(bodies.append)
    return [orjson.loads(body) for body in bodies]


def make(sim: Simulator, table: str, name: str) -> None:
    sim.account.create(table, sim.make(table, id="SPRING", metadata={"made": name}))


def made_again(sim: Simulator, table: str) -> None:
    sim.account.delete(table, "SPRING")
    make(sim, table, "the second")


def made_and_deleted(sim: Simulator, table: str) -> None:
    sim.account.delete(table, "SPRING")
    make(sim, table, "the second")
    sim.account.delete(table, "SPRING")


def of_the_old_version(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same with deletions that are no more than stubs."""
    for event in events:
        if event["type"].endswith(".deleted"):
            shown = event["data"]["object"]
            event["data"]["object"] = {"id": shown["id"], "object": shown["object"], "deleted": True}
    return events


@pytest.mark.long
@pytest.mark.parametrize("story", [made_again, made_and_deleted])
@pytest.mark.parametrize("table", TABLES)
def test_events_of_one_second_end_with_what_stripe_has_in_every_order(
    serve: Serve, stored: Stored, sim: Simulator, table: str, story: Story
) -> None:
    served = serve(sim)
    for order, stubs, together in itertools.product(("forth", "back"), (False, True), (False, True)):
        before = told(sim, lambda: make(sim, table, "the first"))
        assert set(served.send(*before)) == {200}
        sim.clock.advance(5)
        events = told(sim, lambda: story(sim, table))
        events = of_the_old_version(events) if stubs else events
        events = events if order == "forth" else events[::-1]
        if together:
            served.deliver(*events)
        else:
            assert set(served.send(*events)) == {200}
        sim.clock.advance(5)
        served.read_again()
        live = sim.account.get(table, "SPRING")
        rows = stored.query(f"select metadata ->> 'made' from stripe.{table} where _deleted_at is null")
        assert rows == ([(live["metadata"]["made"],)] if live is not None else []), (order, stubs, together)
        if live is not None:
            served.send(*told(sim, lambda: sim.account.delete(table, "SPRING")))
            sim.clock.advance(5)


def test_without_a_key_the_later_arrival_is_kept(serve: Serve, stored: Stored, sim: Simulator) -> None:
    served = serve(account=sim.account.id)
    served.send(*told(sim, lambda: make(sim, "products", "the first")))
    served.send(*told(sim, lambda: made_again(sim, "products")))
    lives = "select metadata ->> 'made' from stripe.products where _deleted_at is null"
    assert stored.query(lives) == [("the second",)]


def test_what_cannot_come_again_stays_deleted(serve: Serve, stored: Stored, sim: Simulator) -> None:
    """A customer's id is Stripe's own: of a creation and a deletion in one second the deletion was later."""
    served = serve(account=sim.account.id)
    made = told(sim, lambda: sim.account.create("customers", sim.make("customers", id="cus_1")))
    gone = told(sim, lambda: sim.account.delete("customers", "cus_1"))
    assert set(served.send(*gone, *made)) == {200}
    assert stored.query("select 1 from stripe.customers where _deleted_at is null") == []
