"""The only HTTP: raw pages and single objects of Stripe's API, as often as it takes. Knows no table and no progress.

It speaks urllib3 instead of the SDK's own transport because the SDK's objects cost ten to a hundred times the parsing;
the API version, the error classes and the certificates are the SDK's.
"""

from __future__ import annotations

import math
import random
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self
from urllib.parse import quote, urlencode

import stripe

from sources.stripe_api.catalogue_types import Params, Resource
from sources.stripe_api.errors import (
    BadConfiguration,
    BrokenPage,
    RetryLater,
    StripeSourceError,
    Throttled,
    Unreachable,
)
from sources.stripe_api.limiter import Limiter
from sources.stripe_api.refusals import SET_KEY, error_of, throttle_reason
from sources.stripe_api.replies import Answer, Page, Reply, page_of, single_page
from sources.stripe_api.transport import Transport, is_loopback

FIRST_DELAY = 0.5  # seconds; the longest wait before the first retry, doubled for each further one

_ID = re.compile(r"(?<=/)[^/]*\d[^/]*")
_PLACEHOLDER = re.compile(r"\{[^}]*\}")


@dataclass(frozen=True)
class ClientSettings:
    """How to reach Stripe. Times are in seconds; `connections` is how many are kept open.

    `compression` asks for gzip: it costs 0.1 ms a page and saves five sixths of the bytes, so it is on but for a server
    on this machine. Raises BadConfiguration, which names the setting, for what cannot work.
    """

    api_key: str = field(repr=False)
    api_base: str = "https://api.stripe.com"
    stripe_version: str | None = None
    stripe_account: str | None = None
    stripe_context: str | None = None
    max_retries: int = 5
    max_retry_delay: float = 60.0
    connect_timeout: float = 10.0
    read_timeout: float = 80.0
    connections: int = 16
    compression: bool | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "api_key", self.api_key.strip())
        object.__setattr__(self, "api_base", self.api_base.strip().rstrip("/"))
        _check_key(self.api_key)
        _check_base(self.api_base, self.api_key)
        for name in ("stripe_version", "stripe_account", "stripe_context"):
            if not _is_header(getattr(self, name) or ""):
                raise BadConfiguration(f"SOURCES__STRIPE__{name.upper()} holds characters that no header can carry.")

    @property
    def headers(self) -> Mapping[str, str]:
        """What every request carries."""
        compressed = self.compression if self.compression is not None else not is_loopback(self.api_base)
        headers = {
            "Authorization": f"Bearer {self.api_key}",
            "Stripe-Version": self.stripe_version or stripe.api_version,
            "User-Agent": f"stripe-elt (stripe-python {stripe.VERSION} types)",
            "Accept": "application/json",
            "Accept-Encoding": "gzip" if compressed else "identity",
        }
        if self.stripe_account:
            headers["Stripe-Account"] = self.stripe_account
        if self.stripe_context:
            headers["Stripe-Context"] = self.stripe_context
        return headers


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


def request(template: str, params: Params = (), ids: Mapping[str, str] | None = None, **others: object) -> Request:
    """A request of a path with placeholders, which the ids fill: ("/v1/invoices/{id}/lines", (), {"id": "in_1"})."""
    path = _PLACEHOLDER.sub(lambda name: _segment((ids or {})[name[0][1:-1]]), template)
    return Request(path, params, endpoint_of(template), **others)  # type: ignore[arg-type]


def endpoint_of(path: str) -> str:
    """What limits count a path by: the path without ids and names of placeholders, "/v1/invoices/{}/lines"."""
    version, rest = path[:3], path[3:]
    return version + _ID.sub("{}", _PLACEHOLDER.sub("{}", rest))


def endpoint_rates(resources: Iterable[Resource]) -> dict[str, float]:
    """The limits, in requests a second, of those endpoints that have one of their own; for the limiter."""
    return {endpoint_of(one.path): one.rate for one in resources if one.rate is not None}


def page_in(request: Request, reply: Reply) -> Page:
    """The second half of an attempt: what the answer holds. Raises BrokenPage."""
    return single_page(reply) if request.single else page_of(reply)


def retry_delay(
    attempts: int, error: StripeSourceError, settings: ClientSettings, chance: Callable[[], float]
) -> float | None:
    """Seconds to wait before the next attempt, after so many; None where there is to be none.

    Full jitter: anything up to twice the last bound, so that many callers do not come back together. Retry-After is a
    lower bound where the answer has it. `chance` gives numbers in [0, 1).
    """
    if not isinstance(error, RetryLater) or attempts > settings.max_retries:
        return None
    bound = min(settings.max_retry_delay, FIRST_DELAY * 2.0 ** min(attempts - 1, 30))
    return min(settings.max_retry_delay, max(chance() * bound, error.retry_after or 0.0))


