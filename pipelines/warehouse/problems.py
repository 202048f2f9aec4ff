"""Explains database errors in one paragraph that names the setting to change and repeats no value of a row.

Knows the errors of both databases by SQLSTATE; opens no connection.
https://www.postgresql.org/docs/current/errcodes-appendix.html
"""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from sources.errors import StopRun

KEPT = "Everything that was committed before is kept, and the next run continues from there."

# SQLSTATE, or the class that it begins with -> what happened, what to do.
POSTGRES = {
    "25006": (
        "The database is read-only: it is a standby, or default_transaction_read_only is on",
        "Set DATABASE_URL to a server and a role that may write, and check its options.",
    ),
    "42501": (
        "The role lacks a permission",
        (
            "Grant the permission that it names, or set DATABASE_URL to a role that has it; docs/postgres.md has"
            " the statements."
        ),
    ),
    "53100": ("The database's disk is full", "Free space on the server, or set DATABASE_URL to another server."),
    "53": ("The database has run out of memory or connections", "Check the server's log and limits."),
    "57": ("The server ended the connection", "Check whether it is running, and check its log."),
    "08P01": (
        "The pooler in front of Postgres ended the connection",
        (
            "Check its log. With query_wait_timeout, its pool has fewer server connections than are needed at"
            " once; docs/postgres.md says how many a run needs."
        ),
    ),
    **dict.fromkeys(
        ("26000", "42P05"),
        (
            "A pooler in front of Postgres mixed up prepared statements",
            "Run again, and check the pooler's mode and log.",
        ),
    ),
    "08": ("The connection to the server was lost", "Check DATABASE_URL, and check whether the server is running."),
    "40": ("Other sessions kept changing the same rows", "Run again."),
    "55": ("Another session held a lock for too long", "Run again when that session has finished."),
}
DUCKDB = (
    (
        "IOException",
        "DuckDB could not read or write its file",
        "Check the disk's free space and permissions, or set DUCKDB_PATH (or --duckdb-path) to another file.",
    ),
    (
        "OutOfMemoryException",
        "DuckDB ran out of memory or disk space",
        "Raise the setting duckdb_memory_limit, or free space on the disk of DUCKDB_PATH.",
    ),
)
GRANTS = tuple(
    (re.compile(pattern), statement)
    for pattern, statement in (
        (r"permission denied for database (\S+)", r"GRANT CREATE ON DATABASE \1 TO <role>;"),
        (r"permission denied for schema (\S+)", r"GRANT USAGE, CREATE ON SCHEMA \1 TO <role>;"),
        (
            r"permission denied for (?:table|view|relation) (\S+)",
            r"GRANT SELECT, INSERT, UPDATE, DELETE ON <schema>.\1 TO <role>;",
        ),
        (r"must be owner of (?:table|relation|index) (\S+)", r"ALTER TABLE <schema>.\1 OWNER TO <role>;"),
        (r"must be owner of schema (\S+)", r"ALTER SCHEMA \1 OWNER TO <role>;"),
        (r"row-level security policy for table (\S+)", r"ALTER ROLE <role> BYPASSRLS;"),
    )
)
"""Postgres' message about a missing right -> the statement that grants it."""

SPEAKING = ("25", "26", "28", "3D", "42", "53", "55", "57", "58", "08")
"""Classes of SQLSTATE whose messages contain names but no values."""

_LOST = ("OperationalError", "InterfaceError", "AdminShutdown")  # without a SQLSTATE, these mean a lost connection
_ROWS = re.compile(r"\b(?:DETAIL|CONTEXT|LINE \d+):.*?(?=\n\n(?:The above exception|During handling)|\Z)", re.DOTALL)
_VALUES = re.compile(  # messages that quote a value: Postgres' class 22, DuckDB's conversions and constraints
    r"^[^\n]*(?:invalid (?:input|byte|value)|out of range|too long|malformed|Conversion Error|Constraint Error"
    r"|Could not convert|Invalid Input Error)[^\n]*(?:\n(?!\n|\s+File |Traceback)[^\n]*)*",
    re.MULTILINE,
)
_QUOTE = re.compile("[\"'].*", re.DOTALL)


