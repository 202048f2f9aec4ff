"""Our own connection to Postgres: libpq's connection strings, advisory locks, one paragraph for what goes wrong."""

from __future__ import annotations

import atexit
import base64
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

import psycopg
from dlt.common.configuration.exceptions import ConfigurationException
from dlt.common.configuration.resolve import resolve_configuration
from dlt.common.destination import Destination
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pipelines import destinations
from pipelines.connections import Connections
from pipelines.database_problem import AlreadyRunning, DatabaseProblem
from pipelines.libpq import LibpqCredentials
from pipelines.settings import Settings

RUN_LOCK = 0x5747_5251  # one run at a time on a dataset
PATIENCE, MOMENT = 10, 0.05
"""How often the lock is asked for, and the seconds between: the server notices late that a killed run has gone."""


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
