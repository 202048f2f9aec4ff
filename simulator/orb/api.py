"""Orb's API: keys, limits, features, lists with their filters and cursors, single objects, refusals (RFC 7807).

Strict: it refuses parameters that a list does not have, and a cursor with parameters that differ from its request's.
"""

from __future__ import annotations

import base64
import re
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from datetime import datetime
from itertools import islice
from urllib.parse import parse_qsl

import orjson

from simulator.http.limits import Limits
from simulator.orb import endpoints
from simulator.orb.account import LISTED, PRICES_OF_GROUPS, Account, Object, Place, PlacedObject
from simulator.orb.lists import OLDEST_FIRST, TABLES, Unusable, asked_of, list_of, shown
from simulator.orb.refusal import Answer, Refusal
from sources.orb_api.catalogue import CATALOGUE
from sources.orb_api.catalogue.lists import LIMITED

DEFAULT_LIMIT, MAX_LIMIT = 20, 100
CURSOR_LIFE = 86_400.0
WITHOUT_PAGES = frozenset(("/v1/events/volume",))
WITHOUT_OWNER = frozenset(("external_customer_id", "coupon_id"))
"""Ids in paths that rows do not have in `owner`."""
SINGLE = {table: CATALOGUE.tables[table].retrieve for table in LISTED if table in CATALOGUE.tables}


class Api:
    """Answers requests. `lacks` are tables whose feature is off; `largest` is the largest page of a table.

    `secrets` are the secrets of endpoints that were created through the API, by endpoint id.
    """

    def __init__(self, account: Account, key: str, limits: Limits, secrets: dict[str, list[str]]) -> None:
        self.account, self.key, self.limits = account, key, limits
        self._endpoints = endpoints.Endpoints(account, secrets)
        self.lacks: set[str] = set()
        self.largest: dict[str, int] = {}

    def answer(self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes = b"") -> Answer:
        """Returns the answer to a request; header names must be in lower case."""
        try:
            if headers.get("authorization") != f"Bearer {self.key}":
                raise Refusal("401-authentication-error", "The API key is missing or unknown.")
            return Answer(200, orjson.dumps(self._found(method, path, query, body)))
        except Refusal as refusal:
            return refusal.answer

    def _found(self, method: str, path: str, query: str, body: bytes) -> Object:
        listed = list_of(path)
        category = LIMITED.get(listed[0], "reads") if listed is not None else "reads"
        if self.limits.admit(category) is not None:
            raise Refusal("429-too-many-requests", "Too many requests a second.")
        self.limits.leave(category)
        if method == "GET" and path == "/v1/ping":
            return {"response": "pong"}
        if method != "GET" and path.startswith(endpoints.PATH):
            return self._endpoints.write(method, path, body)
        if listed is not None:
            table: str | None = TABLES[listed[0]]
        else:
            table = next((name for name, single in SINGLE.items() if _is_of(path, single)), None)
        if method != "GET" or table is None:
            raise Refusal("404-url-not-found", "There is nothing at this URL.")
        if table in self.lacks:
            raise Refusal("404-feature-not-available", "This feature is not available to the account.")
        with self.account.lock:
            if listed is not None:
                return self._page(table, *listed, parse_qsl(query, keep_blank_values=True))
            id = path.rpartition("/")[2]
            for name in (table, PRICES_OF_GROUPS) if table == "prices" else (table,):
                if id in self.account.tables[name]:
                    return self.account.tables[name][id].object
            raise Refusal("404-resource-not-found", "There is no such object.")

    def _page(self, table: str, template: str, ids: Mapping[str, str], pairs: list[tuple[str, str]]) -> Object:
        given = dict(pairs)
        limit = self._limit(table, given.get("limit", str(DEFAULT_LIMIT)))
        question = sorted(pair for pair in pairs if pair[0] not in ("cursor", "limit"))
        try:
            asked = asked_of(self.account, template, ids, question)
        except Unusable as error:
            kind = "404-resource-not-found" if error.is_missing else "400-request-validation-errors"
            raise Refusal(kind, error.detail) from None
        parent = next((id for name, id in ids.items() if name not in WITHOUT_OWNER), "")
        rows, forwards = self.account.listed(table, parent), table in OLDEST_FIRST
        start = bisect_left(rows, asked.start, key=_place)
        end = bisect_left(rows, asked.end, key=_place)
        about = f"{template} {sorted(ids.items())}"
        if "cursor" in given:
            last = self._last(given["cursor"], about, question)
            if forwards:
                start = max(start, bisect_right(rows, last, key=_place))
            else:
                end = min(end, bisect_left(rows, last, key=_place))
        places = range(start, end) if forwards else range(end - 1, start - 1, -1)
        found = list(islice((row for row in map(rows.__getitem__, places) if asked.shows(row)), limit + 1))
        page, has_more = found[:limit], len(found) > limit
        data = [shown(template, row.object, question) for row in page]
        if template in WITHOUT_PAGES:
            return {"data": data}
        cursor = self._cursor(about, question, page[-1]) if has_more else None
        return {"data": data, "pagination_metadata": {"has_more": has_more, "next_cursor": cursor}}

    def _limit(self, table: str, text: str) -> int:
        if not text.isdecimal() or not 1 <= int(text) <= MAX_LIMIT:
            raise Refusal("400-request-validation-errors", f"limit must be a whole number from 1 to {MAX_LIMIT}.")
        if int(text) > self.largest.get(table, MAX_LIMIT):
            raise Refusal("413-request-too-large", "The page would be too large: ask for fewer objects.")
        return int(text)

    def _cursor(self, about: str, question: list[tuple[str, str]], row: PlacedObject) -> str:
        content = [about, question, row.at, row.place[1], self.account.clock.time()]
        return base64.urlsafe_b64encode(orjson.dumps(content)).decode()

    def _last(self, cursor: str, about: str, question: list[tuple[str, str]]) -> Place:
        """The place of the last object of the page that the cursor came from."""
        try:
            of, asked, at, number, made = orjson.loads(base64.urlsafe_b64decode(cursor.encode()))
        except ValueError:
            raise Refusal("400-request-validation-errors", "The cursor is not valid.") from None
        if (of, asked) != (about, [list(pair) for pair in question]):
            raise Refusal("400-request-validation-errors", "The cursor belongs to a request with other parameters.")
        if self.account.clock.time() - made > CURSOR_LIFE:
            raise Refusal("400-request-validation-errors", "The cursor has expired.")
        return datetime.fromisoformat(at), number


def _place(row: PlacedObject) -> Place:
    return row.place


def _is_of(path: str, single: str | None) -> bool:
    """Whether a path is that of a single object of a table."""
    return single is not None and re.fullmatch(re.sub("{\\w+}", "[A-Za-z0-9]+", single), path) is not None
