"""A connection of our own to the destination: progress, locks and questions, beside the one that dlt loads through.

Knows SQL and the two databases; knows no Stripe and no table by name. Errors become `DatabaseProblem` with one
paragraph that names the setting to change and holds no password and no row.
"""

from __future__ import annotations

import atexit
import base64
import os
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol, cast

import duckdb
import psycopg
from dlt.common.configuration.exceptions import ConfigurationException
from dlt.common.configuration.resolve import resolve_configuration
from dlt.common.destination import Destination
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pipelines import destinations
from pipelines.connections import Connections
from pipelines.database_problem import DatabaseProblem
from pipelines.libpq import LibpqCredentials
from pipelines.settings import Settings

__all__ = [
    "Database",
    "DatabaseProblem",
    "DuckDbDatabase",
    "PostgresDatabase",
    "open_database",
    "postgres_conninfo",
]

RUN_LOCK = 0x5747_5251  # one run at a time on a dataset


class Database(Protocol):
    """What state, checks and scripts need of either database. Parameters are written `%s` in both."""

    dialect: str

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Runs one statement and returns its rows, if it has any."""

    def transaction(self) -> AbstractContextManager[None]:
        """All or nothing."""

    def lock_run(self, dataset: str) -> bool:
        """Takes the dataset's run lock until the connection closes; False when another run has it."""

    def destination(self) -> Destination[Any, Any]:
        """The dlt destination that loads into this database."""

    def close(self) -> None:
        """Ends the connection and gives its locks back."""


class PostgresDatabase:
    """Postgres through psycopg 3, one autocommit connection."""

    dialect = "postgres"

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
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

    def lock_run(self, dataset: str) -> bool:
        """See `Database`: an advisory lock of this session."""
        return bool(self.execute("SELECT pg_try_advisory_lock(%s, hashtext(%s))", (RUN_LOCK, dataset))[0][0])

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


class DuckDbDatabase:
    """A DuckDB file: the process that has it open is the only one that can write, which is the run lock."""

    dialect = "duckdb"

    def __init__(self, path: str, memory_limit: str) -> None:
        self._connection = duckdb.connect(path, config={"memory_limit": memory_limit})
        self._connection.execute("SET TimeZone = 'UTC'")
        self._lock = threading.Lock()  # a connection of DuckDB's belongs to one thread at a time

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """See `Database`."""
        with self._lock:
            return self._connection.execute(sql.replace("%s", "?"), list(parameters)).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """See `Database`."""
        self._connection.begin()
        try:
            yield
        except BaseException:
            self._connection.rollback()
            raise
        self._connection.commit()

    def lock_run(self, dataset: str) -> bool:
        """See `Database`: the open file is the lock."""
        return True

    def destination(self) -> Destination[Any, Any]:
        """See `Database`: dlt works on cursors of this connection."""
        return destinations.duckdb(credentials=self._connection)

    def close(self) -> None:
        """See `Database`."""
        self._connection.close()


def open_database(settings: Settings) -> Database:
    """Connects. Raises `DatabaseProblem` when that cannot be done, naming the setting."""
    return _open_duckdb(settings) if settings.destination == "duckdb" else _open_postgres(settings)


def _open_duckdb(settings: Settings) -> Database:
    path = Path(settings.duckdb_path)
    if path.stem == settings.dataset:
        raise DatabaseProblem(
            f"The DuckDB file {path} and the dataset {settings.dataset!r} have the same name, which makes"
            f" {settings.dataset}.customers ambiguous in DuckDB. Set DUCKDB_PATH (or --duckdb-path) to another file"
            " name, or choose another --dataset."
        )
    try:
        return DuckDbDatabase(str(path), settings.duckdb_memory_limit)
    except duckdb.Error as error:
        raise DatabaseProblem(_duckdb_message(path, error)) from error


