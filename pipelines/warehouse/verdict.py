"""What an error says about what was asked of the database: whether it is tried again, and how. Pure.

The batch and the sink judge by the same table of SQLSTATEs, whichever of the drivers raised the error:
https://www.postgresql.org/docs/current/errcodes-appendix.html. DuckDB's errors have none, and are
judged by their classes.
"""

from __future__ import annotations

from typing import Literal

from pipelines.warehouse.problems import database_error_of, is_error_of, state_of

Verdict = Literal["outage", "conflict", "moved", "refused"]
"""`outage`: the database, its connection or its pooler fails, whatever is asked: try again until time is up.
`conflict`: another transaction was in the way: try again at once. `moved`: the tables are not what they were thought to
be: look again. `refused`: the database refuses this very thing, and will do so the next time."""

VERDICTS: tuple[tuple[str, Verdict], ...] = (
    ("08", "outage"),  # connection, protocol: a pooler's own errors are 08P01
    ("25", "outage"),  # a standby; idle for too long; a transaction that is not the one we began
    ("26000", "outage"),  # a prepared statement is gone: a pooler has given us another server connection
    ("28", "outage"),
    ("3D000", "outage"),
    ("40", "conflict"),
    ("42P05", "outage"),  # a prepared statement is there already: of another client of the pooler
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
"""SQLSTATEs, or classes of them; all others are `refused`."""

DENIED = "42501"
"""The role lacks a right. The sink keeps the event as failed; a batch would leave out row after row, and stops."""

REFUSING_DUCKDB = (
    "ConversionException",
    "ConstraintException",
    "DataError",
    "InvalidInputException",
    "InvalidTypeException",
    "OutOfRangeException",
)

RACES = ("23505", "42701", "42710", "42P06", "42P07", "XX000")
"""What a change of the schema meets when another session has made the same one at the same time."""

LOST = ("OperationalError", "InterfaceError")
"""What both drivers raise, by these names, where the server has not answered."""


def verdict_of(error: BaseException) -> Verdict:
    """The verdict on an error, or on the error of a database that it was caused by."""
    found = database_error_of(error)
    if found is None:
        return "outage" if isinstance(error, OSError | TimeoutError) else "refused"
    if is_error_of("duckdb", found):
        return "refused" if is_error_of("duckdb", found, *REFUSING_DUCKDB) else "outage"
    state = state_of(found)
    if state is None:  # no answer of the server's: the connection was lost, or the pool has none
        return "outage" if any(kind.__name__ in LOST for kind in type(found).__mro__) else "refused"
    return next((verdict for start, verdict in VERDICTS if state.startswith(start)), "refused")


def refusal_of(error: BaseException) -> str | None:
    """The kind of an error that is about what a batch was to store: "CheckViolation 23514"; None for any other.

    A batch has just made its tables and columns: where one lacks, it is not ours but one that a trigger asks for.
    """
    found = database_error_of(error)
    if found is None or verdict_of(found) not in ("refused", "moved"):
        return None
    if is_error_of("duckdb", found):
        return type(found).__name__
    state = state_of(found)  # None where the server has said nothing: whatever it was, it was not about the rows
    return f"{type(found).__name__} {state}" if state not in (None, DENIED) else None
