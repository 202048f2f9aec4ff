"""The sink's connections to Postgres: their pool, their transactions, and many statements in one round trip.

psycopg's own `pipeline()` adapts and sends one statement after the other, and for each of its waits the event loop
begins and ends to watch the socket, which takes eight system calls. `run_pipeline` encodes all statements of a batch
itself and sends them at once, with psycopg's wrapper of libpq; the socket is watched from one batch to the next (with
uvloop; asyncio's own loop ends after each batch):
https://www.postgresql.org/docs/current/libpq-pipeline-mode.html, https://www.psycopg.org/psycopg3/docs/api/pq.html.

Behind a pooler in transaction mode, each transaction may run in another session of the server. So no transaction relies
on what an earlier one has set: each sets its own properties, in the round trip that begins it. Only a connection that
is known to reach the server directly has a session to itself. There the properties are set once, and statements are
prepared by name. This module knows no table.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import count
from typing import Any, NamedTuple, Self

import psycopg
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import ConnStatus, ExecStatus, Format, TransactionStatus
from psycopg.pq.abc import PGconn, PGresult
from psycopg.waiting import Ready, Wait
from psycopg_pool import AsyncConnectionPool

from pipelines.warehouse.postgres.connecting import sentences, values_hidden
from pipelines.warehouse.postgres.session_properties import BEGIN, CONNECTION, set_properties
from pipelines.warehouse.problems import state_of
from sources.errors import ConnectorError

RECONNECT_SECONDS, CANCEL_SECONDS = 5.0, 5.0
MOST_PREPARED = 100
"""Statements that stay prepared on one connection, as psycopg keeps them."""
NOT_AS_PREPARED = ("08P01", "0A000", "26000", "42P05")
"""A named statement is missing, or has another meaning than when it was prepared (0A000: "cached plan must not change
result type"). The connection stops using names, and the caller tries again."""
PLANNER_PROPERTIES = {
    "plan_cache_mode": "force_generic_plan",
    "jit": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_seqscan": "off",
}
"""Every statement of a batch finds a few rows by their keys. Nested loops over indexes, planned once, are right for it,
whatever the statistics say of a table that was just loaded or has grown by updates."""

Value = bytes | str | int | float | bool | None
Parameter = Value | Sequence[bytes | str | None]

_TEXT = 25  # its type's oid
_ARRAY, _LENGTH = struct.Struct(">iiIii"), struct.Struct(">i")
_NULL = _LENGTH.pack(-1)
_NAMES = count(1)


class Statement(NamedTuple):
    """SQL with `$1`, `$2`, … and their values. A list is sent as `text[]`."""

    sql: bytes
    parameters: Sequence[Parameter] = ()


BEGIN_BATCH = Statement(b"BEGIN ISOLATION LEVEL REPEATABLE READ")
BEGIN_OTHER = Statement(BEGIN.encode())
SET_PROPERTIES = Statement(set_properties(PLANNER_PROPERTIES).encode())
COMMIT, ROLLBACK = Statement(b"COMMIT"), Statement(b"ROLLBACK")


class Connection(psycopg.AsyncConnection[Any]):
    """psycopg's connection with `run_pipeline`. It remembers which statements are prepared on it.

    `is_direct` says that the connection reaches the server itself, and not a pooler that may switch to another session.
    Only then are statements prepared by name. psycopg must not prepare any of its own: if it did, a rollback would
    deallocate ours as well.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._names: dict[bytes, bytes] = {}
        self.is_direct = False
        self._watched: int | None = None  # the socket, while the event loop calls `_on_readable` for it
        self._answer: asyncio.Future[None] | None = None  # what waits for it

    @classmethod
    async def connect(cls, conninfo: str = "", **options: Any) -> Self:
        """Connects as psycopg does, but lets psycopg prepare nothing, and keeps values of `conninfo` out of errors."""
        with values_hidden(conninfo):
            return await super().connect(conninfo, **{**options, "prepare_threshold": None})

    async def run_pipeline(self, statements: Iterable[Statement]) -> list[PGresult]:
        """Returns the statements' results. Unless a transaction is open or begun, the statements commit together.

        Raises the error of the first statement that fails, as psycopg would. The statements after it are not run.
        """
        self.pgconn.enter_pipeline_mode()
        try:
            sent = [self._send(statement) for statement in statements]
            self.pgconn.pipeline_sync()
            if self.pgconn.flush():  # the system does not take all of it at once
                await self.wait(_flushed(self.pgconn))
            results = await self._results()
        except asyncio.CancelledError:
            with suppress(psycopg.Error):
                await self.cancel_safe(timeout=CANCEL_SECONDS)
            raise
        finally:
            self._leave_pipeline_mode()
        return self._answers(sent, results)

    def _send(self, statement: Statement) -> tuple[bytes, int]:
        """Sends a statement. Returns its SQL, and how many results will arrive before its own."""
        values = [_encoded(value) for value in statement.parameters]
        formats = [Format.BINARY if isinstance(value, list) else Format.TEXT for value in statement.parameters]
        if not self.is_direct:
            self.pgconn.send_query_params(statement.sql, values, param_formats=formats)
            return statement.sql, 0
        name = self._names.pop(statement.sql, None)
        before = 0
        if name is None:
            if len(self._names) == MOST_PREPARED:
                oldest = self._names.pop(next(iter(self._names)))
                self.pgconn.send_query_params(b"DEALLOCATE " + oldest, None)
                before += 1
            name = b"sink_%d" % next(_NAMES)
            self.pgconn.send_prepare(name, statement.sql)
            before += 1
        self._names[statement.sql] = name  # the last in the dict is the last that was used
        self.pgconn.send_query_prepared(name, values, formats)
        return statement.sql, before

    async def _results(self) -> list[PGresult]:
        """Collects the results up to the end of the round trip."""
        results: list[PGresult] = []
        is_between = False
        while True:
            while self.pgconn.is_busy():
                await self._readable()
                self.pgconn.consume_input()
            result = self.pgconn.get_result()
            if result is None:
                if is_between:  # one empty result separates two statements; two in a row mean that no more will come
                    raise psycopg.OperationalError("the connection was lost in the middle of a round trip")
                is_between = True
                continue
            is_between = False
            if result.status == ExecStatus.PIPELINE_SYNC:
                return results
            results.append(result)

    def _leave_pipeline_mode(self) -> None:
        """Leaves pipeline mode. A connection that cannot leave it has unread results, and is closed."""
        if self.pgconn.status != ConnStatus.OK:  # libpq has closed its socket
            self._unwatch()
            return
        try:
            self.pgconn.exit_pipeline_mode()
        except psycopg.OperationalError:
            self._unwatch()
            self.pgconn.finish()

    # --- the socket ---------------------------------------------------------------------------------------------------

    async def _readable(self) -> None:
        """Returns when the server may have sent something. Goes on watching the socket: the next batch will come."""
        loop = asyncio.get_running_loop()
        if self._watched is None:
            self._watched = self.pgconn.socket
            loop.add_reader(self._watched, self._on_readable)
        self._answer = loop.create_future()
        try:
            await self._answer
        finally:
            self._answer = None

    def _on_readable(self) -> None:
        if self._answer is None:  # the server has closed the connection, or says something that nobody waits for
            self._unwatch()
        elif not self._answer.done():
            self._answer.set_result(None)

    def _unwatch(self) -> None:
        """Before the socket is closed, or psycopg waits for it: the event loop knows one who watches a socket."""
        if self._watched is not None:
            asyncio.get_running_loop().remove_reader(self._watched)
            self._watched = None

    async def wait(self, *arguments: Any, **options: Any) -> Any:
        """See psycopg."""
        self._unwatch()
        return await super().wait(*arguments, **options)

    async def commit(self) -> None:
        """See psycopg. The pool calls it after each batch, which has committed itself."""
        if self.pgconn.transaction_status != TransactionStatus.IDLE:
            await super().commit()

    async def close(self) -> None:
        """See psycopg."""
        self._unwatch()
        await super().close()

    # --- what is sent and received ------------------------------------------------------------------------------------

    def _answers(self, sent: Sequence[tuple[bytes, int]], results: Sequence[PGresult]) -> list[PGresult]:
        """Picks the statements' own results, and forgets the names of those that the server did not prepare."""
        answers: list[PGresult] = []
        failed: PGresult | None = None
        place = 0
        for sql, before in sent:
            own = results[place : place + before + 1]
            place += before + 1
            if failed is None:
                failed = next((result for result in own if result.status == ExecStatus.FATAL_ERROR), None)
            if before and (len(own) < before or own[before - 1].status != ExecStatus.COMMAND_OK):
                self._names.pop(sql, None)
            answers += own[-1:]
        if failed is not None:
            error = psycopg.errors.error_from_result(failed)
            if error.sqlstate in NOT_AS_PREPARED:
                self.is_direct, self._names = False, {}
            raise error
        return answers


def result_rows(result: PGresult) -> list[tuple[str | None, ...]]:
    """The rows of a result, with their values as text."""
    columns = range(result.nfields)
    return [tuple([_text(result.get_value(row, column)) for column in columns]) for row in range(result.ntuples)]


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode()


def _flushed(pgconn: PGconn) -> PQGen[None]:
    """Sends what libpq still buffers."""
    while pgconn.flush():
        if (yield Wait.RW) & Ready.R:
            pgconn.consume_input()


def _encoded(value: Parameter) -> bytes | None:
    if value is None or isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bool):
        return b"t" if value else b"f"
    if isinstance(value, int | float):
        return repr(value).encode()
    return _array(value)


