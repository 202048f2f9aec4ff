"""A connection of our own to the destination: progress, locks and questions, beside the one that dlt loads through.

Knows SQL and the two databases; knows no Stripe and no table by name. Errors become `DatabaseProblem` with one
paragraph that names the setting to change and holds no password and no row.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from dlt.common.destination import Destination

from pipelines.duckdb_file import open_duckdb
from pipelines.postgres import open_postgres
from pipelines.settings import Settings


class Database(Protocol):
    """What state, checks and scripts need of either database. Parameters are written `%s` in both."""

    dialect: str

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Runs one statement and returns its rows, if it has any."""

    def transaction(self) -> AbstractContextManager[None]:
        """All or nothing."""

    def lock_run(self, name: str) -> None:
        """Takes the run lock of that name until the connection closes. Raises `AlreadyRunning` when another has it."""

    def check_lock(self) -> None:
        """Makes sure that the run locks are still held. Raises `DatabaseProblem` when another run has one meanwhile."""

    def destination(self) -> Destination[Any, Any]:
        """The dlt destination that loads into this database."""

    def close(self) -> None:
        """Ends the connection and gives its locks back."""


def open_database(settings: Settings) -> Database:
    """Connects. Raises `DatabaseProblem` when that cannot be done, naming the setting.

    A DuckDB file has one run at a time, so that `AlreadyRunning` comes from here already.
    """
    return open_duckdb(settings) if settings.destination == "duckdb" else open_postgres(settings)
