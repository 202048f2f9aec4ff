"""Postgres credentials as libpq takes them, in dlt's configuration. Knows no table and no load."""

from __future__ import annotations

from typing import Any

from dlt.common.configuration import configspec
from dlt.common.typing import TSecretStrValue
from dlt.destinations.impl.postgres.configuration import PostgresClientConfiguration, PostgresCredentials
from psycopg.conninfo import conninfo_to_dict, make_conninfo


@configspec(init=False)
class LibpqCredentials(PostgresCredentials):
    """dlt's credentials, or any libpq connection string as it is.

    dlt's own class knows no Unix sockets, wants a password and rewrites the query; here a connection string goes to
    libpq unchanged: sockets, `sslmode`, `sslrootcert`, `options`, several hosts.
    """

    host: str | None = None  # type: ignore[assignment]  # dlt requires it, libpq does not
    password: TSecretStrValue | None = None  # type: ignore[assignment]
    dsn: TSecretStrValue | None = None

    def parse_native_representation(self, native_value: Any) -> None:
        """Takes a libpq URL or `key=value` string."""
        parts = conninfo_to_dict(native_value)
        self.dsn = native_value
        self.database = str(parts.get("dbname") or parts.get("user") or "postgres")
        self.username = str(parts.get("user") or "postgres")
        self.host = str(parts.get("host") or parts.get("hostaddr") or "localhost")
        self.query = {"options": str(parts["options"])} if "options" in parts else {}

    def to_native_representation(self) -> str:
        """The connection string that libpq gets: `key=value` words, since dlt's URL does not quote every character."""
        if self.dsn:
            return self.dsn
        words = {"user": self.username, "password": self.password, "host": self.host, "port": self.port}
        return make_conninfo(**{**self.get_query(), **words, "dbname": self.database})


@configspec
class LibpqConfiguration(PostgresClientConfiguration):
    """dlt's configuration of Postgres with `LibpqCredentials`."""

    credentials: LibpqCredentials = None  # type: ignore[assignment]  # resolved by dlt
