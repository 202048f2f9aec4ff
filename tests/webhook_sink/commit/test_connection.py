"""Statements that go to Postgres in one round trip."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import psycopg
import pytest
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.pq import TransactionStatus

from tests.webhook_sink.conftest import Stored
from webhook_sink.commit.connection import MOST_PREPARED, Connection, Statement, configure, new_pool, result_rows
from webhook_sink.sink import Sink

Body = Callable[[Connection], Awaitable[Any]]


def connected(url: str, body: Body, *, named: bool = True) -> Any:
    async def main() -> Any:
        async with await Connection.connect(url) as connection:
            await configure(connection)
            assert connection.is_direct
            connection.is_direct = named
            return await body(connection)

    return asyncio.run(main())


def test_results_come_in_the_order_of_the_statements_and_are_prepared_once(postgres_url: str) -> None:
    statements = [Statement(b"SELECT $1::int + 1", (n,)) for n in range(3)] + [Statement(b"SELECT 1 WHERE false")]

    async def body(connection: Connection) -> Any:
        found = [[result_rows(each) for each in await connection.run_pipeline(statements)] for _ in range(2)]
        (prepared,) = await connection.run_pipeline([Statement(b"SELECT count(*) FROM pg_prepared_statements")])
        return found, result_rows(prepared)

    assert connected(postgres_url, body) == ([[[("1",)], [("2",)], [("3",)], []]] * 2, [("3",)])


TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=st.lists(st.none() | TEXT),
    text=TEXT,
    number=st.integers(-(2**63), 2**63 - 1),
    flag=st.booleans(),
    named=st.booleans(),
)
def test_values_arrive_as_they_are(
    postgres_server: str, values: list[str | None], text: str, number: int, flag: bool, named: bool
) -> None:
    statement = Statement(
        b"SELECT $1::text[] IS NOT DISTINCT FROM ARRAY(SELECT jsonb_array_elements_text($2::jsonb)), $3::text,"
        b" $4::bigint, $5::boolean, $6::text, cardinality($1::text[])",
        (values, orjson.dumps(values), text, number, flag, None),
    )

    async def body(connection: Connection) -> Any:
        return result_rows((await connection.run_pipeline([statement]))[0])

    expected = ("t", text, str(number), "t" if flag else "f", None, str(len(values)))
    assert connected(postgres_server, body, named=named) == [expected]


def test_statements_without_a_transaction_are_committed_together_or_not_at_all(
    postgres_url: str, stored: Stored
) -> None:
    stored.query("CREATE TABLE t (n int PRIMARY KEY)")

    async def body(connection: Connection) -> None:
        insert = b"INSERT INTO t VALUES ($1)"
        await connection.run_pipeline([Statement(insert, (1,)), Statement(insert, (2,))])
        with pytest.raises(psycopg.errors.UniqueViolation):
            await connection.run_pipeline([Statement(insert, (3,)), Statement(insert, (1,)), Statement(insert, (4,))])
        assert connection.info.transaction_status == TransactionStatus.IDLE

    connected(postgres_url, body)
    assert stored.query("SELECT n FROM t ORDER BY n") == [(1,), (2,)]


def test_what_was_not_prepared_behind_an_error_is_prepared_the_next_time(postgres_url: str) -> None:
    behind = Statement(b"SELECT 'behind'")

    async def body(connection: Connection) -> Any:
        for wrong in (b"SELECT 1 / 0", b"SELECT nothing FROM nowhere"):
            with pytest.raises((psycopg.errors.DivisionByZero, psycopg.errors.UndefinedTable)):
                await connection.run_pipeline([Statement(b"BEGIN"), Statement(wrong), behind])
            assert connection.info.transaction_status == TransactionStatus.INERROR
            await connection.rollback()
        return [result_rows(each) for each in await connection.run_pipeline([behind, behind])]

    assert connected(postgres_url, body) == [[("behind",)]] * 2


def test_psycopgs_own_statements_and_rollbacks_leave_what_is_prepared(postgres_url: str) -> None:
    ours = Statement(b"SELECT 'ours'")

    async def body(connection: Connection) -> Any:
        await connection.run_pipeline([ours])
        for _ in range(9):
            await connection.execute("SELECT 'psycopg'", prepare=None)
        await connection.rollback()
        return result_rows((await connection.run_pipeline([ours]))[0])

    assert connected(postgres_url, body) == [("ours",)]


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_round_trips_and_psycopg_wait_for_one_socket_in_turn_and_none_watches_a_closed_one(
    postgres_url: str, run: Callable[..., None]
) -> None:
    one = [Statement(b"SELECT 1")]

    async def main() -> None:
        for _ in range(2):  # the second connection gets the number of the first one's socket
            connection = await Connection.connect(postgres_url)
            for _ in range(2):
                await connection.run_pipeline(one)
                await connection.execute("SELECT 1")
                await connection.commit()
            (told,) = await connection.run_pipeline([Statement(b"SELECT pg_backend_pid()")])
            async with await psycopg.AsyncConnection.connect(postgres_url) as other:
                await other.execute("SELECT pg_terminate_backend(%s::int)", result_rows(told)[0])
            while connection._watched is not None:
                await asyncio.sleep(0)
            with pytest.raises(psycopg.OperationalError):
                await connection.run_pipeline(one)
            await connection.close()

    run(main())


def test_statements_that_were_not_used_for_long_are_not_kept(postgres_url: str) -> None:
    many = [Statement(b"SELECT %d" % n) for n in range(MOST_PREPARED + 20)]

    async def body(connection: Connection) -> Any:
        for _ in range(2):
            found = [result_rows(each) for each in await connection.run_pipeline(many)]
            assert found == [[(str(n),)] for n in range(len(many))]
        (prepared,) = await connection.run_pipeline([Statement(b"SELECT count(*) FROM pg_prepared_statements")])
        return result_rows(prepared)

    assert connected(postgres_url, body) == [(str(MOST_PREPARED),)]


def test_more_than_the_socket_holds_goes_both_ways(postgres_url: str) -> None:
    long = "x" * 3_000_000

    async def body(connection: Connection) -> Any:
        return [
            result_rows(each) for each in await connection.run_pipeline([Statement(b"SELECT $1::text", (long,))] * 3)
        ]

    assert connected(postgres_url, body) == [[(long,)]] * 3


def test_connection_that_is_lost_in_the_middle_says_so(postgres_url: str) -> None:
    kill = Statement(b"SELECT pg_terminate_backend(pg_backend_pid())")

    async def body(connection: Connection) -> None:
        with pytest.raises(psycopg.OperationalError):
            await connection.run_pipeline([Statement(b"SELECT 1"), kill, Statement(b"SELECT 2")])
        assert connection.broken

    connected(postgres_url, body)


def test_cancelled_round_trip_leaves_a_connection_that_works_or_is_closed(postgres_url: str, stored: Stored) -> None:
    async def body(connection: Connection) -> Any:
        waiting = asyncio.create_task(
            connection.run_pipeline([Statement(b"SELECT pg_sleep(60)"), Statement(b"SELECT 1")])
        )
        while not await asyncio.to_thread(stored.query, "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"):
            await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        return connection.closed or result_rows((await connection.run_pipeline([Statement(b"SELECT 2")]))[0])

    assert connected(postgres_url, body) in (True, [("2",)])


@pytest.mark.parametrize(
    ("keepalive", "more", "options"),
    [(60, {}, ("1", "60")), (0, {}, ("0", None)), (60, {"keepalives_idle": 7}, ("1", "7"))],
    ids=["the setting", "never", "the connection string's own"],
)
def test_pool_is_as_large_and_asks_as_often_as_it_is_set_to(
    postgres_url: str, keepalive: int, more: dict[str, int], options: tuple[str, str | None]
) -> None:
    async def main() -> None:
        conninfo = psycopg.conninfo.make_conninfo(postgres_url, **more)
        pool = new_pool(conninfo, 5.0, size=2, keepalive=keepalive)
        await pool.open(wait=True)
        async with pool.connection() as one, pool.connection() as other:
            for connection in (one, other):
                given = connection.info.get_parameters()
                assert (given.get("keepalives", "1"), given.get("keepalives_idle")) == options
            with pytest.raises(psycopg.OperationalError):
                await pool.getconn(0.01)
        await pool.close()

    asyncio.run(main())


def test_a_sink_whose_first_connection_takes_too_long_becomes_ready(with_sink: Callable[..., Any]) -> None:
    async def body(sink: Sink) -> bool:
        return sink.is_ready

    assert with_sink(body, database_timeout=0.001)
