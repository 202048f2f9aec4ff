"""Postgres credentials as libpq takes them: of our settings, and in dlt's configuration. Knows no table and no load."""

from __future__ import annotations

import atexit
import base64
import os
import tempfile
from pathlib import Path
from typing import Any

from dlt.common.configuration import configspec
from dlt.common.configuration.exceptions import ConfigurationException
from dlt.common.configuration.resolve import resolve_configuration
from dlt.common.typing import TSecretStrValue
from dlt.destinations.impl.postgres.configuration import PostgresClientConfiguration, PostgresCredentials
from psycopg.conninfo import make_conninfo

from pipelines.settings import warn_misspelt
from pipelines.warehouse.postgres.conninfo import EXAMPLE, checked, options_of
from pipelines.warehouse.problems import DatabaseProblem

CREDENTIALS = "destination.postgres.credentials"
BEGIN = "-----BEGIN CERTIFICATE-----"


@configspec(init=False)
class LibpqCredentials(PostgresCredentials):
    """dlt's credentials, or any libpq connection string.

    dlt's own class knows no Unix sockets, wants a password and rewrites the query; here a connection string goes to
    libpq as `options_of` takes it: sockets, `sslmode`, `sslrootcert`, `options`, several hosts.
    """

    host: str | None = None  # type: ignore[assignment]  # dlt requires it, libpq does not
    password: TSecretStrValue | None = None  # type: ignore[assignment]
    dsn: TSecretStrValue | None = None

    def parse_native_representation(self, native_value: Any) -> None:
        """Takes what `options_of` takes. Raises `DatabaseProblem`."""
        parts = options_of(str(native_value), CREDENTIALS)
        self.dsn = make_conninfo(**parts)
        self.database = parts.get("dbname") or parts.get("user") or "postgres"
        self.username = parts.get("user") or "postgres"
        self.host = parts.get("host") or parts.get("hostaddr") or "localhost"
        self.query = {"options": parts["options"]} if "options" in parts else {}

    def to_native_representation(self) -> str:
        """The connection string that libpq gets: `key=value` words, since dlt's URL does not quote every character."""
        if self.dsn:
            return self.dsn
        words = {"user": self.username, "password": self.password, "host": self.host, "port": self.port}
        given = {**self.get_query(), **words, "dbname": self.database}
        return make_conninfo(**checked({key: value for key, value in given.items() if value is not None}, CREDENTIALS))


@configspec
class LibpqConfiguration(PostgresClientConfiguration):
    """dlt's configuration of Postgres with `LibpqCredentials`."""

    credentials: LibpqCredentials = None  # type: ignore[assignment]  # resolved by dlt


def postgres_conninfo(url: str | None, certificate: str | None) -> str:
    """libpq's connection string, by the settings `database_url` and `database_ca`, or by dlt's own credentials.

    Raises `DatabaseProblem` if nothing is set, or something that is not a connection string.
    """
    given = (url, "DATABASE_URL") if url and url.strip() else (_dlt_credentials(), CREDENTIALS)
    options = options_of(*given)
    if certificate:
        options["sslrootcert"] = _certificate_file(certificate)
    return make_conninfo(**options)


def _dlt_credentials() -> str:
    warn_misspelt("destination.postgres", list(LibpqConfiguration().get_resolvable_fields()))
    warn_misspelt(CREDENTIALS, list(LibpqCredentials().get_resolvable_fields()))
    try:
        credentials = resolve_configuration(LibpqCredentials(), sections=("destination", "postgres", "credentials"))
    except ConfigurationException as error:
        if field := getattr(error, "field_name", None):  # dlt's own words repeat its value
            raise DatabaseProblem(f"The setting {CREDENTIALS}.{field} has a value of the wrong type.") from None
        raise DatabaseProblem(
            f"There is no Postgres to load into. Set DATABASE_URL to a connection string such as {EXAMPLE},"
            f" or {CREDENTIALS} in .dlt/secrets.toml."
        ) from None
    return credentials.to_native_representation()


def _certificate_file(certificate: str) -> str:
    """libpq wants a file: one that only we can read, which lives as long as the process."""
    text = _pem(certificate)
    try:
        handle, name = tempfile.mkstemp(prefix="stripe-elt-ca-", suffix=".pem")
        atexit.register(Path(name).unlink, missing_ok=True)
        with os.fdopen(handle, "w") as file:
            file.write(text)
    except OSError as error:
        raise DatabaseProblem(
            "The certificate of DATABASE_CA cannot be written to the temporary folder:"
            f" {os.strerror(error.errno or 0)}. Set TMPDIR to a folder that can be written."
        ) from error
    return name


def _pem(certificate: str) -> str:
    """The certificate as PEM: of PEM, of PEM with `\\n` for its line breaks, or of base64 of PEM."""
    text = certificate.replace("\\n", "\n") if BEGIN in certificate else _decoded(certificate)
    if BEGIN not in text or not text.isascii():
        raise DatabaseProblem(
            "DATABASE_CA is neither a PEM certificate nor base64 of one. To give the path of a file, set"
            " sslrootcert in DATABASE_URL instead."
        )
    return text


def _decoded(certificate: str) -> str:
    try:
        return base64.b64decode("".join(certificate.split()), validate=True).decode("ascii")
    except ValueError:
        return ""
