"""Many statements in one round trip: libpq's pipeline mode, on psycopg's connection and through its wrapper of libpq.

psycopg's own `pipeline()` sends and adapts statement by statement; here all of a batch leave at once, as bytes that
are ready. https://www.postgresql.org/docs/current/libpq-pipeline-mode.html, https://www.psycopg.org/psycopg3/docs/api/pq.html.
Knows no table.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from itertools import count
from typing import Any, NamedTuple, Self

import psycopg
from psycopg.abc import PQGen
from psycopg.pq import ConnStatus, ExecStatus, Format
from psycopg.pq.abc import PGconn, PGresult
from psycopg.waiting import Ready, Wait

from pipelines.warehouse.postgres.connecting import values_hidden

MOST_PREPARED = 100
"""Statements that stay prepared on one connection, as psycopg keeps them."""
NOT_AS_PREPARED = ("08P01", "0A000", "26000", "42P05")
"""A named statement is not there, or is another one: this connection goes on without names, and the caller asks again.
0A000 is "cached plan must not change result type", among others."""

Value = bytes | str | int | float | bool | None
Parameter = Value | Sequence[bytes | str | None]

_TEXT = 25  # its type's oid
_ARRAY, _LENGTH = struct.Struct(">iiIii"), struct.Struct(">i")
_NULL = _LENGTH.pack(-1)
_NAMES = count(1)


class Statement(NamedTuple):
    """SQL with `$1`, `$2`, … and what they stand for: single values, and lists as `text[]`."""

    sql: bytes
    parameters: Sequence[Parameter] = ()


class Connection(psycopg.AsyncConnection[Any]):
    """psycopg's connection with `pipeline`. It remembers which statements are prepared on it.

    Statements are prepared by name only where `is_direct` says that the connection reaches the server itself, and no
    pooler in between that may go on with another session. psycopg must prepare none of its own beside them: with
    those, a rollback would deallocate ours as well.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._names: dict[bytes, bytes] = {}
        self.is_direct = False

    @classmethod
    async def connect(cls, conninfo: str = "", **options: Any) -> Self:
        """As psycopg's, with nothing prepared by psycopg itself, and with no value of `conninfo` in its errors."""
        with values_hidden(conninfo):
            return await super().connect(conninfo, **{**options, "prepare_threshold": None})

    async def run_pipeline(self, statements: Iterable[Statement]) -> list[PGresult]:
        """The statements' results. They are committed together, unless they begin a transaction or one is open.

        Raises the error of the first one that fails, as psycopg would; those behind it are not run.
        """
        self.pgconn.enter_pipeline_mode()
        try:
            sent = [self._send(statement) for statement in statements]
            self.pgconn.pipeline_sync()
            results = await self.wait(_results(self.pgconn))
        finally:
            _leave_pipeline_mode(self.pgconn)
        return self._answers(sent, results)

    def _send(self, statement: Statement) -> tuple[bytes, int]:
        """Sends a statement; its SQL, and how many results come before its own."""
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

    def _answers(self, sent: Sequence[tuple[bytes, int]], results: Sequence[PGresult]) -> list[PGresult]:
        """The results of the statements themselves. What the server did not get to prepare is forgotten."""
        answers: list[PGresult] = []
        failed: PGresult | None = None
        place = 0
        for sql, before in sent:
            own = results[place : place + before + 1]
            place += before + 1
            if failed is None:
                failed = next((one for one in own if one.status == ExecStatus.FATAL_ERROR), None)
            if before and (len(own) < before or own[before - 1].status != ExecStatus.COMMAND_OK):
                self._names.pop(sql, None)
            answers += own[-1:]
        if failed is not None:
            error = psycopg.errors.error_from_result(failed)
            if error.sqlstate in NOT_AS_PREPARED:
                self.is_direct, self._names = False, {}
            raise error
        return answers


def rows(result: PGresult) -> list[tuple[str | None, ...]]:
    """The rows of a result, as text."""
    columns = range(result.nfields)
    return [tuple([_text(result.get_value(row, column)) for column in columns]) for row in range(result.ntuples)]


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode()


def _results(pgconn: PGconn) -> PQGen[list[PGresult]]:
    """Sends what libpq still holds and collects the results up to the end of the round trip."""
    while pgconn.flush():
        if (yield Wait.RW) & Ready.R:
            pgconn.consume_input()
    results: list[PGresult] = []
    is_between = False
    while True:
        while pgconn.is_busy():
            if (yield Wait.R):
                pgconn.consume_input()
        result = pgconn.get_result()
        if result is None:
            if is_between:  # libpq separates statements by one empty result, and has no more than that to say
                raise psycopg.OperationalError("the connection was lost in the middle of a round trip")
            is_between = True
            continue
        is_between = False
        if result.status == ExecStatus.PIPELINE_SYNC:
            return results
        results.append(result)


def _leave_pipeline_mode(pgconn: PGconn) -> None:
    """A connection that cannot leave it has lost its place in the conversation: it is closed."""
    if pgconn.status != ConnStatus.OK:
        return
    try:
        pgconn.exit_pipeline_mode()
    except psycopg.OperationalError:
        pgconn.finish()


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
    """`text[]` in binary: dimensions, whether there are nulls, type, length, first index; then each length and text."""
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
