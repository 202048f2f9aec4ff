"""Webhooks: creates a signed delivery of each event for each endpoint that is subscribed to its type.

https://docs.stripe.com/webhooks: `Stripe-Signature: t=<unix>,v1=<HMAC-SHA256 of "t.payload">`, one v1 for each secret
that is valid (two while one is rolled).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from typing import Any

import orjson

from simulator.account.account import Account
from simulator.account.clock import Clock
from simulator.account.old_versions import in_version
from simulator.http.deliveries import Deliveries, Delivery


def signature(payload: bytes, secrets: Sequence[str], second: int) -> str:
    """The Stripe-Signature header of a payload sent at a second."""
    signed = str(second).encode() + b"." + payload
    parts = [f"v1={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}" for secret in secrets]
    return ",".join([f"t={second}", *parts])


class StripeDeliveries(Deliveries):
    """Delivers the events of an account to its webhook endpoints."""

    def __init__(self, account: Account, clock: Clock) -> None:
        super().__init__()
        self._account, self._clock = account, clock
        account.events.listeners.append(self._listen)

    def follow(self, connected: Account) -> None:
        """Also delivers the events of a connected account, to endpoints with `connect`."""
        connected.events.listeners.append(lambda body: self._listen(body, connected.id))

    def headers(self, delivery: Delivery) -> dict[str, str]:
        """The headers of a delivery that is sent now, with its signature."""
        signed = signature(delivery.payload, self.secrets[delivery.endpoint], self._clock.seconds())
        return {
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": signed,
            "User-Agent": "Stripe/1.0",
        }

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
                self.add(Delivery(endpoint["id"], endpoint["url"], event["id"], payload))


def _in_version(event: dict[str, Any], api_version: str) -> dict[str, Any]:
    """The fields of an event that depend on the API version of an endpoint."""
    if api_version >= event["api_version"]:
        return {"api_version": api_version}
    object = in_version(orjson.dumps(event["data"]["object"]), api_version)
    return {"api_version": api_version, "data": event["data"] | {"object": orjson.loads(object)}}
