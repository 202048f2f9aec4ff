"""The webhooks that a benchmark sends: each provider's events, their signatures, and the settings of the sink."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from simulator import Simulator
from simulator.account.deliveries import signature
from simulator.orb import OrbSimulator
from simulator.orb.account import moment
from simulator.orb.deliveries import signed_headers
from sources.orb_api.catalogue.events import SUBJECTS
from sources.stripe_api.catalogue.fields import api_version

SECRET = "whsec_of_the_benchmark"
Object = dict[str, Any]


class Provider(ABC):
    """A provider whose webhooks are sent. `kinds` maps tables to the type of their events; those in `asked` are only
    sent if they are named.

    `environment` are the variables of a sink that receives them.
    """

    name: ClassVar[str]
    kinds: ClassVar[Mapping[str, str]]
    asked: ClassVar[Mapping[str, str]] = {}
    environment: ClassVar[Mapping[str, str]]
    path: ClassVar[str]

    @abstractmethod
    def objects(self) -> list[tuple[str, Object]]:
        """The objects of a simulated account with their tables."""

    @abstractmethod
    def event(self, id: str, second: int, type: str, obj: Object) -> Object:
        """An event with the present state of an object."""

    @abstractmethod
    def headers(self, body: bytes) -> Mapping[str, str]:
        """The headers of a webhook that is sent now, with its signature."""

    def request(self, body: bytes) -> bytes:
        """A complete HTTP request, signed now."""
        lines = [f"POST {self.path} HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json; charset=utf-8"]
        lines += [f"{name}: {value}" for name, value in self.headers(body).items()]
        return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


class Stripe(Provider):
    """Stripe's events."""

    name, path = "stripe", "/webhooks"
    kinds: ClassVar = {
        "customers": "customer.updated",
        "payment_intents": "payment_intent.succeeded",
        "charges": "charge.succeeded",
        "products": "product.updated",
        "subscriptions": "customer.subscription.updated",
    }
    asked: ClassVar = {"invoices": "invoice.updated"}
    environment: ClassVar = {"STRIPE_WEBHOOK_SECRET": SECRET, "SOURCES__STRIPE__ACCOUNT_ID": "acct_benchmark"}

    def objects(self) -> list[tuple[str, Object]]:
        """See `Provider`."""
        with Simulator(seed=1, customers=300) as sim:
            return [
                (table, obj) for table in {**self.kinds, **self.asked} for obj in sim.account.objects(table)[:1_000]
            ]

    def event(self, id: str, second: int, type: str, obj: Object) -> Object:
        """See `Provider`."""
        return {
            "id": id,
            "object": "event",
            "api_version": api_version(),
            "created": second,
            "data": {"object": obj},
            "livemode": False,
            "pending_webhooks": 1,
            "request": {"id": None, "idempotency_key": None},
            "type": type,
        }

    def headers(self, body: bytes) -> Mapping[str, str]:
        """See `Provider`."""
        return {
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
            "Accept": "*/*; q=0.5, application/xml",
            "Stripe-Signature": signature(body, [SECRET], int(time.time())),
        }


class Orb(Provider):
    """Orb's events, with expanded payloads."""

    name, path = "orb", "/webhooks/orb"
    kinds: ClassVar = {
        "customers": "customer.edited",
        "subscriptions": "subscription.edited",
        "invoices": "invoice.edited",
        "plans": "plan.edited",
        "billable_metrics": "billable_metric.edited",
    }
    environment: ClassVar = {"ORB_WEBHOOK_SECRET": SECRET}

    def objects(self) -> list[tuple[str, Object]]:
        """See `Provider`."""
        account = OrbSimulator(seed=1, customers=300).account
        return [(table, obj) for table in self.kinds for obj in account.objects(table)[:1_000]]

    def event(self, id: str, second: int, type: str, obj: Object) -> Object:
        """See `Provider`."""
        field, _ = SUBJECTS[type.partition(".")[0]]
        told = {"id": id, "type": type, "created_at": moment(second), "properties": {}, "payload_style": "expanded"}
        return {**told, field: obj}

    def headers(self, body: bytes) -> Mapping[str, str]:
        """See `Provider`."""
        return {"User-Agent": "Orb/1.0", "Accept": "*/*", **signed_headers(body, [SECRET], time.time())}


PROVIDERS: Mapping[str, Provider] = {provider.name: provider for provider in (Stripe(), Orb())}
"""By name."""
