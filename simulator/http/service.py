"""Routes each request to the API or to the controls, counts and logs it, and applies faults.

Also adds the headers of every answer of Stripe: Date (of Stripe's clock), Request-Id, Stripe-Version.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from email.utils import formatdate
from functools import partial

import orjson

from simulator.api import refusals
from simulator.api.api import Answer, Api, Request
from simulator.http.faults import Fault, Faults
from simulator.http.server import Reply

SECRET = ("authorization",)
JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Exchange:
    """A logged request with the status of its answer (0: no answer), without secrets."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    status: int
    size: int
    request_id: str
    at: float


@dataclass(frozen=True, slots=True)
class Counted:
    """The counters and the log of a service; `number` is the number of the next answer."""

    requests: Mapping[str, int]
    statuses: Mapping[int, int]
    log: Sequence[Exchange]
    number: int


class Service:
    """Answers the requests of the server. `latency` is in seconds; `requests` counts by method and endpoint, `log` has
    the last requests.
    """

    def __init__(self, api: Api, faults: Faults, control: Callable[[Request], Answer], latency: float = 0.0) -> None:
        self.api, self.faults, self.latency = api, faults, latency
        self.requests: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        self.log: deque[Exchange] = deque(maxlen=10_000)
        self._control = control
        self._number = 1
        self._date = (0, "")

    def respond(self, method: str, path: str, query: str, headers: dict[str, str], body: bytes) -> Reply:
        """The reply to a request."""
        request = Request(method, path, query, headers, body)
        if path.startswith("/_simulator/"):
            answer = self._control(request)
            return Reply(answer.status, [("Content-Type", JSON)], answer.body)
        at = self.api.account.clock.time()
        answer = self.api.answer(request)
        fault = self.faults.meet(method, path, answer.values, answer.body) if self.faults else None
        request_id = f"req_{self._number:014d}"
        self._number += 1
        reply = self._reply(answer, request_id, request)
        if fault is not None:
            _spoil(reply, fault)
        if answer.admitted:
            reply.done = partial(self.api.limits.leave, answer.endpoint)
        self._count(request, answer, reply, request_id, at)
        return reply

    def reset(self) -> None:
        """Sets the counters to zero and clears the log."""
        self.requests.clear()
        self.statuses.clear()
        self.log.clear()

    def counted(self) -> Counted:
        """The counters and the log since the last reset."""
        return Counted(dict(self.requests), dict(self.statuses), tuple(self.log), self._number)

    def count_on(self, counted: Counted) -> None:
        """Takes over the counters and the log of another service."""
        self.reset()
        self.requests.update(counted.requests)
        self.statuses.update(counted.statuses)
        self.log.extend(counted.log)
        self._number = counted.number

    def _now(self) -> str:
        """The Date header, from Stripe's clock."""
        second = self.api.account.clock.seconds()
        if self._date[0] != second:
            self._date = (second, formatdate(second, usegmt=True))
        return self._date[1]

    def _reply(self, answer: Answer, request_id: str, request: Request) -> Reply:
        headers = [
            ("Server", "nginx"),
            ("Content-Type", JSON),
            ("Request-Id", request_id),
            ("Stripe-Version", request.headers.get("stripe-version") or self.api.account.events.api_version),
            *answer.headers,
        ]
        account = request.headers.get("stripe-account")
        if account:
            headers.append(("Stripe-Account", account))
        return Reply(answer.status, headers, answer.body, self.latency, date=self._now)

    def _count(self, request: Request, answer: Answer, reply: Reply, request_id: str, at: float) -> None:
        status = reply.status if reply.way in ("whole", "cut") else 0
        self.requests[f"{request.method} {answer.endpoint}"] += 1
        self.statuses[status] += 1
        shown = {name: value for name, value in request.headers.items() if name not in SECRET}
        exchange = Exchange(request.method, request.path, request.query, shown, status, len(reply.body), request_id, at)
        self.log.append(exchange)


def _spoil(reply: Reply, fault: Fault) -> None:
    """Applies a fault to a reply."""
    reply.delay += fault.delay
    match fault.kind:
        case "status":
            _refuse(reply, refusals.failed(fault.status) if fault.status != 409 else refusals.locked(409))
        case "throttle":
            _refuse(reply, refusals.throttled(fault.reason))
        case "lock_timeout":
            _refuse(reply, refusals.locked())
        case "error_200":
            reply.body = orjson.dumps({"error": refusals.failed().error})
        case _:
            spoil_bytes(reply, fault)


def spoil_bytes(reply: Reply, fault: Fault) -> None:
    """Applies a fault that is independent of the provider to a reply."""
    match fault.kind:
        case "drop" | "reset" | "cut":
            reply.way = fault.kind
        case "not_json":
            reply.body = b"<html><body><h1>502 Bad Gateway</h1></body></html>"
            reply.headers = [(n, "text/html" if n == "Content-Type" else v) for n, v in reply.headers]
        case "half_json":
            reply.body = reply.body[: len(reply.body) // 2]
        case "empty":
            reply.body = b""
        case "replace":
            reply.body = _with_entries(reply.body, fault.entries).replace(fault.old, fault.new)
        case "slow":
            pass


def _with_entries(body: bytes, entries: Mapping[str, bytes]) -> bytes:
    """The JSON of a list in which the entries with the given ids are replaced."""
    if not entries:
        return body
    page = orjson.loads(body)
    page["data"] = [
        orjson.Fragment(entries[obj["id"]]) if obj.get("id") in entries else obj for obj in page.get("data", ())
    ]
    return orjson.dumps(page)


def _refuse(reply: Reply, refusal: refusals.Refusal) -> None:
    reply.status, reply.body = refusal.status, orjson.dumps({"error": refusal.error})
    reply.headers = [*reply.headers, *refusal.headers]