def _array(values: Sequence[bytes | str | None]) -> bytes:
    """`text[]` in binary: dimensions, null flag, element type, length, first index; then each length and text."""
    if not values:
        return _ARRAY.pack(0, 0, _TEXT, 0, 1)[:12]
    parts = [_ARRAY.pack(1, None in values, _TEXT, len(values), 1)]
    for value in values:
        if value is None:
            parts.append(_NULL)
        else:
            raw = value.encode() if isinstance(value, str) else value
            parts += (_LENGTH.pack(len(raw)), raw)
    return b"".join(parts)


Pool = AsyncConnectionPool[Connection]


def new_pool(conninfo: str, timeout: float, *, size: int, keepalive: int) -> Pool:
    """A pool of at most `size` connections that is not open yet.

    `timeout` is how many seconds to wait for a connection, `keepalive` after how many seconds without traffic the
    system asks whether a connection is alive: 0 for never, as libpq's `keepalives_idle`, whose own value in the
    connection string wins.
    """
    alive = {"keepalives": 1, "keepalives_idle": keepalive} if keepalive else {"keepalives": 0}
    given = conninfo_to_dict(conninfo)
    return AsyncConnectionPool(
        conninfo,
        connection_class=Connection,
        min_size=1,
        max_size=size,
        open=False,
        configure=configure,
        timeout=timeout,
        reconnect_timeout=RECONNECT_SECONDS,
        kwargs={
            "application_name": "stripe-webhook-sink",
            **{name: value for name, value in alive.items() if name not in given},
            **CONNECTION,
        },
    )


