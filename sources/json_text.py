"""Parses and writes JSON without changing any value.

orjson does the work, except for values that it would change or refuse: `orjson.loads` turns integers beyond 64 bits
into doubles and refuses `1e400` and lone surrogates (`"\\ud800"`), `orjson.dumps` refuses integers beyond 64 bits,
`Decimal` and nesting deeper than 254. Python's own encoder is limited by its stack, so it is not used for deep values.
Numbers with a fraction or an exponent are IEEE doubles, as in Stripe's own libraries.

Postgres' `text` and `jsonb` cannot hold U+0000, and no database holds a lone surrogate: `escaped` replaces each by the
six characters of its JSON escape (`\\u0000`, `\\ud800`).

Knows no table, no column and no HTTP.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import partial
from typing import Any

import orjson

from sources.errors import BrokenPage

# Fewer than 19 digits always fit into a 64-bit integer. The search for longer runs has two steps: first for nineteen
# digits (all are mapped to "0"), then whether a number can begin there, because strings have such runs too.
_DIGITS_AS_ZERO = bytes(0x30 if 0x30 <= byte <= 0x39 else byte for byte in range(256))
_LONG_RUN = b"0" * 19
_BEFORE_NUMBERS = b"[:, \t\r\n"

_MAX_EXPONENT = 4300
"""Numbers from 10**4300 on are refused, because Python refuses longer integers; Postgres' numeric ends at
10**131072."""

_FIRST_WITH_EXPONENT = 1e16
_MAY_BE_LARGE = re.compile(rb"[0-9]{16}|[0-9][eE]")  # numbers from 1e16 are written so, and some strings too
_END = object()

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")

MAX_DEPTH = 1000
"""How many levels deep a field's value may be nested. orjson parses 1,024 levels of a page; Postgres' jsonb takes about
10,000 with its default stack, DuckDB's JSON more."""
_TOKENS = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)
_VALUE = re.compile(rb'\s*:\s*("(?:[^"\\]|\\.)*")', re.DOTALL)
_ENTRY = 3  # the depth of an object in a page's `data`
_TOO_DEEP = b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1)


_NUMBERS = re.compile(rb'"(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*', re.DOTALL)


class TooLarge(ValueError):
    """A JSON text that cannot be parsed: it has a number out of range, or is nested too deep."""


class TooDeep(TooLarge):
    """A JSON text that is nested too deep to be parsed."""


def parse(body: bytes) -> Any:
    """The Python value of a JSON text in UTF-8.

    Integers are exact whatever their size; numbers that a double cannot hold (`1e400`) are `Decimal`; all others with a
    fraction or an exponent are `float`, always finite. Lone surrogates stay in the `str`. Takes 1.2 to 1.4 times as
    long as `orjson.loads`. Raises ValueError if the text is not JSON or not UTF-8, its subclass TooDeep, and TooLarge
    for a number from 10**4300 on.
    """
    try:
        if _may_hold_long_integer(body):
            return _parse_slowly(body)
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return _parse_slowly(body)


def text(value: Any) -> bytes:
    """Compact JSON text in UTF-8 of a value as `parse` gives it, key order kept.

    Strings must be storable (see `storable`, `escaped_deep`). Raises BrokenPage when nested deeper than `MAX_DEPTH`.
    """
    try:
        return orjson.dumps(value)
    except TypeError:
        return "".join(_pieces(value)).encode()


def storable(value: Any) -> tuple[bytes, bool]:
    """The JSON text of a value (see `text`) with unstorable characters escaped in strings and keys; and whether there
    were any.
    """
    try:
        raw = orjson.dumps(value)
        if b"\\u0000" not in raw:
            return raw, False
    except TypeError:
        pass
    raw = "".join(_pieces(value)).encode("utf-8", "surrogatepass")
    clean = text(escaped_deep(value))
    return clean, clean != raw


def escaped(string: str) -> str:
    """The string with U+0000 and lone surrogates replaced by the six characters of their JSON escape."""
    if string.isascii() and "\0" not in string:
        return string
    return _UNSTORABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", string)


def escaped_deep(value: Any) -> Any:
    """A copy of a JSON value with `escaped` strings and keys."""
    return _mapped(value, lambda text: escaped(text) if type(text) is str else text, escaped)


def cut_deep(body: bytes) -> bytes:
    """Makes a page parseable that is nested too deep or has a number out of range.

    Each such object is replaced by its id and a value that is too deep to be stored, so that only this object is left
    out later.
    """
    body = _NUMBERS.sub(partial(_in_range, instead=_TOO_DEEP), body)
    depth = start = deepest = done = 0
    id = b'""'
    parts: list[bytes] = []
    for token in _TOKENS.finditer(body):
        mark = token[0][:1]
        if mark in b"[{":
            depth += 1
            if depth == _ENTRY:
                start, deepest, id = token.start(), depth, b'""'
            deepest = max(deepest, depth)
        elif mark in b"]}":
            if depth == _ENTRY and deepest > _ENTRY + MAX_DEPTH:
                parts += [body[done:start], b'{"id":', id, b',"object":', _TOO_DEEP, b"}"]
                done = token.end()
            depth -= 1
        elif depth == _ENTRY and token[0] == b'"id"' and (found := _VALUE.match(body, token.end())):
            id = found[1]
    return b"".join([*parts, body[done:]])


