"""One GET and its answer as values: the request, the reply, the page, and the second whose state it shows. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal

from sources.catalogue import Params
from sources.errors import BrokenPage

Object = dict[str, Any]
Status = Literal["queued", "running", "complete", "error", "skipped"]


@dataclass(frozen=True, slots=True)
class ResourceStatus:
    """The status of a resource. `rows`, `requests` and `seconds` are those of its last run.

    `share` is the covered part of its windows, from 0 to 1; None if unknown. The window is [start, end). `progress` is
    the JSON from which the next run continues; empty if it was not asked for.
    """

    resource: str
    status: Status = "queued"
    progress: Mapping[str, Any] = field(default_factory=dict)
    window_start: datetime | None = None
    window_end: datetime | None = None
    rows: int = 0
    requests: int = 0
    seconds: float = 0.0
    share: float | None = None
    error: str | None = None
    request_id: str | None = None

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.status in ("complete", "error", "skipped")


@dataclass(frozen=True, slots=True)
class Request:
    """One GET. `endpoint` is the name that limits count it under; `denied` are texts in a refusal that mean that the
    account lacks the product.

    `single` is true for an object, false for a list.
    """

    path: str
    params: Params
    endpoint: str
    denied: tuple[str, ...] = ()
    single: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as it arrived: `headers` are case-insensitive, `elapsed` is the seconds until they arrived.

    `ahead` are the whole seconds by which its date is later than the clocks that confirm it (`ClockGuard`).
    """

    path: str
    status: int
    headers: Mapping[str, str]
    body: bytes
    elapsed: float
    ahead: int = 0

    @property
    def request_id(self) -> str | None:
        """The provider's id of the request, for its support; None if it sent none."""
        return self.headers.get("Request-Id")

    @property
    def where(self) -> str:
        """The request, for messages: `GET /v1/charges (HTTP 500, request req_123)`."""
        request = f", request {self.request_id}" if self.request_id else ""
        return f"GET {self.path} (HTTP {self.status}{request})"


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a list, or the one object of a singleton.

    `as_of` are unix seconds on the provider's clock, `requests` counts retries too, `nbytes` is the size of the body.
    `next_page` is the path and query of a v2 list's next page; v1 lists continue after the last object while
    `has_more`.
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
    """The second whose state the answer shows, in unix seconds on the provider's clock: never later than the true one.

    It is the second before the one in which the request was sent: the response's `Date`, less the time that the request
    took (rounded up), less one. An event of the request's own second may report a change made after the request; so a
    read is dated before all events of that second, and after every event whose change it certainly shows. Everything
    that is read gets its `_as_of` here and nowhere else. Raises BrokenPage without a `Date`, because a guess could
    overwrite newer rows.
    """
    return date_of(reply) - math.ceil(reply.elapsed) - 1


def date_of(reply: Reply) -> int:
    """When the answer was made, in unix seconds on the provider's clock. Raises BrokenPage without `Date`.

    A date without a zone is in UTC, as all dates of HTTP are. A cache's `Age` is subtracted, because some caches write
    a new `Date`, and an answer dated too early does no harm. `ahead` is subtracted too.
    """
    try:
        date = parsedate_to_datetime(reply.headers["Date"])
    except (KeyError, ValueError, TypeError, OverflowError):
        raise BrokenPage(
            f"The answer to {reply.where} has no usable Date header, so its age is unknown. A server or proxy"
            " in front of the API (the setting api_base) must pass this header on.",
            request_id=reply.request_id,
            status=reply.status,
        ) from None
    age = reply.headers.get("Age", "").strip()
    seconds = int(age) if age.isdecimal() and len(age) < 10 else 0
    return int((date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()) - seconds - reply.ahead
