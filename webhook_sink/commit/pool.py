"""The sink's connections to Postgres, and the transactions on them. Knows no table.

Behind a pooler in transaction mode each transaction may get another of the server's sessions: nothing that a
transaction rests on is left to a session. Each one sets its properties itself, in the round trip that begins it. Only
where a connection is known to reach the server itself is its session ours alone: there the properties are set once, and
statements are prepared by name.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from psycopg_pool import AsyncConnectionPool

from pipelines.warehouse.postgres.session_properties import BEGIN, CONNECTION, set_properties
from webhook_sink.commit.pipeline import Connection, Statement

Pool = AsyncConnectionPool[Connection]

SIZE, RECONNECT_SECONDS = 6, 5.0
PLANS = {
    "plan_cache_mode": "force_generic_plan",
    "jit": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_seqscan": "off",
}
"""Every statement of a batch finds a few rows by their keys, whatever the statistics of a table say that was just
loaded or grew by updates: nested loops over indexes, planned once."""

BEGIN_BATCH, BEGIN_OTHER = Statement(b"BEGIN ISOLATION LEVEL REPEATABLE READ"), Statement(BEGIN.encode())
PROPERTIES = Statement(set_properties(PLANS).encode())
COMMIT, ROLLBACK = Statement(b"COMMIT"), Statement(b"ROLLBACK")


def new_pool(conninfo: str, timeout: float) -> Pool:
    """A pool that is not open yet. `timeout` are the seconds to wait for a connection."""
    return AsyncConnectionPool(
        conninfo,
        connection_class=Connection,
        min_size=1,
        max_size=SIZE,
        open=False,
        configure=configure,
        timeout=timeout,
        reconnect_timeout=RECONNECT_SECONDS,
        kwargs={"application_name": "stripe-webhook-sink", **CONNECTION},
    )


async def configure(connection: Connection) -> None:
    """Finds out whether a new connection reaches the server itself: a pooler gives its clients keys of its own."""
    row = await (await connection.execute("SELECT pg_catalog.pg_backend_pid()")).fetchone()
    connection.is_direct = row is not None and row[0] == connection.pgconn.backend_pid
    if connection.is_direct:
        await connection.execute(set_properties(PLANS, is_local=False).encode())
    await connection.commit()


def beginning(connection: Connection, begin: Statement = BEGIN_OTHER) -> list[Statement]:
    """What begins a transaction in which the session properties are ours."""
    return [begin] if connection.is_direct else [begin, PROPERTIES]


@asynccontextmanager
async def transaction(pool: Pool, timeout: float | None = None) -> AsyncIterator[Connection]:
    """A connection in a transaction with our session properties, committed at the end, undone by an exception."""
    async with pool.connection(timeout) as connection:
        await connection.run_pipeline(beginning(connection))
        yield connection