def shallow(body: bytes, levels: int) -> bytes:
    """A JSON text in which null replaces values nested deeper than `levels`, and numbers out of range."""
    depth = done = 0
    parts: list[bytes] = []
    for token in _TOKENS.finditer(body):
        if token[0] in b"[{":
            depth += 1
            if depth == levels + 1:
                parts += [body[done : token.start()], b"null"]
        elif token[0] in b"]}":
            if depth == levels + 1:
                done = token.end()
            depth -= 1
    return _NUMBERS.sub(partial(_in_range, instead=b"null"), b"".join([*parts, body[done:]]))


def _in_range(token: re.Match[bytes], instead: bytes) -> bytes:
    """Replaces a number that cannot be parsed by `instead`; strings and other numbers stay."""
    try:
        if token[0][:1] != b'"':
            parse(token[0])
    except TooLarge:
        return instead
    return token[0]


def parse_in_digits(body: bytes) -> Any:
    """Like `parse`, with whole numbers from 1e16 as integers, because jsonb returns 6.5e+16 as 65000000000000000."""
    value = parse(body)
    return _mapped(value, _in_digits, str) if _MAY_BE_LARGE.search(body) else value


def _in_digits(value: Any) -> Any:
    is_large = type(value) in (float, Decimal) and abs(value) >= _FIRST_WITH_EXPONENT
    return _whole(value) if is_large else value


def _whole(number: float | Decimal) -> int | Decimal:
    exact = Decimal(str(number))
    return int(exact) if exact == exact.to_integral_value() else exact


def _mapped(value: Any, leaf: Callable[[Any], Any], key: Callable[[str], str]) -> Any:
    """A copy of a JSON value with each leaf and key mapped. Not recursive, so that depth is no problem."""
    copied: list[Any] = [None]
    waiting: list[tuple[Any, Any, Any]] = [(value, copied, 0)]
    while waiting:
        child, holder, place = waiting.pop()
        if type(child) is dict:
            holder[place] = made = dict.fromkeys(map(key, child))
            waiting += [(item, made, key(name)) for name, item in child.items()]
        elif type(child) is list:
            holder[place] = items = [None] * len(child)
            waiting += [(item, items, index) for index, item in enumerate(child)]
        else:
            holder[place] = leaf(child)
    return copied[0]


def _may_hold_long_integer(body: bytes) -> bool:
    zeros = body.translate(_DIGITS_AS_ZERO)
    at = zeros.find(_LONG_RUN)
    while at >= 0:
        if body[max(at - 2, 0) : at].removesuffix(b"-")[-1:] in _BEFORE_NUMBERS:
            return True
        at = zeros.find(_LONG_RUN, at + len(_LONG_RUN))
    return False


def _parse_slowly(body: bytes) -> Any:
    try:
        return json.loads(body.decode("utf-8"), parse_float=_number, parse_int=_integer, parse_constant=_no_constant)
    except RecursionError:
        raise TooDeep("the JSON is nested too deeply") from None


def _number(literal: str) -> float | Decimal:
    number = float(literal)
    if math.isfinite(number):
        return number
    exact = Decimal(literal)
    if exact.adjusted() >= _MAX_EXPONENT:
        raise TooLarge("JSON number out of range")
    return exact


def _integer(literal: str) -> int:
    try:
        return int(literal)
    except ValueError:
        raise TooLarge("JSON number out of range") from None


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON value")


def _pieces(value: Any) -> Iterator[str]:
    """The JSON text of a value in pieces. Not recursive. Raises BrokenPage for a value nested too deep."""
    under_way: list[tuple[Iterator[Any], str]] = []
    comma = ""
    found: Any = value
    while True:
        if type(found) is dict or type(found) is list:
            if len(under_way) == MAX_DEPTH:
                raise BrokenPage(f"one of its values is nested more than {MAX_DEPTH:,} levels deep")
            under_way.append(
                (iter(found.items() if type(found) is dict else found), "}" if type(found) is dict else "]")
            )
            yield "{" if type(found) is dict else "["
            comma = ""
        else:
            yield str(found) if type(found) is Decimal else json.dumps(found, ensure_ascii=False, allow_nan=False)
            comma = ","
        following: Any = _END
        while under_way and (following := next(under_way[-1][0], _END)) is _END:
            yield under_way.pop()[1]
            comma = ","
        if not under_way:
            return
        if under_way[-1][1] == "}":
            name, found = following
            yield f"{comma}{json.dumps(name, ensure_ascii=False)}:"
        else:
            found = following
            yield comma


def decode(body: bytes) -> Any:
    """The value of a JSON text (see `parse`), None if it is not JSON. Unparseable objects are replaced (see
    `cut_deep`).
    """
    try:
        try:
            return parse(body)
        except TooLarge:
            return parse(cut_deep(body))
    except ValueError:
        return None
