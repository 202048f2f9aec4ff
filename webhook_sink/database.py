"""The database of the status page and of its jobs. A DuckDB file is open only while it is used.

DuckDB allows one process to write, so a page that kept the file open would block every scheduled run. The page and a
job of this process share the open file, each with its own connection. Knows no table.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pipelines.configuration.settings import CommonSettings
from pipelines.loading.session import open_database
from pipelines.warehouse.database import Database


class SharedDatabase:
    """The database for several threads. Using it raises the errors of `open_database`."""

    def __init__(self, settings: CommonSettings) -> None:
        self._settings = settings
        self._turn = threading.Lock()
        self._database: Database | None = None
        self._reader: Database | None = None
        self._users = 0

    @contextmanager
    def opened(self) -> Iterator[Database]:
        """The connection for short queries."""
        with self._used() as (_, reader):
            yield reader

    @contextmanager
    def opened_for_job(self) -> Iterator[Database | None]:
        """The connection that a job works on; None if the job opens its own, as it does in Postgres."""
        if self._settings.destination != "duckdb":
            yield None
            return
        with self._used() as (database, _):
            yield database

    def close(self) -> None:
        """Closes the connections once they are no longer used."""
        with self._turn:
            self._close()

    @contextmanager
    def _used(self) -> Iterator[tuple[Database, Database]]:
        """The connections for jobs and for readers, opened if necessary."""
        with self._turn:
            if self._database is None or self._reader is None:
                self._database = self._reader = open_database(self._settings)
                if self._settings.destination == "duckdb":
                    self._reader = reader_beside(self._database)
            database, reader = self._database, self._reader
            self._users += 1
        try:
            yield database, reader
        finally:
            with self._turn:
                self._users -= 1
                if self._settings.destination == "duckdb":
                    self._close()

    def _close(self) -> None:
        if self._users == 0 and self._database is not None and self._reader is not None:
            if self._reader is not self._database:
                self._reader.close()
            self._database.close()
            self._database = self._reader = None


def reader_beside(database: Database) -> Database:
    """Another connection to the open DuckDB file."""
    from pipelines.warehouse.duckdb_database import DuckDbDatabase, DuckDbReader

    assert isinstance(database, DuckDbDatabase)
    return DuckDbReader(database)
