"""Reads raw pages and single objects of an API under a limiter, with retries. Knows no table and no progress.

A provider adds its headers, maps error answers to errors, and parses bodies into pages.
"""

from __future__ import annotations

import math
import random
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Self
from urllib.parse import quote, urlencode

from sources.catalogue import Params, Resource
from sources.errors import BrokenPage, ConnectorError, RetryLater, Throttled, Unreachable
from sources.fetch.http.clock_guard import ClockGuard
from sources.fetch.limiter import Limiter
from sources.fetch.reach import Reach
from sources.fetch.values import Answer, Page, Reply, Request

_ID = re.compile(r"(?<=/)[^/]*\d[^/]*")
_PLACEHOLDER = re.compile(r"\{[^}]*\}")


def request(template: str, params: Params = (), ids: Mapping[str, str] | None = None, **others: object) -> Request:
    """A request for a path whose placeholders are filled by ids: ("/v1/invoices/{id}/lines", (), {"id": "in_1"})."""
    path = _PLACEHOLDER.sub(lambda name: _segment((ids or {})[name[0][1:-1]]), template)
    return Request(path, params, endpoint_of(template), **others)  # type: ignore[arg-type]


def endpoint_of(path: str) -> str:
    """The name of a path's endpoint for rate limits: the path without ids and placeholder names,
    "/v1/invoices/{}/lines".
    """
    version, rest = path[:3], path[3:]
    return version + _ID.sub("{}", _PLACEHOLDER.sub("{}", rest))


def endpoint_rates(resources: Iterable[Resource]) -> dict[str, float]:
    """endpoint -> its own limit in requests a second, for the limiter; only endpoints that have one."""
    return {endpoint_of(resource.path): resource.rate for resource in resources if resource.rate is not None}


def _segment(id: str) -> str:
    """An id as a segment of a path, escaped: users choose some ids, and these must not change the path."""
    return quote(id, safe="", errors="surrogatepass") if id.strip(".") else id.replace(".", "%2E")


def retry_delay(attempts: int, error: ConnectorError, settings: Reach, chance: Callable[[], float]) -> float | None:
    """Seconds to wait before the next attempt, after `attempts` were made; None for no further attempt.

    Full jitter: a random wait of up to `initial_retry_delay`, whose limit doubles with each further attempt, so that
    many callers do not retry together. Retry-After, if the answer has it, is a lower bound. `chance` gives numbers in
    [0, 1).
    """
    if not isinstance(error, RetryLater) or attempts > settings.max_retries:
        return None
    bound = min(settings.max_retry_delay, settings.initial_retry_delay * 2.0 ** min(attempts - 1, 30))
    return min(settings.max_retry_delay, max(chance() * bound, error.retry_after or 0.0))


class ApiClient(ABC):
    """Reads pages and objects under a limiter. Thread-safe; one for each account.

    Retries use `sleep`, `chance` (random numbers in [0, 1)) and `clock` (monotonic seconds). `wall` is this machine's
    clock, in unix seconds. `authorities` is a file of trusted certificates.
    """

    def __init__(
        self,
        reach: Reach,
        limiter: Limiter,
        *,
        authorities: str | None = None,
        sleep: Callable[[float], object] = time.sleep,
        chance: Callable[[], float] = random.random,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.dates = ClockGuard(reach.max_clock_skew, reach.api, wall=wall, elapsed=clock)
        self.limiter = limiter
        self._reach = reach
        self._sleep, self._chance, self._clock = sleep, chance, clock
        from sources.fetch.http.transport import Transport  # with urllib3: a sink may never ask the API

        self._transport = Transport(
            reach.api_base,
            reach.headers,
            api=reach.api,
            connect_timeout=reach.connect_timeout,
            read_timeout=reach.read_timeout,
            request_deadline=reach.request_deadline,
            connections=reach.connections,
            authorities=authorities,
            clock=clock,
        )

    @abstractmethod
    def error_of(self, request: Request, reply: Reply) -> ConnectorError:
        """The error (`errors.py`) for an answer whose status is not 200."""

    @abstractmethod
    def throttle_reason(self, reply: Reply, error: Throttled) -> str | None:
        """The `reason` of a 429 for `Limiter.throttled`: which budget is spent."""

    @abstractmethod
    def parse(self, request: Request, reply: Reply) -> Page:
        """The second half of an attempt: the page in the answer. Raises BrokenPage."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def page(self, path: str, params: Params = (), *, endpoint: str | None = None, denied: Sequence[str] = ()) -> Page:
        """A page of the list at this path. Retries temporary failures; raises the errors of `errors.py`."""
        return self._read(Request(path, params, endpoint or endpoint_of(path), tuple(denied)))

    def object(
        self, path: str, params: Params = (), *, endpoint: str | None = None, patience: float = math.inf
    ) -> Answer:
        """The object at this path. Raises ObjectMissing if there is none; for a deleted object, the API may return a
        stub.

        After `patience` seconds, a host that has never answered is not tried again.
        """
        page = self._read(Request(path, params, endpoint or endpoint_of(path), single=True), patience)
        return Answer(page.objects[0], page.as_of, page.requests, page.request_id)

    def attempt(self, request: Request) -> Page:
        """One attempt, for which the limiter has granted a request. Raises the errors of `errors.py`, including
        RetryLater.
        """
        return self.parse(request, self.send(request))

    def send(self, request: Request) -> Reply:
        """The first half of an attempt: an answer of status 200, not yet parsed. Raises the errors of `errors.py`."""
        endpoint, began = request.endpoint, self._clock()
        try:
            reply = self._transport.get(request.path, urlencode(request.params, safe="[]:", errors="surrogatepass"))
        except BaseException:
            self.limiter.released(endpoint)
            raise
        if reply.status == 200:
            self.limiter.succeeded(endpoint)
            return self.dates.check(reply, self._clock() - began - reply.elapsed)
        error = self.error_of(request, reply)
        self._account_for(endpoint, reply, error)
        raise error

    def retry_delay(self, attempts: int, error: ConnectorError) -> float | None:
        """Seconds to wait before the next attempt; None for no further attempt. `attempts` were made, the last ended
        with `error`.
        """
        return retry_delay(attempts, error, self._reach, self._chance)

    def abort(self) -> None:
        """Ends the requests under way in other threads, which then raise Unreachable. The client can be used again."""
        self._transport.abort()

    def witness_clock(self, name: str, now: float) -> None:
        """Adds a clock with which the dates of answers are compared; it shows `now`, in unix seconds."""
        self.dates.add_witness(name, now)

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

    def _account_for(self, endpoint: str, reply: Reply, error: ConnectorError) -> None:
        if isinstance(error, Throttled):
            self.limiter.throttled(endpoint, self.throttle_reason(reply, error))
        elif isinstance(error, RetryLater) and not isinstance(error, BrokenPage):
            self.limiter.released(endpoint)
        else:
            self.limiter.succeeded(endpoint)
