"""Fits one JSON value into one column type: what the column stores, and what goes to a variant column beside it.

This is the only definition of the conversion; the Arrow path (arrow.py) is faster for columns whose values all fit,
with the same result. `restore` is the inverse. Knows no table, no page and no Arrow.

| column    | holds exactly                                                   | back as            |
|-----------|-----------------------------------------------------------------|--------------------|
| text      | strings                                                         | str                |
| bigint    | integers of 64 bits                                             | int                |
| double    | floats; integers up to 2**53                                    | float              |
| bool      | true, false                                                     | bool               |
| timestamp | whole unix seconds; where `Table.moments` is "iso", RFC 3339 strings with up to six decimals | int; str |
| decimal   | strings of up to 26 digits before and 12 after the point        | str                |
| json      | any value, as JSON text                                         | the value          |

For any other value, the column is null and the value goes to `<column>__v_<variant>`, by the type of the value: str to
`text`, integers of 64 bits to `bigint`, floats to `double`, booleans to `bool`, all the rest to `json`.

Some values come back in another spelling of the same number or instant: decimals without trailing zeros
("10.50" as "10.5"), times in UTC with three or six decimals ("…:00+00:00" as "…:00.000Z"),
nested numbers from 1e16 in digits.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from sources.catalogue import FIRST_SECOND, LAST_SECOND
from sources.json_text import escaped, parse_in_digits, storable

if TYPE_CHECKING:
    from sources.catalogue import ColumnType

Variant = Literal["text", "bigint", "double", "bool", "json"]
VARIANTS: Mapping[Variant, Any] = {"text": "", "bigint": 0, "double": 0.0, "bool": False, "json": {}}
"""Types of variant columns in their order, each with a sample value of the type."""

VARIANT_MARK = "__v_"
MAX_NAME = 53
"""Longest name of a column, in characters: Postgres keeps 63 bytes, of which `__v_bigint` takes ten."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MAX_KEY = 1_000
"""Longest text in a key, in bytes: an index row of Postgres holds 2,704 for all columns of a key. Stripe's ids have up
to 255."""

INT64 = range(-(2**63), 2**63)
_DOUBLE_INTEGERS = range(-(2**53), 2**53 + 1)
DECIMAL = r"-?(?:0|[1-9][0-9]{0,25})(?:\.[0-9]{1,12})?"
"""Matches the texts that a decimal column can hold."""
INSTANT = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?(?:Z|[+-][0-9]{2}:[0-9]{2})"
"""Matches the texts that a timestamp column can hold, if the instant is between `FIRST_SECOND` and `LAST_SECOND`."""
_NAME = re.compile(r"[a-z](?:_?[a-z0-9])*")
SYSTEM_COLUMNS = frozenset(("ctid", "xmin", "xmax", "cmin", "cmax", "tableoid", "rowid"))
"""Hidden columns that every table has: those of Postgres, and DuckDB's `rowid`, which the merge uses."""


def is_column_name(field: str) -> bool:
    """Whether a field can be a column of the same name in every destination: snake case, no doubled `_`, not too long,
    and not a column that the database has already.
    """
    return len(field) <= MAX_NAME and _NAME.fullmatch(field) is not None and field not in SYSTEM_COLUMNS


def variant_column(column: str, variant: Variant) -> str:
    """Name of the column that holds the values of another type: `amount__v_text`."""
    return f"{column}{VARIANT_MARK}{variant}"


def fit(kind: ColumnType, value: Any, iso: bool = False) -> tuple[Any, Variant | None, bool]:
    """A JSON value other than null -> (value to store, variant that holds it or None, whether characters were escaped).

    With `iso`, timestamps are RFC 3339 strings; without it, whole unix seconds. Stored values are str, int, float,
    bool, aware datetime, Decimal; for `json` the text as str.
    """
    seen = type(value)
    if kind == "json":
        return _as_json(value, None)
    if seen is str:
        if kind == "timestamp" and iso and (instant := instant_of(value)) is not None:
            return instant, None, False
        if kind == "decimal" and (number := decimal_of(value)) is not None:
            return number, None, False
        clean = escaped(value)
        return clean, None if kind == "text" else "text", clean is not value
    if seen is int and value in INT64:
        if kind == "timestamp" and not iso and FIRST_SECOND <= value <= LAST_SECOND:
            return EPOCH + timedelta(seconds=value), None, False
        if kind == "double" and value in _DOUBLE_INTEGERS:
            return float(value), None, False
        return value, None if kind == "bigint" else "bigint", False
    if seen is float:
        return value, None if kind == "double" else "double", False
    if seen is bool:
        return value, None if kind == "bool" else "bool", False
    return _as_json(value, "json")


def restore(kind: ColumnType, value: Any, iso: bool = False) -> Any:
    """The JSON value that `fit` has stored. The value of a `json` column is its text as str, or already parsed."""
    if kind == "timestamp":
        return _instant_text(value) if iso else (_aware(value) - EPOCH) // timedelta(seconds=1)
    if kind == "decimal":
        return decimal_text(value)
    if kind == "json" and type(value) is str:
        return parse_in_digits(value.encode())
    return value


def canonical(kind: ColumnType, value: Any, iso: bool = False) -> Any:
    """The value in the form that comes back: decimals and instants in one spelling, unstorable characters escaped."""
    stored, variant, _ = fit(kind, value, iso)
    return restore(variant or kind, stored, iso)


def decimal_text(number: Decimal) -> str:
    """Plain decimal digits: no exponent, no trailing zeros, no negative zero."""
    digits = format(number, "f")
    if "." in digits:
        digits = digits.rstrip("0").rstrip(".")
    return "0" if digits == "-0" else digits


def decimal_of(string: str) -> Decimal | None:
    """The number in a string; None if a column cannot hold it."""
    return Decimal(string) if re.fullmatch(DECIMAL, string) else None


def _as_json(value: Any, variant: Variant | None) -> tuple[str, Variant | None, bool]:
    raw, changed = storable(value)
    return raw.decode(), variant, changed


def instant_of(string: str) -> datetime | None:
    """The instant in an RFC 3339 string; None if a column cannot hold it."""
    if re.fullmatch(INSTANT, string) is None:
        return None
    try:
        instant = datetime.fromisoformat(string)
    except ValueError:
        return None
    return instant if FIRST_SECOND <= instant.timestamp() <= LAST_SECOND else None


def _instant_text(value: datetime) -> str:
    instant = _aware(value).astimezone(UTC).replace(tzinfo=None)
    return instant.isoformat(timespec="microseconds" if instant.microsecond % 1000 else "milliseconds") + "Z"


def _aware(value: datetime) -> datetime:
    return value if value.tzinfo is not None else value.replace(tzinfo=UTC)
