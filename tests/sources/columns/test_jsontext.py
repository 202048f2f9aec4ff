"""Every JSON value that Stripe could send comes out of `parse` and goes back to text unchanged."""

from __future__ import annotations

import json
from decimal import Decimal

import orjson
import pytest
from hypothesis import given

from sources.errors import BrokenPage
from sources.json_text import cut_deep, escaped_deep, parse, storable, text
from tests.sources.json_values import escaped, identical, values


@given(values)
def test_text_parses_back_to_the_same_value(value: object) -> None:
    clean = escaped(value)
    assert identical(parse(text(clean)), clean)


@given(values)
def test_storable_text_holds_the_escaped_value_and_says_so(value: object) -> None:
    raw, changed = storable(value)
    assert identical(parse(raw), escaped(value))
    assert changed == (not identical(escaped(value), value))


@given(values)
def test_escaping_touches_only_what_no_database_can_hold(value: object) -> None:
    assert identical(escaped_deep(value), escaped(value))


def test_text_is_compact_and_keeps_key_order() -> None:
    assert text(parse(b'{"b": [1, 2.50, "\xc3\xa9"], "a": null}')) == '{"b":[1,2.5,"é"],"a":null}'.encode()


@pytest.mark.parametrize(
    "literal",
    [
        b"18446744073709551615",
        b"18446744073709551616",
        b"-9223372036854775809",
        b"123456789012345678901234567890",
        b"-0",
    ],
)
@pytest.mark.parametrize("around", [b"%b", b"[%b]", b'{"a":%b}', b'{"a": %b , "b":1}', b"[1,\n%b\n]"])
def test_integers_are_exact_whatever_their_size(literal: bytes, around: bytes) -> None:
    body = around % literal
    assert identical(parse(body), json.loads(body))


def test_long_digits_in_strings_and_fractions_are_no_integers() -> None:
    body = b'{"arn":"12345678901234567890123","x":0.12345678901234567890123,"y":"a, 12345678901234567890123, b"}'
    assert identical(parse(body), orjson.loads(body))


def test_numbers_beyond_a_double_are_kept_as_decimals() -> None:
    assert identical(parse(b"[1e400, -2.5e999, 1e308]"), [Decimal("1e400"), Decimal("-2.5e999"), 1e308])
    assert text([Decimal("1e400")]) == b"[1E+400]"


def test_lone_surrogates_are_read_and_escaped() -> None:
    assert parse(rb'"a\ud800b"') == "a\ud800b"
    assert storable("a\ud800b") == (rb'"a\\ud800b"', True)


def test_a_backslash_before_u0000_is_the_senders_own() -> None:
    assert storable("\\u0000") == (rb'"\\u0000"', False)


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b'{"a":1', b"NaN", b"[Infinity]", b"-Infinity", b'"\xff"', b"1e4300", b"9" * 5000, b"[" * 5000],
)
def test_what_is_no_json_is_refused_with_value_error(body: bytes) -> None:
    with pytest.raises(ValueError):
        parse(body)


def test_nesting_beyond_what_can_be_stored_is_a_broken_page() -> None:
    deep: list[object] = []
    for _ in range(2000):
        deep = [deep]
    with pytest.raises(BrokenPage, match="nested more than 1,000 levels deep"):
        storable(deep)


def test_nesting_deeper_than_orjson_writes_is_kept() -> None:
    body = b"[" * 300 + b"]" * 300
    assert text(parse(body)) == body


def test_page_with_a_number_out_of_range_keeps_all_other_objects() -> None:
    page = b'{"data":[{"id":"a","n":1},{"n":-%s,"id":"b"},{"id":"c","text":"%s"}]}' % (b"1" * 5_000, b"2" * 5_000)
    first, second, third = parse(cut_deep(page))["data"]
    assert (first, second["id"], third) == ({"id": "a", "n": 1}, "b", {"id": "c", "text": "2" * 5_000})
    with pytest.raises(BrokenPage, match="nested more than 1,000 levels deep"):
        storable(second["object"])
