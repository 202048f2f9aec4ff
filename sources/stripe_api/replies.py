"""What an HTTP answer of Stripe holds: a page, an object, and the moment that they show. Pure; knows no connection.

Bodies of lists: https://docs.stripe.com/api/pagination and, for v2, https://docs.stripe.com/api-v2-overview.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

from sources.stripe_api import jsontext
from sources.stripe_api.errors import BrokenPage

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as it came: `headers` are case-insensitive, `elapsed` the seconds until they were there."""

    path: str
    status: int
    headers: Mapping[str, str]
    body: bytes
    elapsed: float

    @property
    def request_id(self) -> str | None:
        """Stripe's name for the request."""
        return self.headers.get("Request-Id")

    @property
    def where(self) -> str:
        """The request, for messages: `GET /v1/charges (HTTP 500, request req_123)`."""
        request = f", request {self.request_id}" if self.request_id else ""
        return f"GET {self.path} (HTTP {self.status}{request})"


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a list, or the one object of a singleton.

    `as_of` are unix seconds on Stripe's clock, `requests` counts retries too, `nbytes` is the size of the body.
    `next_page` is the path and query of a v2 list's next page; v1 lists go on after the last object while `has_more`.
    """

    objects: list[Object]
    has_more: bool
    next_page: str | None
    as_of: int
    requests: int
    nbytes: int
    request_id: str | None


@dataclass(frozen=True, slots=True)
class Answer:
    """A single object."""

    object: Object
    as_of: int
    requests: int
    request_id: str | None


def as_of(reply: Reply) -> int:
    """The moment whose state the answer shows, in unix seconds on Stripe's clock: never later than the truth.

    It is the second before the one in which the request was sent: the response's `Date` less the time that the request
    took, rounded up, less one. An event of the very second of the request may tell of a change that came after it; so a
    read is dated before all of that second's events, and after every event that it is sure to show. The only place that
    decides this for anything that was read. Raises BrokenPage where there is no such header, since a guess could
    overwrite newer rows.
    """
    return date_of(reply) - math.ceil(reply.elapsed) - 1


def date_of(reply: Reply) -> int:
    """The moment at which the answer was made, in unix seconds on Stripe's clock. Raises BrokenPage without a `Date`.

    A date without a zone is in UTC, as all of HTTP's are. What a cache says of its answer's `Age` is taken off: some
    write a new `Date`, and an answer that claims to be older than it is does no harm.
    """
    try:
        date = parsedate_to_datetime(reply.headers["Date"])
    except (KeyError, ValueError, TypeError, OverflowError):
        raise BrokenPage(
            f"The answer to {reply.where} has no usable Date header, so its age is unknown. Whatever stands before"
            " Stripe (SOURCES__STRIPE__API_BASE, a proxy) has to pass that header on.",
            request_id=reply.request_id,
            status=reply.status,
        ) from None
    age = reply.headers.get("Age", "").strip()
    seconds = int(age) if age.isdecimal() and len(age) < 10 else 0
    return int((date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()) - seconds


def page_of(reply: Reply) -> Page:
    """The page in an answer of status 200. Raises BrokenPage for anything else than a list of objects.

    A single entry that is no object stands as an empty one, which has no key: it alone will be left out.
    """
    body = parse(reply)
    objects = body.get("data")
    if not isinstance(objects, list):
        raise _broken(reply, "is no list")
    if not all(isinstance(one, dict) for one in objects):
        if not any(isinstance(one, dict) for one in objects):
            raise _broken(reply, "is a list of other things than objects")
        objects = [one if isinstance(one, dict) else {} for one in objects]
    if "next_page_url" in body or reply.path.startswith("/v2/"):
        url = body.get("next_page_url")
        if url is not None and not isinstance(url, str):
            raise _broken(reply, "has a next_page_url that is no text")
        return _page(reply, objects, url is not None, url)
    has_more = body.get("has_more")
    if not isinstance(has_more, bool):
        raise _broken(reply, "does not say whether there is more")
    if has_more and not objects:
        raise _broken(reply, "is empty and yet promises more")
    return _page(reply, objects, has_more, None)


def single_page(reply: Reply) -> Page:
    """The object in an answer of status 200, as a page of one. Raises BrokenPage where there is none."""
    body = parse(reply)
    if not isinstance(body.get("object"), str):
        raise _broken(reply, "is no object of Stripe's")
    return _page(reply, [body], False, None)


def parse(reply: Reply) -> Object:
    """The JSON object in the body. Raises BrokenPage where it is none, or where it holds an error."""
    body = decode(reply.body)
    if body is None:
        raise _broken(reply, "is not JSON")
    if not isinstance(body, dict):
        raise _broken(reply, "is not a JSON object")
    if "error" in body and "object" not in body:
        raise _broken(reply, "is an error in spite of its status")
    return body


def decode(body: bytes) -> Any:
    """JSON as Python values, exactly (see `jsontext.parse`), None where it is none. What is too deep is cut."""
    try:
        try:
            return jsontext.parse(body)
        except jsontext.TooDeep:
            return jsontext.parse(jsontext.cut_deep(body))
    except ValueError:
        return None


def _page(reply: Reply, objects: list[Object], has_more: bool, next_page: str | None) -> Page:
    return Page(objects, has_more, next_page, as_of(reply), 1, len(reply.body), reply.request_id)


def _broken(reply: Reply, what: str) -> BrokenPage:
    return BrokenPage(
        f"The answer to {reply.where}, {len(reply.body)} bytes, {what}. If it lasts, see whether"
        " SOURCES__STRIPE__API_BASE or a proxy leads to something else than Stripe's API.",
        request_id=reply.request_id,
        status=reply.status,
    )
