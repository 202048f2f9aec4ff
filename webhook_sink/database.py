"""The database of the status page and of its jobs. A DuckDB file is open only while somebody uses it.

DuckDB lets one process write, so that a page which kept the file open would block every scheduled run. A job of this
process and the page share one connection. Knows no table.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pipelines.configuration.settings import Settings
from pipelines.session import open_database
from pipelines.warehouse.database import Database


class SharedDatabase:
    """One connection for several threads. Raises what `open_database` raises when it is used."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._turn = threading.Lock()
        self._database: Database | None = None
        self._users = 0

    @property
    def is_exclusive(self) -> bool:
        """Whether a job has to work on this very connection, because no other one can be opened meanwhile."""
        return self._settings.destination == "duckdb"

    @contextmanager
    def opened(self) -> Iterator[Database]:
        """The connection, opened if it is not."""
        with self._turn:
            if self._database is None:
                self._database = open_database(self._settings)
            database = self._database
            self._users += 1
        try:
            yield database
        finally:
            with self._turn:
                self._users -= 1
                if self.is_exclusive:
                    self._close()

    @contextmanager
    def opened_for_job(self) -> Iterator[Database | None]:
        """The connection that a job works on; None if the job opens its own."""
        if not self.is_exclusive:
            yield None
            return
        with self.opened() as database:
            yield database

    def close(self) -> None:
        """Ends the connection once nobody uses it."""
        with self._turn:
            self._close()

    def _close(self) -> None:
        if self._users == 0 and self._database is not None:
            self._database.close()
            self._database = None
