"""The whole simulator: an Orb account behind a server in a thread."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from email.utils import formatdate
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl

from simulator.account.clock import Clock
from simulator.http.faults import Faults
from simulator.http.limits import Budget, Limits
from simulator.http.server import Reply
from simulator.http.server_thread import ServerThread
from simulator.http.service import spoil_bytes
from simulator.orb.account import Account
from simulator.orb.api import Api
from simulator.orb.below import fill_below
from simulator.orb.bulk import add_bulk
from simulator.orb.content import Business
from simulator.orb.deliveries import OrbDeliveries
from simulator.orb.refusal import Refusal

READS = {
    "none": Budget(),
    "live": Budget(own={"reads": 100, "ledger": 10, "analytics": 10}),
    "test": Budget(own={"reads": 50, "ledger": 5, "analytics": 5}),
}
"""Requests a second for reads, credits and event volumes, from Orb's documentation."""

REFUSALS = {
    "status": ("500-internal-server-error", "Something went wrong."),
    "throttle": ("429-too-many-requests", "Too many requests a second."),
}
"""fault kind -> Orb's answer to a request that it matches."""


class OrbSimulator:
    """An Orb account over HTTP on 127.0.0.1; a context manager that serves while it is entered.

    `customers` is the number of customers, `bulk` that of additional plain objects for benchmarks; `lacks` names tables
    whose feature is off. `now` is when Orb's clock starts and history ends (default: real time); with `running` False
    the clock stands still. `latency` is in seconds; `monotonic` is the clock for `rate_limits`. `requests` counts the
    answers by path, `log` has the last requests with their queries, `faults` makes requests fail.
    """

    def __init__(
        self,
        *,
        seed: int = 1,
        customers: int = 50,
        bulk: int = 0,
        port: int = 0,
        latency: float = 0.0,
        rate_limits: str = "none",
        now: float | None = None,
        running: bool = True,
        lacks: Iterable[str] = (),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.clock, self.key, self.port, self.latency = Clock(now, running=running), f"test_{seed:032d}", port, latency
        self.account = Account(self.clock, seed)
        Business(self.account, seed).fill(customers)
        fill_below(self.account)
        add_bulk(self.account, bulk)
        self.requests: Counter[str] = Counter()
        self.log: deque[str] = deque(maxlen=10_000)
        self.faults = Faults(seed)
        self.deliveries = OrbDeliveries(self.account, self.clock)
        self.api = Api(self.account, self.key, Limits(READS[rate_limits], monotonic), self.deliveries.secrets)
        self.api.lacks |= set(lacks)
        self._server = ServerThread(self._respond, "orb-simulator")

    @property
    def url(self) -> str:
        """The base URL, without a trailing slash."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.port = self._server.start(self.port)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.deliveries.stop()
        self._server.stop()

    def _respond(self, method: str, path: str, query: str, headers: dict[str, str], body: bytes) -> Reply:
        answer = self.api.answer(method, path, query, headers, body)
        self.requests[path] += 1
        self.log.append(f"{path}?{query}")
        fault = self.faults.meet(method, path, dict(parse_qsl(query)), answer.body) if self.faults else None
        if fault is not None and fault.kind in REFUSALS:
            answer = Refusal(*REFUSALS[fault.kind]).answer
        kind = "application/json" if answer.status == 200 else "application/problem+json"
        reply = Reply(answer.status, [("Content-Type", kind)], answer.body, self.latency, date=self._date)
        if fault is not None and fault.kind not in REFUSALS:
            spoil_bytes(reply, fault)
        return reply

    def _date(self) -> str:
        return formatdate(self.clock.seconds(), usegmt=True)
