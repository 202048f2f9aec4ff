"""Products that an account may lack, and Stripe's answers on their endpoints. The texts are from public reports."""

from __future__ import annotations

from collections.abc import Collection

from simulator.api import refusals
from simulator.api.refusals import Refusal
from sources.catalogue import Resource

SETUP = "Your account is not set up to use {0}. Please visit https://dashboard.stripe.com/{1}/overview to get started."
V2_ACCOUNTS = "Accounts v2 is not enabled for your platform/livemode merchant. Please contact Stripe support."


def refusal(resource: Resource, method: str, path: str) -> Refusal:
    """The refusal for an account that lacks the resource's product."""
    product = resource.gate or ""
    if path.startswith("/v1/issuing/"):
        return Refusal(400, SETUP.format("Issuing", "issuing"))
    if path.startswith("/v1/identity/"):
        return Refusal(400, SETUP.format("Identity", "identity"))
    if path.startswith("/v1/forwarding/"):
        return Refusal(400, "Your account is not authorized to send Forwarding requests in livemode.")
    if path.startswith("/v1/treasury/"):
        text = f"Unrecognized request URL ({method}: {path}). Have you onboarded to Treasury?"
        return Refusal(400, text)
    if path.startswith("/v1/sigma/"):
        return Refusal(400, "This API surface is not enabled for testmode usage")
    if path.startswith("/v1/test_helpers/"):
        return Refusal(400, "This endpoint is only available in testmode")
    if path.startswith("/v2/core/accounts"):
        return Refusal(400, V2_ACCOUNTS, code="accounts_v2_access_blocked")
    if "Connect" in product or "Apps" in product:
        text = "Only Stripe Connect platforms can work with other accounts. If you specified a client_id parameter, "
        return Refusal(403, text + "make sure it's correct. See https://stripe.com/docs/connect to get started.")
    return refusals.unrecognized(method, path)


def lacking(resource: Resource, lacks: Collection[str], *, livemode: bool) -> bool:
    """Whether an account lacks a resource: because of its name, its product, or the mode of the account."""
    if resource.path.startswith("/v1/sigma/"):
        return not livemode or bool(names_of(resource) & set(lacks))
    if resource.path.startswith("/v1/test_helpers/"):
        return livemode or bool(names_of(resource) & set(lacks))
    return bool(names_of(resource) & set(lacks))


def names_of(resource: Resource) -> set[str]:
    """The names by which `lacks` can name a resource: its name, its table, its product."""
    return {resource.name, resource.table, *([resource.gate] if resource.gate else [])}
