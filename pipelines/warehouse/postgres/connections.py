"""Postgres connections that dlt's clients use one after the other, and their transactions.

dlt opens a connection for every step of every job, six a package: for the server each is a process that starts, reads
its catalogues and ends. Knows no table.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
from dlt.common.destination.dataset import DBApiCursor
from dlt.destinations.impl.postgres.sql_client import Psycopg2SqlClient
from dlt.destinations.sql_client import DBApiCursorImpl, raise_database_error
from dlt.destinations.typing import DBTransaction
from psycopg2.extensions import (
    TRANSACTION_STATUS_IDLE,
    TRANSACTION_STATUS_INERROR,
    TRANSACTION_STATUS_INTRANS,
    connection,
)
from psycopg2.sql import Composable

from pipelines.warehouse.postgres.connecting import values_hidden
from pipelines.warehouse.postgres.session_properties import BEGIN_TRANSACTION, CONNECTION

FRESH = 10.0  # seconds that a connection may rest: what stands between may drop it later


class Connections:
    """Connections at rest, by what they were opened for. Thread-safe. `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._resting: dict[str, list[tuple[float, connection]]] = {}

    def take(self, purpose: str) -> connection | None:
        """The one that has rested least, None where there is none. Those that have rested too long are closed."""
        with self._lock:
            resting = self._resting.get(purpose, [])
            while resting:
                since, conn = resting.pop()
                if self._clock() - since < FRESH:
                    return conn
                conn.close()
            return None

    def give(self, purpose: str, conn: connection) -> None:
        """Puts a connection to rest; one that is broken, or in the middle of something, is closed."""
        if conn.closed or conn.get_transaction_status() != TRANSACTION_STATUS_IDLE:
            conn.close()
            return
        with self._lock:
            self._resting.setdefault(purpose, []).append((self._clock(), conn))

    def close(self) -> None:
        """Closes those that rest."""
        with self._lock:
            for resting in self._resting.values():
                for _, conn in resting:
                    conn.close()
            self._resting.clear()


class SharingSqlClient(Psycopg2SqlClient):
    """dlt's client for Postgres, which takes its connection from those at rest and puts it back.

    Every statement runs in a transaction that begins with the session properties that results rest on, and nothing is
    set for the session, which other clients of a pooler would get: no `search_path` as startup option, no RESET ALL.
    A connection that was lost before a transaction began is opened again.
    """

    def __init__(self, like: Psycopg2SqlClient, connections: Connections) -> None:
        super().__init__(like.dataset_name, like.staging_dataset_name, like.credentials, like.capabilities)
        self._connections = connections
        self._dsn = like.credentials.to_native_representation()

    def open_connection(self) -> Any:
        """A connection in autocommit mode. Names in SQL are qualified: its `search_path` does not matter."""
        self._conn = self._connections.take(self._dsn) or self._connected()
        return self._conn

    def close_connection(self) -> None:
        """Puts the connection to rest, so that nothing of this client's is left in it."""
        if self._conn is not None:
            conn, self._conn = self._conn, None
            self._connections.give(self._dsn, conn)

    @contextmanager
    def begin_transaction(self) -> Iterator[DBTransaction]:
        """As dlt's. The connection stays in autocommit mode, as we begin and end transactions ourselves."""
        self._begin(BEGIN_TRANSACTION)
        try:
            yield self
            self.commit_transaction()
        except Exception:
            self.rollback_transaction()
            raise

    def commit_transaction(self) -> None:
        """As dlt's."""
        self._end("COMMIT")

    def rollback_transaction(self) -> None:
        """As dlt's. Nothing is left to undo where the connection was lost."""
        if self._conn.get_transaction_status() in (TRANSACTION_STATUS_INTRANS, TRANSACTION_STATUS_INERROR):
            self._end("ROLLBACK")

    @contextmanager
    @raise_database_error
    def execute_query(self, query: Any, *args: Any, **kwargs: Any) -> Iterator[DBApiCursor]:
        """As dlt's. Outside a transaction, the statement travels with the begin of one of its own."""
        parameters = args or kwargs or None
        if self._conn.get_transaction_status() != TRANSACTION_STATUS_IDLE:
            with self._conn.cursor() as cursor:
                cursor.execute(query, parameters)
                yield DBApiCursorImpl(cursor)
            return
        text = query.as_string(self._conn) if isinstance(query, Composable) else query
        try:
            with self._begin(f"{BEGIN_TRANSACTION};\n{text}", parameters) as cursor:
                yield DBApiCursorImpl(cursor)
            self.commit_transaction()
        except Exception:
            self.rollback_transaction()
            raise

    def _begin(self, text: str, parameters: Any = None) -> Any:
        """A cursor that has executed the text, which begins a transaction. On a lost connection, it is repeated."""
        cursor = self._conn.cursor()
        try:
            cursor.execute(text, parameters)
        except (psycopg2.OperationalError, psycopg2.InterfaceError):
            if not self._conn.closed:
                raise
            self._conn = self._connected()
            cursor = self._conn.cursor()
            cursor.execute(text, parameters)
        return cursor

    @raise_database_error
    def _end(self, statement: str) -> None:
        with self._conn.cursor() as cursor:
            cursor.execute(statement)

    def _connected(self) -> connection:
        with values_hidden(self._dsn):
            conn = psycopg2.connect(self._dsn, application_name="stripe-elt", **CONNECTION)
        conn.autocommit = True
        return conn
