"""Webhooks: every event that an endpoint wants becomes a signed delivery, to be sent when a test or a thread says so.

    sim.deliveries.due                    # what has not been sent: shuffle, copy or drop it
    sim.deliveries.send(delivery)         # one POST, its status
    sim.deliveries.send_all()             # all that is due, in order
    sim.deliveries.start()                # a thread sends as events come, and sends again what was not taken

https://docs.stripe.com/webhooks: `Stripe-Signature: t=<unix>,v1=<HMAC-SHA256 of "t.payload">`, one v1 for each secret
that is valid (two while one is rolled).
"""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import urllib3

from simulator.account.account import Account
from simulator.account.clock import Clock
from simulator.account.old_versions import in_version

AGAIN = 5


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event on its way to an endpoint."""

    endpoint: str
    url: str
    event: str
    payload: bytes
    attempt: int = 1


def signature(payload: bytes, secrets: Sequence[str], second: int) -> str:
    """The Stripe-Signature header of a payload sent at a second."""
    signed = str(second).encode() + b"." + payload
    parts = [f"v1={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}" for secret in secrets]
    return ",".join([f"t={second}", *parts])


class Deliveries:
    """The webhook endpoints of an account at work. `secrets` are those that are valid, by endpoint."""

    def __init__(self, account: Account, clock: Clock) -> None:
        self._account, self._clock = account, clock
        self.due: deque[Delivery] = deque()
        self.secrets: dict[str, list[str]] = {}
        self._http = urllib3.PoolManager(maxsize=32, retries=False, timeout=30.0)
        self._wake, self._stop = threading.Event(), threading.Event()
        self._threads: list[threading.Thread] = []
        account.events.listeners.append(self._listen)

    def follow(self, connected: Account) -> None:
        """Delivers the events of a connected account too, to the endpoints that were made for them (`connect`)."""
        connected.events.listeners.append(lambda body: self._listen(body, connected.id))

    def headers(self, delivery: Delivery) -> dict[str, str]:
        """The headers of a delivery that is sent now."""
        signed = signature(delivery.payload, self.secrets[delivery.endpoint], self._clock.seconds())
        return {
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": signed,
            "User-Agent": "Stripe/1.0",
        }

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

    def _listen(self, body: bytes, connected: str | None = None) -> None:
        event = orjson.loads(body)
        if event["object"] != "event":
            return
        for endpoint in self._account.objects("webhook_endpoints"):
            wanted = endpoint["enabled_events"]
            of_connect = bool(endpoint.get("application")) or endpoint["metadata"].get("connect") == "true"
            known = endpoint["id"] in self.secrets and endpoint["status"] == "enabled"
            if known and of_connect == (connected is not None) and ("*" in wanted or event["type"] in wanted):
                shown = event | {"pending_webhooks": 1} | ({"account": connected} if connected else {})
                if endpoint["api_version"]:
                    shown |= _in_version(event, endpoint["api_version"])
                payload = orjson.dumps(shown, option=orjson.OPT_INDENT_2)
                self.due.append(Delivery(endpoint["id"], endpoint["url"], event["id"], payload))
        self._wake.set()

    def _work(self) -> None:
        while not self._stop.is_set():
            try:
                delivery = self.due.popleft()
            except IndexError:
                self._wake.wait(0.5)
                self._wake.clear()
                continue
            if not 200 <= self.send(delivery) < 300 and delivery.attempt < AGAIN:
                again = Delivery(
                    delivery.endpoint, delivery.url, delivery.event, delivery.payload, delivery.attempt + 1
                )
                self.due.append(again)


def _in_version(event: dict[str, Any], api_version: str) -> dict[str, Any]:
    """The fields of an event in which the version of an endpoint shows."""
    if api_version >= event["api_version"]:
        return {"api_version": api_version}
    object = in_version(orjson.dumps(event["data"]["object"]), api_version)
    return {"api_version": api_version, "data": event["data"] | {"object": orjson.loads(object)}}