async def configure(connection: Connection) -> None:
    """Finds out whether a new connection reaches the server itself.

    A pooler tells its clients a process id that is not the server's.
    """
    row = await (await connection.execute("SELECT pg_catalog.pg_backend_pid()")).fetchone()
    connection.is_direct = row is not None and row[0] == connection.pgconn.backend_pid
    if connection.is_direct:
        await connection.execute(set_properties(PLANNER_PROPERTIES, is_local=False).encode())
    await connection.commit()


def begin_statements(connection: Connection, begin: Statement = BEGIN_OTHER) -> list[Statement]:
    """The statements that begin a transaction with our session properties."""
    return [begin] if connection.is_direct else [begin, SET_PROPERTIES]


@asynccontextmanager
async def transaction(pool: Pool, timeout: float | None = None) -> AsyncIterator[Connection]:
    """A connection in a transaction with our session properties. Commits at the end; an exception rolls back."""
    async with pool.connection(timeout) as connection:
        await connection.run_pipeline(begin_statements(connection))
        yield connection


def describe_error(error: BaseException) -> str:
    """What went wrong, without the database's detail about the row, which could hold a customer's data."""
    if isinstance(error, ConnectorError):
        return str(error)
    state = state_of(error)
    if state is None and isinstance(error, psycopg.OperationalError):  # about the connection, whose values are hidden
        return sentences(str(error))
    return f"{type(error).__name__} ({state})" if state else type(error).__name__
