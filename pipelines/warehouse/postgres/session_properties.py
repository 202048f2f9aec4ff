"""The properties of a Postgres session on which our results depend, and the SQL that sets them for one transaction.

A role, a database, a connection string, a `PG…` variable or the pooler's last client can have set any of them. They are
set with `set_config(…, true)`, which ends with the transaction: a session-wide SET would affect other clients of a
pooler that shares server connections (https://www.pgbouncer.org/features.html).
`tests/pipelines/warehouse/test_session_properties.py` compares this list with all properties of a server. Opens no
connection.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pipelines.warehouse.problems import DatabaseProblem


@dataclass(frozen=True, slots=True)
class Property:
    """The value that we set, as `pg_settings` spells it, and the reason."""

    value: str
    reason: str


PROPERTIES: Mapping[str, Property] = MappingProxyType(
    {
        "client_encoding": Property("UTF8", "Text is sent as UTF-8; LATIN1 has no euro sign."),
        "standard_conforming_strings": Property("on", "With off, a backslash in a literal would be an escape."),
        "backslash_quote": Property("safe_encoding", "It decides which literals the server accepts."),
        "array_nulls": Property("on", "With off, a null in an array that we send becomes the text NULL."),
        "transform_null_equals": Property("off", "With on, `= NULL` means IS NULL."),
        "DateStyle": Property("ISO, MDY", "The drivers read dates in ISO form only."),
        "IntervalStyle": Property("postgres", "The drivers read intervals in this form only."),
        "TimeZone": Property("UTC", "Timestamps without a zone, and casts to dates and texts, are in UTC."),
        "timezone_abbreviations": Property("Default", "It decides what the Z at the end of a timestamp means."),
        "extra_float_digits": Property(
            "3", "With less, floating-point numbers lose digits when they are read as text."
        ),
        "bytea_output": Property("hex", "Bytes that are read as text always have the same form."),
        "search_path": Property(
            "pg_catalog, public, pg_temp",
            "A function or a type of the same name in another schema would replace the built-in one. `public`"
            " stays for the users' triggers on our tables.",
        ),
        "row_security": Property("off", "With on, rows that a policy hides would silently be missing."),
        "gin_fuzzy_search_limit": Property("0", "With another value, a GIN index leaves out rows at random."),
        "default_table_access_method": Property(
            "heap", "The merge orders staged rows by their place in the heap (ctid)."
        ),
        "exit_on_error": Property("off", "With on, a statement that fails ends the session."),
        "log_parameter_max_length_on_error": Property("0", "With another value, errors quote customers' data."),
        "statement_timeout": Property("0", "The same package would fail in every run."),
        "lock_timeout": Property("0", "Writers wait for each other; each holds its locks for at most one package."),
        "transaction_timeout": Property("0", "The same package would fail in every run."),
        "idle_in_transaction_session_timeout": Property("0", "A run holds its lock in a transaction that is idle."),
    }
)
"""Name -> the value in each of our transactions. Every role may set these. Properties that the server's version lacks
are left out. `synchronous_commit` is in `set_properties`, because only one of its values is wrong."""

CONNECTION: Mapping[str, Any] = MappingProxyType({"client_encoding": "UTF8"})
"""Keywords for libpq that take precedence over the connection string, `PGCLIENTENCODING`, and the settings of roles and
databases. Every pooler accepts them as startup parameters."""

BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED"
"""`ON CONFLICT` waits for the other writer and sees its row. Under a role's `default_transaction_isolation` of
REPEATABLE READ or SERIALIZABLE, it would fail instead. Read-only is not overridden, because hosting providers set it on
full databases."""


def set_properties(more: Mapping[str, str] | None = None, *, is_local: bool = True) -> str:
    """One SELECT that sets the properties, and those in `more`, until the transaction ends.

    It has no parameters. Without `is_local` they stay until the session ends, for sessions that no pooler shares.

    It sets every property that the server has, even if it has the value already: otherwise, a reload of the server's
    configuration could change it between two statements. Values must be constants of the program, because they are not
    escaped. With `synchronous_commit` off, a confirmed commit can be lost; every other value is durable and stays.
    """
    wanted = {name: session_property.value for name, session_property in PROPERTIES.items()} | dict(more or {})
    values = ", ".join(f"('{name}', '{value}')" for name, value in wanted.items())
    durable = "pg_catalog.replace(pg_catalog.current_setting('synchronous_commit'), 'off', 'on')"
    return (
        f"SELECT pg_catalog.set_config(n, v, {is_local}) FROM (VALUES {values}, ('synchronous_commit', {durable}))"
        " AS wanted (n, v) WHERE pg_catalog.current_setting(n, true) IS NOT NULL"
    )


SET_PROPERTIES = set_properties()
BEGIN_TRANSACTION = f"{BEGIN}; {SET_PROPERTIES}"
"""Both in one round trip, with the simple protocol."""


def refuse_encoding(server_encoding: str | None) -> None:
    """Raises `DatabaseProblem` if the database cannot store every text.

    `server_encoding` is libpq's parameter status of this name, or the result of `SHOW server_encoding`; None if it is
    unknown.
    """
    if server_encoding in (None, "UTF8"):
        return
    raise DatabaseProblem(
        "The database cannot store every text: its encoding (server_encoding) is"
        f" {server_encoding}, but it must be UTF8. The encoding of a database cannot be changed. Create"
        " another database with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE"
        " 'C', and set DATABASE_URL to it. Nothing was changed."
    )
