"""Answers list requests as Stripe's v2 API does: page tokens, `next_page_url`, ISO times.

https://docs.stripe.com/api-v2-overview#list-pagination. A token contains the last row of the page, and the filters of
the request.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import orjson

from simulator.account.account import Account
from simulator.account.events import KEPT
from simulator.account.store import StoredObject, Window
from simulator.api import refusals
from simulator.api.filters import matcher
from simulator.api.lists import shelf_of
from simulator.api.parameters import Typed, Value
from simulator.api.routes import Match

LARGEST, USUAL, GRANTED = 100, 20, 20
FLAT = {"created_gt": "gt", "created_gte": "gte", "created_lt": "lt", "created_lte": "lte"}


def page(account: Account, found: Match, values: Mapping[str, Typed], raw: Mapping[str, Value], url: str) -> bytes:
    """A page of a v2 list as JSON. Raises Refusal for what Stripe refuses."""
    route = found.route
    limit = _limit(values)
    filters = {name: value for name, value in raw.items() if name not in ("page", "limit")}
    shelf, parents = shelf_of(account, found, values)
    first, last = _bounds(values)
    if route.path == "/v2/core/events":
        first = max(first or 0, account.clock.seconds() - KEPT)
    after = _row(account, found, str(values["page"]), filters) if "page" in values else None
    tested = {name: value for name, value in values.items() if name not in FLAT}
    match = matcher(route.path, tested, lambda row: row.own, parents)
    rows, more = shelf.page(Window(limit, first, last, after), match)
    following = None
    if more:
        query = [*_flat(filters), ("limit", str(limit)), ("page", _token(rows[-1], filters))]
        following = f"{url}?{urlencode(query)}"
    back = f"{url}?{urlencode([*_flat(filters), ('limit', str(limit))])}" if after is not None else None
    links = orjson.dumps({"next_page_url": following, "previous_page_url": back})
    shown = b",".join([account.views.of(route.table, row) for row in rows])
    return b"".join((b'{"data":[', shown, b"],", links[1:]))


def _limit(values: Mapping[str, Typed]) -> int:
    limit = values.get("limit", USUAL)
    assert isinstance(limit, int)
    if limit < 1:
        raise refusals.limit_too_small()
    if limit > LARGEST:
        raise refusals.limit_too_large(limit, LARGEST)
    return min(limit, GRANTED)


def _bounds(values: Mapping[str, Typed]) -> tuple[int | None, int | None]:
    """First and last second of ISO times. Fractions are rounded, because objects here have whole seconds."""
    given: dict[str, Any] = {short: values[name] for name, short in FLAT.items() if name in values}
    created = values.get("created")
    given |= created if isinstance(created, dict) else {"gte": created, "lte": created} if created else {}
    low, high = [], []
    for name, text in given.items():
        moment = _moment(str(text), name)
        whole = int(moment)
        if name == "gt":
            low.append(whole + 1)
        elif name == "gte":
            low.append(whole if moment == whole else whole + 1)
        elif name == "lt":
            high.append(whole - 1 if moment == whole else whole)
        else:
            high.append(whole)
    return max(low, default=None), min(high, default=None)


def _moment(text: str, name: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise refusals.invalid_parameter("timestamp", text, f"created[{name}]") from None
    if moment.tzinfo is None:
        raise refusals.invalid_parameter("timestamp", text, f"created[{name}]")
    return moment.timestamp()


def _token(row: StoredObject, filters: Mapping[str, Value]) -> str:
    made = orjson.dumps([row.id, filters], option=orjson.OPT_SORT_KEYS)
    return "page_" + base64.urlsafe_b64encode(made).decode().rstrip("=")


def _row(account: Account, found: Match, token: str, filters: Mapping[str, Value]) -> StoredObject:
    try:
        text = token.removeprefix("page_")
        id, made_with = orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, binascii.Error):
        raise refusals.invalid_page(token) from None
    row = account.tables[found.route.table].get(id)
    if row is None or made_with != filters:
        raise refusals.invalid_page(token)
    return row


def _flat(values: Mapping[str, Value]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name, value in values.items():
        if isinstance(value, dict):
            found += [(f"{name}[{inner}]", str(entry)) for inner, entry in value.items()]
        elif isinstance(value, list):
            found += [(f"{name}[{index}]", str(entry)) for index, entry in enumerate(value)]
        else:
            found.append((name, value))
    return found
