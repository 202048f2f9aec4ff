"""Events arrive twice, late, in any order and in any style of payload: the tables end with what the provider has."""

from __future__ import annotations

import asyncio
import itertools
import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.databases import Database
from tests.pipelines.account_mirror import AccountMirror, Object
from tests.providers.conftest import Made
from tests.providers.provider_case import AccountLife, ProviderCase, State
from tests.webhook_sink.conftest import NOW, Served, Stored, deliver
from webhook_sink.sink import Sink

SHARED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
"""Examples share a database, each with ids of its own."""

STATES = st.builds(
    State,
    deleted=st.sampled_from([False, False, False, True]),
    lines=st.frozensets(st.sampled_from(("a", "b", "c"))),
    memo=st.text("xyz", max_size=2),
)


def test_every_order_of_a_history_ends_with_its_last_state(
    case: ProviderCase, with_sink: Callable[..., Any], stored: Stored
) -> None:
    numbers = itertools.count()

    async def body(sink: Sink) -> None:
        loop = asyncio.get_running_loop()

        @settings(max_examples=45, suppress_health_check=SHARED)
        @given(states=st.lists(STATES, min_size=1, max_size=5), data=st.data())
        def example(states: list[State], data: st.DataObject) -> None:
            invoice = f"in_{next(numbers)}"
            states = [replace(state, deleted=state.deleted and case.tells_deletions) for state in states]
            events = case.history(invoice, states)
            again = data.draw(st.lists(st.sampled_from(events), max_size=4))
            order = data.draw(st.permutations([*events, *again]))
            cut = data.draw(st.integers(0, len(order)))
            for batch in (order[:cut], order[cut:]):
                asyncio.run_coroutine_threadsafe(deliver(sink, *batch), loop).result(30)
            check(stored, case, invoice, states[-1])

        await asyncio.to_thread(example)

    with_sink(body, settings=case.sink_settings(stored.url), provider=case.provider)


def check(stored: Stored, case: ProviderCase, invoice: str, last: State) -> None:
    table = f"{case.name}.invoices"
    (row,) = stored.query(f"select {case.memo}, _deleted_at is not null from {table} where id = %s", invoice)
    assert row == (last.memo, last.deleted)
    living = stored.query(
        f"select id from {case.name}.invoice_line_items where _parent_id = %s and _deleted_at is null order by id",
        invoice,
    )
    expected = [] if last.deleted else [f"{invoice}_{line}" for line in sorted(last.lines)]
    assert [id for (id,) in living] == expected


@pytest.mark.long
def test_storm_of_one_seconds_webhooks_ends_equal_to_the_account(case: ProviderCase, stored: Stored) -> None:
    """Ties are decided by reading again; everything is delivered shuffled, some of it twice, and each in a style."""
    mirror, life = simulated(case, stored)
    with mirror.sim, case.serve(stored.url) as start:
        served = start(mirror.sim)
        life.tell_all()
        send(served, case, life, random.Random(0))
        change = st.tuples(st.sampled_from(case.storm), st.integers(0, 5), st.sampled_from([0, 0, 0, 1]))

        # Everything is drawn before the account changes: an example that is given up halfway would leave events untold.
        # An example that fails cannot be made smaller: the account goes on.
        @settings(max_examples=16, suppress_health_check=SHARED, phases=[Phase.generate])
        @given(changes=st.lists(change, min_size=1, max_size=12), seed=st.integers(0, 1_000))
        def example(changes: list[tuple[str, int, int]], seed: int) -> None:
            for what, which, seconds in changes:
                life.change(what, which)
                mirror.pass_time(seconds)
            send(served, case, life, random.Random(seed))
            assert mirror.differences(case.stormy, but=case.untold) == []

        example()


def simulated(case: ProviderCase, stored: Stored, **options: Any) -> tuple[AccountMirror[Any], AccountLife]:
    """A mirror whose simulator is not started yet, at the second NOW unless its clock runs, and the account's life."""
    given = {"seed": 3, "customers": 4, "now": NOW, "running": False} | options
    mirror = case.mirror(case.simulate(**given), Database("postgres", stored.url))
    return mirror, case.live(mirror)


def send(served: Served, case: ProviderCase, life: AccountLife, chance: random.Random) -> None:
    """Sends what was told, in any order, some of it twice and each event in a style, until all is read again."""
    order = chance.sample(life.told, len(life.told))
    life.told.clear()
    for event in [*order, *order[::3]]:
        post(served, case, life, event, chance)
    life.tell_in(case.styles[0])
    life.mirror.pass_time(5)
    served.read_again()


def post(served: Served, case: ProviderCase, life: AccountLife, event: Object, chance: random.Random) -> None:
    answer = served.post(life.body(event, chance.choice(case.styles)))
    assert answer.status == 200, (answer.data, event["type"])


def test_load_and_a_storm_of_webhooks_together_end_equal_to_the_account(case: ProviderCase, stored: Stored) -> None:
    """The account changes all the while; pages are slow, deliveries late, doubled and shuffled."""
    mirror, life = simulated(case, stored, seed=11, customers=12, now=None, running=True, latency=0.05)
    with mirror.sim, case.serve(stored.url) as start, ThreadPoolExecutor(3) as threads:
        mirror.sim.faults.add(kind="slow", path_prefix="/v1/customers", delay=1.3, times=1)
        mirror.sim.faults.add(kind="slow", path_prefix="/v1/subscriptions", delay=0.7, times=2)
        served, ended = start(mirror.sim), threading.Event()

        def change() -> None:
            chance = random.Random(5)
            while not ended.wait(0.005):
                life.change(chance.choice(case.storm), chance.randrange(12))

        def deliver_late() -> None:
            """Posts what was told so far in a random order, some of it twice, and leaves the rest for later."""
            chance = random.Random(6)
            while not ended.wait(0.02):
                for event in chance.choices(life.told[-60:], k=10) if life.told else []:
                    post(served, case, life, event, chance)

        under_way = [threads.submit(change), threads.submit(deliver_late)]
        try:
            outcome = mirror.run(*case.stormy)
        finally:
            ended.set()
        for each in under_way:
            each.result()
        assert (outcome.error, outcome.failed) == (None, [])
        assert len(life.told) > 20
        send(served, case, life, random.Random(7))
        assert mirror.differences(case.stormy) == []


@pytest.mark.long
def test_storm_of_events_in_the_log_ends_equal_to_the_account(case: ProviderCase, mirrored: Made) -> None:
    """A sync reads them: ties and payloads that are not believed are read back."""
    mirror, chance = mirrored(customers=6), random.Random(1)
    life = case.live(mirror)
    life.begin(*case.stormy, case.log)
    for _ in range(4):
        for _ in range(40):
            life.tell_in(chance.choice(case.styles))
            life.change(chance.choice(case.storm), chance.randrange(4))
            if chance.random() < 0.2:
                mirror.pass_time(chance.randrange(1, 30))
        mirror.pass_time(120)
        life.hourly()
        assert mirror.differences(case.stormy) == []
