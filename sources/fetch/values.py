"""One GET and its answer as values: what was asked, what came, and the moment that it shows. Pure."""

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
    """How a resource stands. `rows`, `requests` and `seconds` are those of its last run.

    `share` of its windows is covered, from 0 to 1, None where nothing tells. The window is [start, end). `progress` is
    JSON, from which the next run goes on; empty where it is not asked for.
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
        """Whether it has come to its end."""
        return self.status in ("complete", "error", "skipped")


@dataclass(frozen=True, slots=True)
class Request:
    """One GET. `endpoint` is what limits count it by, `denied` are known texts of this list's refusal.

    `single` asks for an object instead of a list.
    """

    path: str
    params: Params
    endpoint: str
    denied: tuple[str, ...] = ()
    single: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as it came: `headers` are case-insensitive, `elapsed` the seconds until they were there.

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

    `as_of` are unix seconds on the provider's clock, `requests` counts retries too, `nbytes` is the size of the body.
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
    """The moment whose state the answer shows, in unix seconds on the provider's clock: never later than the truth.

    It is the second before the one in which the request was sent: the response's `Date` less the time that the request
    took, rounded up, less one. An event of the very second of the request may tell of a change that came after it; so a
    read is dated before all of that second's events, and after every event that it is sure to show. The only place that
    decides this for anything that was read. Raises BrokenPage where there is no such header, since a guess could
    overwrite newer rows.
    """
    return date_of(reply) - math.ceil(reply.elapsed) - 1


def date_of(reply: Reply) -> int:
    """The moment at which the answer was made, unix seconds on the provider's clock. Raises BrokenPage without `Date`.

    A date without a zone is in UTC, as all of HTTP's are. What a cache says of its answer's `Age` is taken off: some
    write a new `Date`, and an answer that claims to be older than it is does no harm. So is what it is ahead.
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
