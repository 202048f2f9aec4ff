"""The run lock: one run at a time on a dataset, or on a part of it.

The lock is an advisory lock of a transaction, which stays open on a connection of its own. A pooler in transaction mode
reserves a server connection for it, and the lock is released when the process ends in any way, because the server or
the pooler sees the connection close. A session's advisory lock would remain in the pooler's server connection, which
other clients get afterwards. Knows no dataset and no table.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress

import psycopg
from psycopg import sql

from pipelines.warehouse.postgres.session_properties import BEGIN, set_properties
from pipelines.warehouse.problems import KEPT, AlreadyRunning, DatabaseProblem

RUN_LOCK = 0x5747_5251
PATIENCE, MOMENT = 10, 0.05
"""How often we try to take a lock, and the seconds in between, because the server notices late that a run was
killed."""

BEAT = 30.0
"""Seconds between two heartbeats. Firewalls and proxies drop connections that are idle for minutes."""

BEGIN_LOCK = f"{BEGIN}; " + set_properties(
    {"tcp_keepalives_idle": "30", "tcp_keepalives_interval": "10", "tcp_keepalives_count": "3"}
)
"""With these, the lock of an unreachable host is released after a minute, not after TCP's default of two hours."""

TRY = sql.SQL("SELECT pg_try_advisory_xact_lock({}, hashtext({}))")
"""Without parameters, because Postgres keeps the snapshot of a statement with parameters until the next statement. A
snapshot delays vacuum and CREATE INDEX CONCURRENTLY."""
TRY_SHARED = sql.SQL("SELECT pg_try_advisory_xact_lock_shared({}, hashtext({}))")
END_OWN = """
SELECT pg_terminate_backend(pid) FROM pg_locks
WHERE locktype = 'advisory' AND classid = %s AND objid = hashtext(%s)::oid AND objsubid = 2 AND granted AND pid = %s
"""


class RunLock:
    """The run locks of one process. `connect` opens a connection in autocommit mode; `beat` is in seconds, see `BEAT`.

    Thread-safe: the heartbeat runs in a thread of its own, which ends with `close` or with the process.
    """

    def __init__(self, connect: Callable[[], psycopg.Connection], beat: float = BEAT) -> None:
        self._connect, self._beat = connect, beat
        self._turn = threading.Lock()
        self._closed = threading.Event()
        self._connection: psycopg.Connection | None = None
        self._backend = 0
        self._names: list[tuple[str, bool]] = []
        self._lost: str | None = None

    def take(self, name: str, *, shared: bool = False) -> None:
        """Takes the lock of this name until `close`, exclusively or `shared`.

        Raises AlreadyRunning if another process has it.
        """
        with self._turn:
            if not self._try(name, shared):
                raise AlreadyRunning(
                    f"Another run is loading {name!r} in this database, so this run ends at once. Nothing was"
                    " changed. Wait until the other run has ended, or choose another --dataset."
                )
            self._names.append((name, shared))
            if len(self._names) == 1:
                threading.Thread(target=self._keep, name="run-lock", daemon=True).start()

    def check(self) -> None:
        """Checks that every lock is held, and takes them again if their connection was lost.

        Raises DatabaseProblem if another run has one meanwhile, and psycopg's errors if the server is down.
        """
        with self._turn:
            self._renew()
            if self._lost is not None:
                raise DatabaseProblem(
                    "The connection that held this run's lock was lost, and another run is loading"
                    f" {self._lost!r} now. This run ends here and leaves the rest to the other run. {KEPT}"
                )

    def close(self) -> None:
        """Releases the locks. The server has released them before this returns."""
        self._closed.set()
        with self._turn:
            self._names.clear()
            self._disconnect()

    def _keep(self) -> None:
        while not self._closed.wait(self._beat):
            with self._turn, suppress(psycopg.Error):  # the next heartbeat, or the run itself, tries again
                self._renew()

    def _renew(self) -> None:
        if self._lost is not None or not self._names:
            return
        if self._connection is not None:
            try:
                self._connection.execute("SELECT 1")
                return
            except psycopg.Error:
                self._disconnect()
        before = self._backend
        try:
            self._lost = next((name for name, shared in self._names if not self._try(name, shared, before)), None)
        except psycopg.Error:
            self._disconnect()
            raise

    def _try(self, name: str, shared: bool, before: int = 0) -> bool:
        """Whether the lock was taken. `before`: the server process of our lost connection, which may still hold it."""
        for attempt in range(PATIENCE):
            if attempt:
                time.sleep(MOMENT)
            asked = TRY_SHARED if shared else TRY
            if self._opened().execute(asked.format(RUN_LOCK, name)).fetchall()[0][0]:
                return True
            if before:
                self._opened().execute(END_OWN, (RUN_LOCK, name, before))
        return False

    def _opened(self) -> psycopg.Connection:
        if self._connection is None:
            self._connection = self._connect()
            self._connection.execute(BEGIN_LOCK)
            self._backend = self._connection.execute("SELECT pg_backend_pid()").fetchall()[0][0]
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(psycopg.Error):
                connection.rollback()
            connection.close()
