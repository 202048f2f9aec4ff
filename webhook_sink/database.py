"""The database of the status page and of its jobs. A DuckDB file is open only while somebody uses it.

DuckDB lets one process write, so that a page which kept the file open would block every scheduled run. A job of this
process and the page share the open file, with a connection each. Knows no table.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pipelines.configuration.settings import CommonSettings
from pipelines.loading.session import open_database
from pipelines.warehouse.database import Database


class SharedDatabase:
    """The database for several threads. Raises what `open_database` raises when it is used."""

    def __init__(self, settings: CommonSettings) -> None:
        self._settings = settings
        self._turn = threading.Lock()
        self._database: Database | None = None
        self._reader: Database | None = None
        self._users = 0

    @contextmanager
    def opened(self) -> Iterator[Database]:
        """The connection for short questions."""
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
        """Ends the connections once nobody uses them."""
        with self._turn:
            self._close()

    @contextmanager
    def _used(self) -> Iterator[tuple[Database, Database]]:
        """What jobs work on, and what readers ask; opened if it is not."""
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
    """A connection of its own to the DuckDB file that is open."""
    from pipelines.warehouse.duckdb_database import DuckDbDatabase, DuckDbReader

    assert isinstance(database, DuckDbDatabase)
    return DuckDbReader(database)
