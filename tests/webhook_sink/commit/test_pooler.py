"""The sink behind a pooler in transaction mode, which gives each transaction any server connection that is free."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from typing import Any

import orjson
import psycopg
import pytest

from simulator import Simulator
from sources.stripe_api.provider import STRIPE
from tests.databases import with_database
from tests.webhook_sink.account_equality import assert_equal
from tests.webhook_sink.conftest import NOW, Served, Stored, deliver, event, sink_settings
from tests.webhook_sink.conftest import settings_for as sink_settings_for
from webhook_sink.commit.connection import Connection, Statement, result_rows, transaction
from webhook_sink.sink import Sink

Pooled = Callable[..., str]
SETTINGS = "select name, setting from pg_settings where source = 'session' and name <> 'application_name'"


def changed(i: int, **fields: Any) -> dict[str, Any]:
    return event("customer.updated", {"id": f"cus_{i}", "object": "customer", **fields}, id=f"evt_{i}", created=NOW + i)


def test_events_are_taken_and_nothing_is_left_to_other_clients(
    serve: Callable[..., Served], pooled: Pooled, stored: Stored
) -> None:
    address = pooled(pool_size=3)
    with psycopg.connect(address, autocommit=True) as other:
        before = other.execute(SETTINGS).fetchall()
    served = serve(url=address)
    with ThreadPoolExecutor(12) as threads:
        assert set(threads.map(lambda i: served.send(changed(i))[0], range(120))) == {200}
    for path in ("/ready", "/metrics"):
        assert served.get(path).status == 200
    with ThreadPoolExecutor(3) as threads:  # each of the pool's sessions, which wait for one another
        found = list(threads.map(lambda _: session_settings(address), range(3)))
    assert found == [before] * 3
    assert stored.query("select status, count(*) from stripe.stripe_webhook_events group by 1") == [("processed", 120)]
    assert stored.value("select count(*) from stripe.customers") == 120


def session_settings(address: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(address, autocommit=True) as other:
        return other.execute(f"with slow as (select pg_sleep(0.1)) {SETTINGS} and (select true from slow)").fetchall()


def test_objects_are_read_again_and_tables_grow(
    serve: Callable[..., Served], pooled: Pooled, stored: Stored, simulator: Callable[..., Simulator]
) -> None:
    sim = simulator(seed=3, customers=4)
    served = serve(sim, url=pooled(pool_size=2), revalidate="customers", api_key="a key")
    told: list[bytes] = []
    sim.account.events.listeners.append(told.append)
    for obj in list(sim.account.objects("customers")):
        sim.account.update("customers", obj["id"], {"name": "renamed", "unheard_of": "x"})
    assert {served.post(body).status for body in told} == {200}
    sim.clock.advance(5)
    served.read_again()
    assert_equal(stored.url, sim, ["customers"])
    answer = served.get("/sync/status", **{"X-API-Key": "a key"})
    assert (answer.status, orjson.loads(answer.data)["waiting"]) == (200, 0)


@pytest.mark.parametrize("way", ["direct", "pooled"])
def test_statements_have_names_only_where_the_server_itself_answers(
    way: str, postgres_url: str, request: pytest.FixtureRequest
) -> None:
    address = postgres_url if way == "direct" else request.getfixturevalue("pooled")(pool_size=2)

    async def main() -> tuple[bool, Any]:
        sink = Sink(sink_settings_for(address), sink_settings(), provider=STRIPE)
        sink.start()
        try:
            await sink.opened()
            await deliver(sink, changed(1))
            async with transaction(sink.pool) as connection:
                (found,) = await connection.run_pipeline([Statement(b"SELECT count(*) FROM pg_prepared_statements")])
                return connection.is_direct, result_rows(found)
        finally:
            await sink.stop()

    is_direct, [(names,)] = asyncio.run(main())
    assert (is_direct, int(names) > 0) == ((True, True) if way == "direct" else (False, False))


@pytest.mark.parametrize("spoilt", ["gone", "taken", "another result"])
def test_prepared_statement_that_is_not_as_it_was_is_an_outage_and_the_batch_is_tried_again(
    with_sink: Callable[..., Any], stored: Stored, spoilt: str
) -> None:
    """What a pooler does that passes the server's own key on, and then goes on with another session."""

    async def body(sink: Sink) -> list[str]:
        outcomes = await deliver(sink, changed(1), changed(2, balance=1))
        async with AsyncExitStack() as taken:
            prepared: list[Any] = []
            while not prepared:  # a busy sink has opened others, which have committed nothing
                connection = await taken.enter_async_context(sink.pool.connection())
                prepared = await (await connection.execute("select 1 from pg_prepared_statements")).fetchall()
            assert connection.is_direct
            await spoil(connection, spoilt)
        return outcomes + await deliver(sink, changed(3), changed(4, name="x"), changed(5))

    assert with_sink(body) == ["committed"] * 5
    assert stored.query("select status, attempts from stripe.stripe_webhook_events") == [("processed", 1)] * 5


async def spoil(connection: Connection, how: str) -> None:
    names = [name for (name,) in await (await connection.execute("select name from pg_prepared_statements")).fetchall()]
    assert names
    await connection.execute("deallocate all")
    if how == "taken":  # the next names of ours
        numbers = [int(name.removeprefix("sink_")) for name in names]
        for number in range(max(numbers) + 1, max(numbers) + 40):
            await connection.execute(f"prepare sink_{number} as select 1".encode())
        connection._names.clear()
    elif how == "another result":
        await connection.execute("create table public.t (a int)")
        for name in names:
            await connection.execute(f"prepare {name} as select * from public.t".encode())
        await connection.execute("alter table public.t alter a type text")


def test_sessions_of_the_pool_that_others_have_bent_change_no_row(
    serve: Callable[..., Served], pooled: Pooled, stored: Stored
) -> None:
    """Another client of the pooler has left its settings in the server's sessions."""
    address = pooled(pool_size=1)
    bent = "set search_path = nowhere; set datestyle = german; set timezone = 'Asia/Tokyo'; set enable_indexscan = off"
    with psycopg.connect(address, autocommit=True) as other:
        other.execute("set extra_float_digits = -15")
        other.execute(bent.encode())
    served = serve(url=address)
    with psycopg.connect(address, autocommit=True) as other:
        other.execute(bent.encode())
    chance = random.Random(1)
    events = [changed(i, created=NOW - chance.randrange(10**8), balance=i) for i in range(5)]
    assert served.send(*events) == [200] * 5
    expected = [(f"cus_{i}", each["data"]["object"]["created"], i) for i, each in enumerate(events)]
    assert stored.query("select id, extract(epoch from created)::bigint, balance from stripe.customers") == expected


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_database_that_cannot_hold_every_text_is_refused_at_the_start(postgres_url: str, encoding: str) -> None:
    name = f"bad_{encoding.lower()}_{NOW}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"drop database if exists {name}".encode())
        connection.execute(
            f"create database {name} encoding '{encoding}' template template0 lc_collate 'C' lc_ctype 'C'".encode()
        )

    async def main() -> Any:
        sink = Sink(sink_settings_for(with_database(postgres_url, name)), sink_settings(), provider=STRIPE)
        ended = asyncio.Event()
        sink.start(ended.set)
        try:
            await asyncio.wait_for(ended.wait(), 60)
            return sink.failure
        finally:
            await sink.stop()

    try:
        assert f"server_encoding) is {encoding}" in str(asyncio.run(main()))
    finally:
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute(f"drop database {name} with (force)".encode())
