"""What Orb answers: keys, limits, features, lists with their filters and cursors, single objects, refusals (RFC 7807).

Strict: it refuses each parameter that a list does not take, and a cursor with other parameters than it was made with.
"""

from __future__ import annotations

import base64
import re
import sys
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from urllib.parse import parse_qsl

import orjson

from simulator.http.limits import Limits
from simulator.orb import endpoints
from simulator.orb.account import LISTED, Account, Object, Place, Row
from simulator.orb.refusal import Answer, Refusal
from sources.orb_api.catalogue import CATALOGUE

DEFAULT_LIMIT, MAX_LIMIT = 20, 100
CURSOR_LIFE = 86_400.0
OLDEST_FIRST = frozenset(("license_types",))
BY_DEFAULT: Mapping[str, Callable[[Object], bool]] = {
    "invoices": lambda one: one["status"] in ("issued", "paid", "synced"),
    "plans": lambda one: one["status"] == "active",
    "subscription_changes": lambda one: one["status"] == "pending",
    "coupons": lambda one: one["archived_at"] is None,
}
"""What a list shows without a status, or without `show_archived`."""

STATUSES: Mapping[str, tuple[str, ...]] = {
    "invoices": ("draft", "issued", "paid", "synced", "void"),
    "plans": ("active", "archived", "draft"),
    "subscriptions": ("active", "ended", "upcoming"),
    "subscription_changes": ("pending", "applied", "cancelled"),
}
PATHS = {resource.path: table for table, resource in LISTED.items()}
SINGLE = {table: CATALOGUE.tables[table].retrieve for table in LISTED}


class Api:
    """Answers requests. `lacks` are tables whose feature is off; `largest` the largest page of a table.

    `secrets` are those of endpoints that were made through it, by their ids.
    """

    def __init__(self, account: Account, key: str, limits: Limits, secrets: dict[str, list[str]]) -> None:
        self.account, self.key, self.limits = account, key, limits
        self._endpoints = endpoints.Endpoints(account, secrets)
        self.lacks: set[str] = set()
        self.largest: dict[str, int] = {}

    def answer(self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes = b"") -> Answer:
        """The answer to a request; header names are in lower case."""
        try:
            if headers.get("authorization") != f"Bearer {self.key}":
                raise Refusal("401-authentication-error", "The API key is missing or unknown.")
            return Answer(200, orjson.dumps(self._found(method, path, query, body)))
        except Refusal as refusal:
            return refusal.answer

    def _found(self, method: str, path: str, query: str, body: bytes) -> Object:
        if self.limits.admit("reads") is not None:
            raise Refusal("429-too-many-requests", "Too many requests a second.")
        self.limits.leave("reads")
        if method == "GET" and path == "/v1/ping":
            return {"response": "pong"}
        if method != "GET" and path.startswith(endpoints.PATH):
            return self._endpoints.write(method, path, body)
        table = PATHS.get(path) or next((one for one, single in SINGLE.items() if _is_of(path, single)), None)
        if method != "GET" or table is None:
            raise Refusal("404-url-not-found", "There is nothing at this URL.")
        if table in self.lacks:
            raise Refusal("404-feature-not-available", "This feature is not available to the account.")
        with self.account.lock:
            if path in PATHS:
                return self._page(table, parse_qsl(query, keep_blank_values=True))
            try:
                return self.account.tables[table][path.rpartition("/")[2]].object
            except KeyError:
                raise Refusal("404-resource-not-found", "There is no such object.") from None

    def _page(self, table: str, pairs: list[tuple[str, str]]) -> Object:
        given = dict(pairs)
        limit = self._limit(table, given.get("limit", str(DEFAULT_LIMIT)))
        question = sorted(pair for pair in pairs if pair[0] not in ("cursor", "limit"))
        asked = _asked(table, question)
        rows, forwards = self.account.listed(table), table in OLDEST_FIRST
        start = bisect_left(rows, asked.start, key=_place)
        end = bisect_left(rows, asked.end, key=_place)
        if "cursor" in given:
            last = self._last(given["cursor"], table, question)
            if forwards:
                start = max(start, bisect_right(rows, last, key=_place))
            else:
                end = min(end, bisect_left(rows, last, key=_place))
        places = range(start, end) if forwards else range(end - 1, start - 1, -1)
        found = list(islice((row for row in map(rows.__getitem__, places) if asked.shows(row.object)), limit + 1))
        shown, has_more = found[:limit], len(found) > limit
        cursor = self._cursor(table, question, shown[-1]) if has_more else None
        return {
            "data": [row.object for row in shown],
            "pagination_metadata": {"has_more": has_more, "next_cursor": cursor},
        }

    def _limit(self, table: str, text: str) -> int:
        if not text.isdecimal() or not 1 <= int(text) <= MAX_LIMIT:
            raise Refusal("400-request-validation-errors", f"limit must be a whole number from 1 to {MAX_LIMIT}.")
        if int(text) > self.largest.get(table, MAX_LIMIT):
            raise Refusal("413-request-too-large", "The page would be too large: ask for fewer objects.")
        return int(text)

    def _cursor(self, table: str, question: list[tuple[str, str]], row: Row) -> str:
        content = [table, question, row.at, row.place[1], self.account.clock.time()]
        return base64.urlsafe_b64encode(orjson.dumps(content)).decode()

    def _last(self, cursor: str, table: str, question: list[tuple[str, str]]) -> Place:
        """The place of the last object of the page that gave the cursor."""
        try:
            of, asked, at, number, made = orjson.loads(base64.urlsafe_b64decode(cursor.encode()))
        except ValueError:
            raise Refusal("400-request-validation-errors", "The cursor is not valid.") from None
        if (of, asked) != (table, [list(pair) for pair in question]):
            raise Refusal("400-request-validation-errors", "The cursor belongs to a request with other parameters.")
        if self.account.clock.time() - made > CURSOR_LIFE:
            raise Refusal("400-request-validation-errors", "The cursor has expired.")
        return _instant(at), number


