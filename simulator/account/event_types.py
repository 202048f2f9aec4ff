"""Finds the type of the event that Stripe sends for a change of an object, in the SDK's list of types."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

from sources.stripe_api.generate.sdk import Ref, Sdk

# Objects whose events are not named `<object>.<change>`.
STEMS: Mapping[str, str] = {
    "bank_account": "account.external_account",
    "card": "account.external_account",
    "dispute": "charge.dispute",
    "discount": "customer.discount",
    "fee_refund": "application_fee.refund",
    "source_transaction": "source.transaction",
    "scheduled_query_run": "sigma.scheduled_query_run",
    "subscription": "customer.subscription",
    "tax_id": "customer.tax_id",
}
# Types of changes that are not named `<object>.<change>` either.
INSTEAD: Mapping[str, str] = {
    "billing.alert.created": "billing.alert.triggered",
    "review.created": "review.opened",
    "review.updated": "review.closed",
    "checkout.session.updated": "checkout.session.completed",
    "payment_intent.updated": "payment_intent.succeeded",
    "payment_method.created": "payment_method.attached",
    "payment_method.deleted": "payment_method.detached",
    "setup_intent.updated": "setup_intent.succeeded",
    "topup.updated": "topup.succeeded",
}


class EventTypes:
    """The event types of the installed SDK."""

    def __init__(self, sdk: Sdk) -> None:
        literals = sdk.fields(Ref("stripe._event", "Event"))["type"].type.literals
        self.all = frozenset(literals)
        self.thin = frozenset(_strings(sdk.module("stripe.events._event_classes").tree, "v2."))

    def of(self, object: Mapping[str, object], change: str) -> str | None:
        """The event type for a `created`, `updated` or `deleted` object; None if Stripe sends no event."""
        name = str(object.get("object"))
        if name.startswith("v2."):
            return f"{name}.{change}" if f"{name}.{change}" in self.thin else None
        stem = STEMS.get(name, name)
        if name in ("bank_account", "card", "source") and object.get("customer"):
            stem = "customer.source"
        if name == "charge" and change == "created":
            return {"failed": "charge.failed", "pending": "charge.pending"}.get(
                str(object.get("status")), "charge.succeeded"
            )
        if name == "subscription" and change == "updated" and object.get("status") == "canceled":
            return "customer.subscription.deleted"
        for candidate in (stem, stem.replace("issuing.", "issuing_")):
            type = f"{candidate}.{change}"
            type = type if type in self.all else INSTEAD.get(type, type)
            if type in self.all:
                return type
        return None


def _strings(tree: ast.Module, start: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith(start):
            yield node.value
