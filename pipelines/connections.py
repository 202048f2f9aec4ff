"""Postgres connections that dlt's clients use one after the other.

dlt opens one for every step of every job, six a package: for the server each is a process that starts, reads its
catalogues and ends. Knows no table and no statement.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from dlt.destinations.impl.postgres.sql_client import Psycopg2SqlClient
from psycopg2.extensions import TRANSACTION_STATUS_IDLE, connection

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
                since, one = resting.pop()
                if self._clock() - since < FRESH:
                    return one
                one.close()
            return None

    def give(self, purpose: str, one: connection) -> None:
        """Puts a connection to rest; one that is broken, or in the middle of something, is closed."""
        if one.closed or one.get_transaction_status() != TRANSACTION_STATUS_IDLE:
            one.close()
            return
        with self._lock:
            self._resting.setdefault(purpose, []).append((self._clock(), one))

    def close(self) -> None:
        """Closes those that rest."""
        with self._lock:
            for resting in self._resting.values():
                for _, one in resting:
                    one.close()
            self._resting.clear()


class SharingSqlClient(Psycopg2SqlClient):
    """dlt's client for Postgres, which takes its connection from those at rest and puts it back."""

    def __init__(self, like: Psycopg2SqlClient, connections: Connections) -> None:
        super().__init__(like.dataset_name, like.staging_dataset_name, like.credentials, like.capabilities)
        self._connections = connections
        self._purpose = ""

    def open_connection(self) -> Any:
        """A connection with the dataset's `search_path`, in autocommit mode."""
        self._purpose = f"{self.fully_qualified_dataset_name()} {self.credentials.to_native_representation()}"
        self._conn = self._connections.take(self._purpose)
        return self._conn if self._conn is not None else super().open_connection()

    def close_connection(self) -> None:
        """Puts the connection to rest, so that nothing of this client's is left in it."""
        if self._conn is not None:
            one, self._conn = self._conn, None
            self._connections.give(self._purpose, one)