@dataclass(frozen=True, slots=True)
class Asked:
    """What a list is asked for: places from `start` to before `end`, and which objects there."""

    start: Place
    end: Place
    shows: Callable[[Object], bool]


def _asked(table: str, question: list[tuple[str, str]]) -> Asked:
    """What the parameters ask for. Raises Refusal for one that the list does not take."""
    resource = LISTED[table]
    statuses, archived = set[str](), False
    start, end = (datetime.min.replace(tzinfo=UTC), 0), (datetime.max.replace(tzinfo=UTC), 0)
    for name, value in question:
        bound = re.fullmatch(r"(\w+)\[(gte?|lte?)\]", name)
        if name in ("status", "status[]") and value in STATUSES.get(table, ()):
            statuses.add(value)
        elif name == "show_archived" and table == "coupons" and value in ("true", "false"):
            archived = value == "true"
        elif bound is not None and resource.created != "none" and bound[1] == resource.created_field:
            behind = 0 if bound[2] in ("gte", "lt") else sys.maxsize
            if bound[2].startswith("g"):
                start = max(start, (_instant(value), behind))
            else:
                end = min(end, (_instant(value), behind))
        else:
            raise Refusal("400-request-validation-errors", f"{name} is unknown, or its value is not allowed.")
    if statuses:
        return Asked(start, end, lambda one: one["status"] in statuses)
    by_default = BY_DEFAULT.get(table)
    return Asked(start, end, lambda one: archived or by_default is None or by_default(one))


def _place(row: Row) -> Place:
    return row.place


def _instant(text: str) -> datetime:
    """A moment with an offset. Raises Refusal for anything else."""
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        instant = datetime.min
    if instant.tzinfo is None:
        raise Refusal("400-request-validation-errors", "A time must be in ISO 8601 with an offset.")
    return instant


def _is_of(path: str, single: str | None) -> bool:
    """Whether a path is that of a table's single object."""
    return single is not None and re.fullmatch(single.replace("{id}", "[A-Za-z0-9]+"), path) is not None
