"""Our own connection to Postgres: advisory locks, one paragraph for what goes wrong."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, cast

import psycopg
from dlt.common.destination import Destination

from pipelines import destinations
from pipelines.connecting import sentences, values_hidden
from pipelines.connections import Connections
from pipelines.database_problem import AlreadyRunning, DatabaseProblem
from pipelines.libpq import postgres_conninfo
from pipelines.settings import Settings

RUN_LOCK = 0x5747_5251  # one run at a time on a dataset
PATIENCE, MOMENT = 10, 0.05
"""How often the lock is asked for, and the seconds between: the server notices late that a killed run has gone."""


class PostgresDatabase:
    """Postgres through psycopg 3, one autocommit connection."""

    dialect = "postgres"

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        with values_hidden(conninfo):
            self._connection = psycopg.connect(conninfo, autocommit=True, application_name="stripe-elt")
        self._loaders = Connections()

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """See `Database`."""
        cursor = self._connection.execute(cast("Any", sql), parameters or None)
        return cursor.fetchall() if cursor.description else []

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """See `Database`."""
        with self._connection.transaction():
            yield

    def lock_run(self, name: str) -> None:
        """See `Database`: an advisory lock of this session."""
        for _ in range(PATIENCE):
            if self.execute("SELECT pg_try_advisory_lock(%s, hashtext(%s))", (RUN_LOCK, name))[0][0]:
                return
            time.sleep(MOMENT)
        raise AlreadyRunning(
            f"Another run is loading {name!r} in this database, so this one ends at once. Nothing was changed; wait"
            " until the other has ended, or choose another --dataset."
        )

    def destination(self) -> Destination[Any, Any]:
        """See `Database`."""
        made = destinations.postgres(credentials=self._conninfo)
        made.connections = self._loaders
        return made

    def close(self) -> None:
        """See `Database`: the server gives the locks back before this returns, not when it notices the end."""
        self._loaders.close()
        with suppress(psycopg.Error):
            self._connection.execute("SELECT pg_advisory_unlock_all()")
        self._connection.close()


def open_postgres(settings: Settings) -> PostgresDatabase:
    """Connects. Raises `DatabaseProblem`."""
    try:
        return PostgresDatabase(postgres_conninfo(settings))
    except psycopg.Error as error:
        raise DatabaseProblem(
            f"Postgres could not be reached: {sentences(str(error))}"
            " Check DATABASE_URL (or destination.postgres.credentials in .dlt/secrets.toml) and that the server is up."
        ) from error
