"""Decides from a database error whether to try again, and how. Pure.

The batch and the sink use the same table of SQLSTATEs, whichever driver raised the error:
https://www.postgresql.org/docs/current/errcodes-appendix.html. DuckDB's errors have none and are judged by their class.
"""

from __future__ import annotations

from typing import Literal

from pipelines.warehouse.problems import database_error_of, is_error_of, state_of

Verdict = Literal["outage", "conflict", "moved", "refused"]
"""`outage`: the database, its connection or its pooler fails for every statement: try again until time is up.
`conflict`: a conflict with another transaction: try again at once. `moved`: tables have changed: read the schema again.
`refused`: the database refuses these rows, and will do so again."""

VERDICTS: tuple[tuple[str, Verdict], ...] = (
    ("08", "outage"),  # connection, protocol: a pooler's own errors are 08P01
    ("25", "outage"),  # a standby; idle for too long; a transaction that is not the one we began
    ("26000", "outage"),  # a prepared statement is missing: a pooler has switched the server connection
    ("28", "outage"),
    ("3D000", "outage"),
    ("40", "conflict"),
    ("42P05", "outage"),  # a prepared statement exists already: another client of the pooler created it
    ("53", "outage"),
    ("55006", "outage"),  # in use
    ("55P03", "outage"),  # lock timeout
    ("57", "outage"),  # cancelled, shut down, starting
    ("58", "outage"),
    ("0A000", "moved"),
    ("42P01", "moved"),
    ("42703", "moved"),
    ("F0", "outage"),
)
"""SQLSTATEs, or their classes -> verdict; all others are `refused`."""

DENIED = "42501"
"""The role lacks a right. The sink keeps the event as failed. A batch stops, because it would leave out row after
row."""

REFUSING_DUCKDB = (
    "ConversionException",
    "ConstraintException",
    "DataError",
    "InvalidInputException",
    "InvalidTypeException",
    "OutOfRangeException",
)

RACES = ("23505", "42701", "42710", "42P06", "42P07", "XX000")
"""Errors of a schema change that another session has made at the same time."""

LOST = ("OperationalError", "InterfaceError")
"""Names of the errors that both drivers raise if the server did not answer."""


def verdict_of(error: BaseException) -> Verdict:
    """The verdict on an error, or on the database error that caused it."""
    found = database_error_of(error)
    if found is None:
        return "outage" if isinstance(error, OSError | TimeoutError) else "refused"
    if is_error_of("duckdb", found):
        return "refused" if is_error_of("duckdb", found, *REFUSING_DUCKDB) else "outage"
    state = state_of(found)
    if state is None:  # the server did not answer: the connection was lost, or the pool has none
        return "outage" if any(kind.__name__ in LOST for kind in type(found).__mro__) else "refused"
    return next((verdict for start, verdict in VERDICTS if state.startswith(start)), "refused")


def refusal_of(error: BaseException) -> str | None:
    """The kind of an error about the rows of a batch: "CheckViolation 23514"; None for any other error.

    A missing table or column counts too: a batch has just created its own, so a user's trigger needs it.
    """
    found = database_error_of(error)
    if found is None or verdict_of(found) not in ("refused", "moved"):
        return None
    if is_error_of("duckdb", found):
        return type(found).__name__
    state = state_of(found)  # None if the server did not answer: then the error is not about the rows
    return f"{type(found).__name__} {state}" if state not in (None, DENIED) else None
