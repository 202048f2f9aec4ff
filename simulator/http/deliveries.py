"""Delivers webhooks: signed requests, sent by a test or by a background thread. Knows no provider.

sim.deliveries.due                    # not sent yet: shuffle, copy or drop them
sim.deliveries.send(delivery)         # one POST; returns its status
sim.deliveries.send_all()             # all that are due, in order
sim.deliveries.start()                # a thread sends new events, and repeats those that were not accepted
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
    """Delivers the events of an account to its webhook endpoints. `secrets` are the valid secrets by endpoint id."""

    def __init__(self) -> None:
        self.due: deque[Delivery] = deque()
        self.secrets: dict[str, list[str]] = {}
        self._http = urllib3.PoolManager(maxsize=32, retries=False, timeout=30.0)
        self._wake, self._stop = threading.Event(), threading.Event()
        self._threads: list[threading.Thread] = []

    @abstractmethod
    def headers(self, delivery: Delivery) -> dict[str, str]:
        """The headers of a delivery that is sent now, with its signature."""

    def add(self, delivery: Delivery) -> None:
        """Appends a delivery to those that are due."""
        self.due.append(delivery)
        self._wake.set()

    def send(self, delivery: Delivery) -> int:
        """Sends a delivery; returns the status of the answer, 0 if there was none."""
        try:
            answer = self._http.request("POST", delivery.url, body=delivery.payload, headers=self.headers(delivery))
        except urllib3.exceptions.HTTPError:
            return 0
        return answer.status

    def send_all(self) -> list[int]:
        """Sends all deliveries that are due, in order; returns the statuses."""
        return [self.send(self.due.popleft()) for _ in range(len(self.due))]

    def start(self, threads: int = 4) -> None:
        """Starts sending in the background; deliveries that are not answered with 2xx are repeated a few times."""
        self._stop.clear()
        self._threads = [threading.Thread(target=self._work, daemon=True, name="webhooks") for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ends the background threads; deliveries that are due stay due."""
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