def _duckdb_message(path: Path, error: duckdb.Error) -> str:
    text = str(error)
    choose = "Set DUCKDB_PATH (or --duckdb-path) to choose another file."
    if "set lock" in text:
        return (
            f"The DuckDB file {path} is open in another process, and DuckDB lets only one write. Close that process"
            f" (a notebook, a shell, another run) and start again. {choose}"
        )
    if isinstance(error, duckdb.ParserException | duckdb.InvalidInputException) and "memory" in text.lower():
        return "DuckDB does not take the memory limit. Set SOURCES__STRIPE__DUCKDB_MEMORY_LIMIT to one such as 1GB."
    if path.is_dir():
        return f"The DuckDB file {path} is a folder. {choose}"
    if not path.parent.is_dir():
        return f"The DuckDB file {path} cannot be made: there is no such folder. {choose}"
    if path.exists() and "not a valid DuckDB database file" in text:
        return f"The file {path} is not a DuckDB database. {choose}"
    if "Permission denied" in text or "Read-only file system" in text or not os.access(path.parent, os.W_OK):
        return f"The DuckDB file {path} cannot be written: there is no permission. {choose}"
    return f"DuckDB could not open {path}: {text.splitlines()[0].rstrip('.')}. {choose}"


def _open_postgres(settings: Settings) -> Database:
    try:
        return PostgresDatabase(postgres_conninfo(settings))
    except psycopg.Error as error:
        raise DatabaseProblem(
            f"Postgres could not be reached: {_sentences(str(error))}"
            " Check DATABASE_URL (or destination.postgres.credentials in .dlt/secrets.toml) and that the server is up."
        ) from error


def _sentences(text: str) -> str:
    """libpq's lines in one, each ended by a full stop."""
    lines = (" ".join(line.split()) for line in text.splitlines() if line.strip())
    return " ".join(line if line[-1] in ".?!:" else f"{line}." for line in lines)


def postgres_conninfo(settings: Settings) -> str:
    """libpq's connection string of the settings. Raises `DatabaseProblem` where there is none, or none that is one."""
    conninfo = settings.database_url or _dlt_credentials()
    try:
        host = str(conninfo_to_dict(conninfo).get("host") or "")
    except psycopg.ProgrammingError:
        host = "@"
    if "@" in host:  # what stands before it is the end of a password, which no message may repeat
        raise DatabaseProblem(
            "DATABASE_URL is not a libpq connection string. It looks like postgresql://user:password@host:5432/database,"
            " with special characters in the password percent-encoded."
        )
    if settings.database_ca:
        return make_conninfo(conninfo, sslrootcert=_certificate_file(settings.database_ca))
    return make_conninfo(conninfo)


def _dlt_credentials() -> str:
    try:
        credentials = resolve_configuration(LibpqCredentials(), sections=("destination", "postgres", "credentials"))
    except ConfigurationException as error:
        raise DatabaseProblem(
            "No Postgres to load into: set DATABASE_URL to a connection string such as"
            " postgresql://user:password@host:5432/database, or destination.postgres.credentials in .dlt/secrets.toml."
        ) from error
    return credentials.to_native_representation()


def _certificate_file(certificate: str) -> str:
    """libpq wants a file: one that only we can read, which lives as long as the process."""
    text = certificate if "BEGIN CERTIFICATE" in certificate else _decoded(certificate)
    handle, name = tempfile.mkstemp(prefix="stripe-elt-ca-", suffix=".pem")
    atexit.register(Path(name).unlink, missing_ok=True)
    with os.fdopen(handle, "w") as file:
        file.write(text)
    return name


def _decoded(certificate: str) -> str:
    try:
        text = base64.b64decode("".join(certificate.split()), validate=True).decode("ascii")
    except ValueError:
        text = ""
    if "BEGIN CERTIFICATE" not in text:
        raise DatabaseProblem("DATABASE_CA is neither a PEM certificate nor base64 of one.")
    return text