class Client:
    """Reads pages and objects under a limiter. Thread-safe; one for each account.

    `sleep`, `chance` and `clock` are what retries wait with, draw lots with, and measure with.
    """

    def __init__(
        self,
        settings: ClientSettings,
        limiter: Limiter,
        *,
        sleep: Callable[[float], object] = time.sleep,
        chance: Callable[[], float] = random.random,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings, self.limiter = settings, limiter
        self._sleep, self._chance, self._clock = sleep, chance, clock
        self._transport = Transport(
            settings.api_base,
            settings.headers,
            connect_timeout=settings.connect_timeout,
            read_timeout=settings.read_timeout,
            connections=settings.connections,
            clock=clock,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def page(self, path: str, params: Params = (), *, endpoint: str | None = None, denied: Sequence[str] = ()) -> Page:
        """A page of the list at this path. Retries what may pass; raises the tree of `errors.py` otherwise."""
        return self._read(Request(path, params, endpoint or endpoint_of(path), tuple(denied)))

    def object(
        self, path: str, params: Params = (), *, endpoint: str | None = None, patience: float = math.inf
    ) -> Answer:
        """The object at this path. Raises ObjectMissing where there is none; a deleted one may come as its stub.

        `patience` are the seconds after which a host that gave no answer so far is not asked again.
        """
        page = self._read(Request(path, params, endpoint or endpoint_of(path), single=True), patience)
        return Answer(page.objects[0], page.as_of, page.requests, page.request_id)

    def attempt(self, request: Request) -> Page:
        """One attempt, for which the limiter has granted a request. Raises the tree of `errors.py`, RetryLater too."""
        return page_in(request, self.send(request))

    def send(self, request: Request) -> Reply:
        """The first half of an attempt: an answer of status 200, not yet parsed. Raises the tree of `errors.py`."""
        endpoint = request.endpoint
        try:
            reply = self._transport.get(request.path, urlencode(request.params, safe="[]:"))
        except BaseException:
            self.limiter.released(endpoint)
            raise
        if reply.status == 200:
            self.limiter.succeeded(endpoint)
            return reply
        error = error_of(reply, request.denied)
        self._account_for(endpoint, reply, error)
        raise error

    def retry_delay(self, attempts: int, error: StripeSourceError) -> float | None:
        """Seconds to wait after so many attempts, the last of which ended with this error; None: there is no other."""
        return retry_delay(attempts, error, self.settings, self._chance)

    def abort(self) -> None:
        """Ends the requests that are under way in other threads, with Unreachable. The client can be used again."""
        self._transport.abort()

    def close(self) -> None:
        """Closes idle connections."""
        self._transport.close()

    def _read(self, request: Request, patience: float = math.inf) -> Page:
        attempts, began = 0, self._clock()
        while True:
            self.limiter.acquire(request.endpoint)
            attempts += 1
            try:
                return replace(self.attempt(request), requests=attempts)
            except RetryLater as error:
                delay = self.retry_delay(attempts, error)
                if delay is None or (isinstance(error, Unreachable) and self._clock() - began >= patience):
                    raise
            self._sleep(delay)

    def _account_for(self, endpoint: str, reply: Reply, error: StripeSourceError) -> None:
        if isinstance(error, Throttled):
            self.limiter.throttled(endpoint, throttle_reason(reply, error.code))
        elif isinstance(error, RetryLater) and not isinstance(error, BrokenPage):
            self.limiter.released(endpoint)
        else:
            self.limiter.succeeded(endpoint)


def _segment(id: str) -> str:
    """An id as a segment of a path: users choose some ids, and a path must not lead elsewhere."""
    return quote(id, safe="") if id.strip(".") else id.replace(".", "%2E")


def _check_key(key: str) -> None:
    if not key:
        raise BadConfiguration(f"There is no key for Stripe's API. {SET_KEY} (reading is all it needs).")
    if key.startswith("pk_"):
        raise BadConfiguration(f"The key is a publishable one, which cannot read. {SET_KEY}.")
    if not _is_header(key) or " " in key:
        raise BadConfiguration(f"The key holds characters that no key has. {SET_KEY}.")


def _check_base(base: str, key: str) -> None:
    match = re.fullmatch(r"(https?)://[^/?#\s@]+(/[^?#\s]*)?", base)
    if match is None:
        advice = "Set SOURCES__STRIPE__API_BASE to a URL such as https://api.stripe.com"
        raise BadConfiguration(f"{advice}: what is set is none, or carries a user, a query or a fragment.")
    if (match[2] or "").rstrip("/").endswith(("/v1", "/v2")):
        raise BadConfiguration("Set SOURCES__STRIPE__API_BASE without /v1 at its end: paths already begin with it.")
    if match[1] == "http" and "_live_" in key and not is_loopback(base):
        raise BadConfiguration(
            "A live key is not sent over plain http to another machine. Set SOURCES__STRIPE__API_BASE to an https URL."
        )


def _is_header(value: str) -> bool:
    return value.isascii() and value.isprintable()
