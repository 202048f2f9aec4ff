"""Events arrive twice, late and in any order: what the tables end with is what Stripe has."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simulator import Simulator
from tests.webhook_sink.account_equality import assert_equal
from tests.webhook_sink.conftest import NOW, Served, Stored, deliver, event
from webhook_sink.sink import Sink

SHARED = [
    HealthCheck.function_scoped_fixture,
    HealthCheck.too_slow,
]  # examples share a database, each with ids of its own
LINES = ("a", "b", "c")


@dataclass(frozen=True)
class State:
    """What an invoice was at one second: deleted, or alive with these lines."""

    deleted: bool
    lines: frozenset[str]
    memo: str


STATES = st.builds(
    State,
    deleted=st.sampled_from([False, False, False, True]),
    lines=st.frozensets(st.sampled_from(LINES)),
    memo=st.text("xyz", max_size=2),
)


def shown(invoice: str, state: State) -> dict[str, Any]:
    lines = [{"id": f"{invoice}_{line}", "object": "line_item", "invoice": invoice} for line in sorted(state.lines)]
    listed = {"object": "list", "data": lines, "has_more": False, "url": "/v1/invoices"}
    rest = {"currency": "eur", "total": len(lines), "status": "draft", "livemode": False}
    return {"id": invoice, "object": "invoice", "description": state.memo, "lines": listed, **rest}


def told(invoice: str, states: list[State]) -> list[dict[str, Any]]:
    """The events of a history, a second apart."""
    return [
        event(
            "invoice.deleted" if state.deleted else "invoice.updated",
            shown(invoice, state),
            id=f"evt_{invoice}_{second}",
            created=NOW + second,
        )
        for second, state in enumerate(states)
    ]


def test_every_order_of_a_history_ends_with_its_last_state(with_sink: Callable[..., Any], stored: Stored) -> None:
    numbers = itertools.count()

    async def body(sink: Sink) -> None:
        loop = asyncio.get_running_loop()

        @settings(max_examples=60, suppress_health_check=SHARED)
        @given(states=st.lists(STATES, min_size=1, max_size=5), data=st.data())
        def example(states: list[State], data: st.DataObject) -> None:
            invoice = f"in_{next(numbers)}"
            events = told(invoice, states)
            again = data.draw(st.lists(st.sampled_from(events), max_size=4))
            order = data.draw(st.permutations([*events, *again]))
            cut = data.draw(st.integers(0, len(order)))
            for batch in (order[:cut], order[cut:]):
                asyncio.run_coroutine_threadsafe(deliver(sink, *batch), loop).result(30)
            check(stored, invoice, states)

        await asyncio.to_thread(example)

    with_sink(body)


def check(stored: Stored, invoice: str, states: list[State]) -> None:
    last = states[-1]
    (row,) = stored.query("select description, _deleted_at is not null from stripe.invoices where id = %s", invoice)
    assert row == (last.memo, last.deleted)
    living = stored.query(
        "select id from stripe.invoice_line_items where _parent_id = %s and _deleted_at is null order by id", invoice
    )
    expected = [] if last.deleted else [f"{invoice}_{line}" for line in sorted(last.lines)]
    assert [id for (id,) in living] == expected


CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["rename", "rename", "items", "create", "delete", "pay"]),
        st.integers(0, 5),
        st.sampled_from([0, 0, 0, 1]),
    ),
    min_size=1,
    max_size=12,
)
TABLES = ("customers", "subscriptions", "subscription_items", "invoices", "invoice_line_items", "products")


def test_storm_of_one_seconds_events_ends_equal_to_the_account(serve: Callable[..., Served], stored: Stored) -> None:
    """Ties are decided by reading again; everything is delivered shuffled and some of it twice."""
    with Simulator(seed=3, customers=4, now=NOW, running=False) as sim:
        served = serve(sim)
        told: list[bytes] = []
        sim.account.events.listeners.append(told.append)
        for table in ("customers", "subscriptions", "invoices", "products"):
            for one in sim.account.objects(table):
                sim.account.tell(table, one["id"], PROBES[table])
        send(served, told)

        # Everything is drawn before the account changes: an example that is given up halfway would leave events untold.
        @settings(max_examples=20, suppress_health_check=SHARED)
        @given(changes=CHANGES, seed=st.integers(0, 1_000))
        def example(changes: list[tuple[str, int, int]], seed: int) -> None:
            told.clear()
            for change, which, seconds in changes:
                apply(sim, change, which)
                sim.clock.advance(seconds)
            order = random.Random(seed).sample(told, len(told))
            send(served, [*order, *order[::3]])
            sim.clock.advance(5)
            served.read_again()
            assert_equal(stored.url, sim, TABLES)

        example()


PROBES = {
    "customers": "customer.updated",
    "subscriptions": "customer.subscription.updated",
    "invoices": "invoice.updated",
    "products": "product.updated",
}
NUMBERS = itertools.count()


def apply(sim: Simulator, change: str, which: int) -> None:
    account = sim.account
    customers, subscriptions = account.objects("customers"), account.objects("subscriptions")
    n = next(NUMBERS)
    match change:
        case "rename" if customers:
            account.update("customers", customers[which % len(customers)]["id"], {"name": f"name {n}"})
        case "items" if subscriptions:
            subscription = subscriptions[which % len(subscriptions)]
            items = [one.object for one in account.rows("subscription_items") if one.parent == subscription["id"]]
            fresh = {**items[0], "id": f"si_new{n}"} if items else None
            left = items[1:] if which % 2 else items
            account.update("subscriptions", subscription["id"], {"items": listed([*left, *([fresh] if fresh else [])])})
        case "create":
            account.create("products", sim.make("products", id=f"prod_new{n}", name=f"product {n}"))
        case "delete":
            made = [one for one in account.objects("products") if one["id"].startswith("prod_new")]
            if made:
                account.delete("products", made[which % len(made)]["id"])
        case "pay":
            invoices = account.objects("invoices")
            account.update("invoices", invoices[which % len(invoices)]["id"], {"description": f"paid {n}"})


def listed(items: list[dict[str, Any]]) -> dict[str, Any]:
    return {"object": "list", "data": items, "has_more": False, "url": "/v1/subscription_items"}


def send(served: Served, bodies: list[bytes]) -> None:
    for body in bodies:
        answer = served.post(body)
        assert answer.status == 200, (answer.data, orjson.loads(body)["type"])
