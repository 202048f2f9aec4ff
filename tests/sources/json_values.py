"""Hypothesis strategies for JSON values as an API could send them, and a comparison that tells 1 from 1.0 and true."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

# Strings with what databases cannot hold; no backslash, so that an escape written by us is told from the sender's own.
strings = st.text(
    st.one_of(st.characters(exclude_characters="\\"), st.sampled_from("\0\ud800\udfffé\U0001f600")), max_size=8
)
integers = st.one_of(
    st.integers(-10, 10),
    st.integers(0, 2_000_000_000),
    st.sampled_from(
        [2**53 - 1, 2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64, 10**30]
    ),
    st.integers(-(2**80), 2**80),
    st.sampled_from([-62_135_596_801, -62_135_596_800, -62_135_510_400, 253_402_214_399, 253_402_214_400, 10**12]),
)
floats = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False), st.sampled_from([0.0, -0.0, 1.0, 2.5, 1e22, 5e-324])
)
decimals = st.one_of(
    st.decimals(allow_nan=False, allow_infinity=False, places=12, min_value=-(10**26), max_value=10**26).map(str),
    st.sampled_from(["0", "-0", "10.5", "10.50", "0.1234567890123", "1" * 26, "1" * 27, "007", "1e3", "٣", " 1", "1."]),
)
instants = st.one_of(
    st.datetimes().map(lambda moment: moment.isoformat() + "Z"),
    st.sampled_from(
        [
            "2025-03-01T12:00:00Z",
            "2025-03-01T12:00:00.000Z",
            "2025-03-01T12:00:00.5Z",
            "2025-03-01T12:00:00.123456Z",
            "2025-03-01T12:00:00.1234567Z",
            "2025-03-01T12:00:00+00:00",
            "2025-02-30T12:00:00Z",
            "2025-03-01T12:00:60Z",
            "2025-W01-1T00:00:00Z",
            "0001-01-01T00:00:00Z",
            "9999-12-31T23:59:59.999999Z",
            "2025-03-01",
        ]
    ),
)
beyond_double = st.sampled_from([Decimal("1e400"), Decimal("-2.5E+999")])
scalars = st.one_of(
    st.none(),
    st.booleans(),
    integers,
    floats,
    strings,
    decimals,
    instants,
    st.sampled_from(["1", "true", ""]),
    beyond_double,
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(strings, inner, max_size=3)),
    max_leaves=6,
)


def identical(one: Any, other: Any) -> bool:
    """Equal in type and value all the way down, key order and the sign of zero included."""
    if type(one) is not type(other):
        return False
    if type(one) is dict:
        return list(one) == list(other) and all(identical(one[key], other[key]) for key in one)
    if type(one) is list:
        return len(one) == len(other) and all(map(identical, one, other))
    if type(one) is float:
        return one.hex() == other.hex()
    return bool(one == other)


def escaped(value: Any) -> Any:
    """The value with unstorable characters as six-character escapes, written independently of the source."""
    if type(value) is str:
        return "".join(f"\\u{ord(c):04x}" if c == "\0" or 0xD800 <= ord(c) <= 0xDFFF else c for c in value)
    if type(value) is dict:
        return {escaped(key): escaped(item) for key, item in value.items()}
    if type(value) is list:
        return [escaped(item) for item in value]
    return value


def in_digits(value: Any) -> Any:
    """The value with nested numbers from 1e16 as the integers that their text says."""
    if type(value) is dict:
        return {key: in_digits(item) for key, item in value.items()}
    if type(value) is list:
        return [in_digits(item) for item in value]
    return int(Decimal(str(value))) if type(value) in (float, Decimal) and abs(value) >= 1e16 else value
