"""Reads Postgres credentials from dlt's configuration, as a connection string for libpq. Knows no table and no load."""

from __future__ import annotations

from typing import Any

from dlt.common.configuration import configspec
from dlt.common.configuration.exceptions import ConfigurationException
from dlt.common.configuration.resolve import resolve_configuration
from dlt.common.typing import TSecretStrValue
from dlt.destinations.impl.postgres.configuration import PostgresClientConfiguration, PostgresCredentials
from psycopg.conninfo import make_conninfo

from pipelines.configuration.unread import warn_misspelt
from pipelines.warehouse.postgres.conninfo import CREDENTIALS, EXAMPLE, checked, options_of
from pipelines.warehouse.problems import DatabaseProblem


@configspec(init=False)
class LibpqCredentials(PostgresCredentials):
    """dlt's credentials, or any libpq connection string.

    dlt's own class does not support Unix sockets, requires a password and rewrites the query. Here, libpq gets the
    connection string as `options_of` reads it, with sockets, `sslmode`, `sslrootcert`, `options` and several hosts.
    """

    host: str | None = None  # type: ignore[assignment]  # dlt requires it, libpq does not
    password: TSecretStrValue | None = None  # type: ignore[assignment]
    dsn: TSecretStrValue | None = None

    def parse_native_representation(self, native_value: Any) -> None:
        """Accepts the strings that `options_of` accepts. Raises `DatabaseProblem`."""
        parts = options_of(str(native_value), CREDENTIALS)
        self.dsn = make_conninfo(**parts)
        self.database = parts.get("dbname") or parts.get("user") or "postgres"
        self.username = parts.get("user") or "postgres"
        self.host = parts.get("host") or parts.get("hostaddr") or "localhost"
        self.query = {"options": parts["options"]} if "options" in parts else {}

    def to_native_representation(self) -> str:
        """The connection string for libpq: `key=value` words, because dlt's URL does not quote every character."""
        if self.dsn:
            return self.dsn
        words = {"user": self.username, "password": self.password, "host": self.host, "port": self.port}
        given = {**self.get_query(), **words, "dbname": self.database}
        return make_conninfo(**checked({key: value for key, value in given.items() if value is not None}, CREDENTIALS))


@configspec
class LibpqConfiguration(PostgresClientConfiguration):
    """dlt's configuration of Postgres with `LibpqCredentials`."""

    credentials: LibpqCredentials = None  # type: ignore[assignment]  # resolved by dlt


def dlt_credentials() -> str:
    """The connection string of dlt's own `destination.postgres.credentials`. Raises DatabaseProblem."""
    warn_misspelt("destination.postgres", list(LibpqConfiguration().get_resolvable_fields()))
    warn_misspelt(CREDENTIALS, list(LibpqCredentials().get_resolvable_fields()))
    try:
        credentials = resolve_configuration(LibpqCredentials(), sections=("destination", "postgres", "credentials"))
    except ConfigurationException as error:
        if field := getattr(error, "field_name", None):  # dlt's message repeats the value
            raise DatabaseProblem(f"The setting {CREDENTIALS}.{field} has a value of the wrong type.") from None
        raise DatabaseProblem(
            f"There is no Postgres to load into. Set DATABASE_URL to a connection string such as {EXAMPLE},"
            f" or {CREDENTIALS} in .dlt/secrets.toml."
        ) from None
    return credentials.to_native_representation()
