"""Webhooks on their way: signed requests that are sent when a test or a thread says so. Knows no provider.

sim.deliveries.due                    # what has not been sent: shuffle, copy or drop it
sim.deliveries.send(delivery)         # one POST, its status
sim.deliveries.send_all()             # all that is due, in order
sim.deliveries.start()                # a thread sends as events come, and sends again what was not taken
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass, replace

import urllib3

AGAIN = 5


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event on its way to an endpoint."""

    endpoint: str
    url: str
    event: str
    payload: bytes
    attempt: int = 1


class Deliveries(ABC):
    """The webhook endpoints of an account at work. `secrets` are those that are valid, by endpoint."""

    def __init__(self) -> None:
        self.due: deque[Delivery] = deque()
        self.secrets: dict[str, list[str]] = {}
        self._http = urllib3.PoolManager(maxsize=32, retries=False, timeout=30.0)
        self._wake, self._stop = threading.Event(), threading.Event()
        self._threads: list[threading.Thread] = []

    @abstractmethod
    def headers(self, delivery: Delivery) -> dict[str, str]:
        """The headers of a delivery that is sent now."""

    def add(self, delivery: Delivery) -> None:
        """Puts one behind those that are due."""
        self.due.append(delivery)
        self._wake.set()

    def send(self, delivery: Delivery) -> int:
        """Sends one; the answer's status, 0 where there was none."""
        try:
            answer = self._http.request("POST", delivery.url, body=delivery.payload, headers=self.headers(delivery))
        except urllib3.exceptions.HTTPError:
            return 0
        return answer.status

    def send_all(self) -> list[int]:
        """Sends what is due, in order; the statuses."""
        return [self.send(self.due.popleft()) for _ in range(len(self.due))]

    def start(self, threads: int = 4) -> None:
        """Sends in the background from now on; what is not answered with 2xx is sent again, a few times."""
        self._stop.clear()
        self._threads = [threading.Thread(target=self._work, daemon=True, name="webhooks") for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ends the background threads; what is due stays due."""
        self._stop.set()
        self._wake.set()
        for thread in self._threads:
            thread.join()
        self._threads = []

    def _work(self) -> None:
        while not self._stop.is_set():
            try:
                delivery = self.due.popleft()
            except IndexError:
                self._wake.wait(0.5)
                self._wake.clear()
                continue
            if not 200 <= self.send(delivery) < 300 and delivery.attempt < AGAIN:
                self.due.append(replace(delivery, attempt=delivery.attempt + 1))
