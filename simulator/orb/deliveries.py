"""Orb's webhooks: creates a signed delivery of each event for each subscribed endpoint, in its payload style.

https://docs.withorb.com/integrations-and-exports/webhooks: `X-Orb-Signature: v1=<HMAC-SHA256 of
"v1:<X-Orb-Timestamp>:body">`, one v1 for each valid secret.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

import orjson

from simulator.account.clock import Clock
from simulator.http.deliveries import Deliveries, Delivery
from simulator.orb.account import Account, Object, moment


def signature(payload: bytes, secrets: Sequence[str], timestamp: str) -> str:
    """The X-Orb-Signature header of a payload that is sent with a timestamp."""
    signed = f"v1:{timestamp}:".encode() + payload
    return " ".join(f"v1={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}" for secret in secrets)


def signed_headers(payload: bytes, secrets: Sequence[str], second: float) -> dict[str, str]:
    """Both headers of a payload that is sent at a second."""
    timestamp = moment(second).removesuffix("+00:00")
    return {"X-Orb-Signature": signature(payload, secrets, timestamp), "X-Orb-Timestamp": timestamp}


class OrbDeliveries(Deliveries):
    """Delivers the events of an account to its webhook endpoints."""

    def __init__(self, account: Account, clock: Clock) -> None:
        super().__init__()
        self._account, self._clock = account, clock
        account.listeners.append(self._listen)

    def headers(self, delivery: Delivery) -> dict[str, str]:
        """The headers of a delivery that is sent now, with its signature."""
        signed = signed_headers(delivery.payload, self.secrets[delivery.endpoint], self._clock.seconds())
        return {"Content-Type": "application/json", "User-Agent": "Orb/1.0", **signed}

    def _listen(self, event: Object) -> None:
        for endpoint in self._account.objects("webhook_endpoints"):
            wanted = endpoint["enabled_event_types"]
            known = endpoint["id"] in self.secrets and endpoint["enabled"]
            if known and (wanted is None or event["type"] in wanted):
                payload = orjson.dumps(self._account.payload(event, endpoint["payload_style"]))
                self.add(Delivery(endpoint["id"], endpoint["url"], event["id"], payload))