class DatabaseProblem(StopRun):
    """The database cannot be used: it is down, read-only, locked, full, or refuses something.

    `refusal` is the kind of error if it is about the rows to store ("CheckViolation 23514"), otherwise None.
    """

    def __init__(self, message: str, *, refusal: str | None = None) -> None:
        super().__init__(message)
        self.refusal = refusal


class AlreadyRunning(StopRun):
    """Another run has the dataset, or the same part of it."""


@contextmanager
def database_problems() -> Iterator[None]:
    """Turns database errors inside the block into `DatabaseProblem`."""
    try:
        yield
    except Exception as error:
        if is_error_of("psycopg", error) or is_error_of("duckdb", error):
            raise DatabaseProblem(explained(error)) from error
        raise


def explained(error: BaseException) -> str:
    """The paragraph about an error, or about the database's error that caused it."""
    cause = database_error_of(error) or _causes(error)[-1]
    if is_error_of("duckdb", cause):
        return _of_duckdb(cause)
    if isinstance(cause, OSError):
        return (
            f"The temporary folder cannot be written: {os.strerror(cause.errno or errno.EIO)}. Free space on"
            f" its disk, or set TMPDIR to another folder. {KEPT}"
        )
    if not is_database_error(cause):
        return (
            f"Unexpected error: {type(cause).__name__}. {KEPT} Run the command again with --debug to see the"
            " traceback, and please report it."
        )
    return _of_postgres(cause)


def without_rows(text: str) -> str:
    """A traceback without the databases' details about refused rows, which can be customers' data."""
    return _VALUES.sub(lambda found: _QUOTE.sub("…", found[0]), _ROWS.sub("…", text))


def database_error_of(error: BaseException) -> BaseException | None:
    """The first database error among an error and its causes; None if there is none."""
    return next(filter(is_database_error, _causes(error)), None)


def state_of(error: BaseException | None) -> str | None:
    """The SQLSTATE of a driver's error; None if it has none."""
    return getattr(error, "sqlstate", None)


def is_database_error(error: BaseException) -> bool:
    """Whether the error comes from one of the drivers, psycopg or DuckDB's."""
    return is_error_of("psycopg", error) or is_error_of("duckdb", error)


def is_error_of(driver: str, error: BaseException, *names: str) -> bool:
    """Whether the error is the driver's and of one of these classes (default: any). Does not import the driver."""
    module = sys.modules.get(driver)
    return module is not None and isinstance(error, tuple(getattr(module, name) for name in names or ("Error",)))


def advice_on_rights(error: BaseException) -> str | None:
    """The statement to run if the role lacks a right, with placeholders for names that the error does not show."""
    said = str(getattr(getattr(error, "diag", None), "message_primary", None))
    if state_of(error) == "42501":
        for pattern, statement in GRANTS:
            if found := pattern.search(said):
                return f"The role lacks a right: {found[0]}. Run this as the owner: {found.expand(statement)}"
    return None


def _causes(error: BaseException) -> list[BaseException]:
    """An error and its causes, in order."""
    seen: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in seen:
        seen.append(following)
        following = following.__cause__ or following.__context__
    return seen


def _of_postgres(error: BaseException) -> str:
    code = state_of(error) or ""
    said = getattr(getattr(error, "diag", None), "message_primary", None)
    if (not code and is_error_of("psycopg", error, "OperationalError")) or type(error).__name__ in _LOST:
        code = "08006"
    what, advice = (
        POSTGRES.get(code) or POSTGRES.get(code[:2]) or ("The database reported an error", "Check the server's log.")
    )
    if rights := advice_on_rights(error):
        return f"{rights} Or set DATABASE_URL to another role; docs/postgres.md has the roles. {KEPT}"
    said = f": {said}" if said and code[:2] in SPEAKING else f" ({type(error).__name__}{f' {code}' if code else ''})"
    return f"{what}{said}. {advice} {KEPT} --debug shows the traceback."


def _of_duckdb(error: BaseException) -> str:
    text = " ".join(str(error).splitlines()[0].split()).rstrip(".")
    for kind, what, advice in DUCKDB:
        if is_error_of("duckdb", error, kind) or (kind == "IOException" and "Could not write file" in text):
            return f"{what}: {text}. {advice} {KEPT}"
    return f"DuckDB reported an error ({type(error).__name__}). {KEPT} --debug shows the traceback."
