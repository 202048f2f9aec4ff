"""Stripe from the settings: a client under the account's budget, and which account it is. Knows no database."""

from __future__ import annotations

import math
from dataclasses import dataclass

import stripe

from pipelines.settings import Settings
from sources.stripe_api.catalogue import RESOURCES
from sources.stripe_api.client import Client, ClientSettings, endpoint_of
from sources.stripe_api.errors import BadConfiguration, SkipResource
from sources.stripe_api.limiter import Limiter


@dataclass(frozen=True, slots=True)
class Account:
    """The account whose objects are read; `now` is Stripe's clock, in unix seconds, when it was asked."""

    id: str
    now: int
    requests: int


def open_client(settings: Settings) -> Client:
    """A client that keeps to the account's share. Raises `BadConfiguration` without a usable key."""
    stripe.enable_telemetry = False
    if not settings.stripe_secret_key:
        raise BadConfiguration(
            "There is no Stripe key. Set STRIPE_SECRET_KEY, or stripe_secret_key in the section [sources.stripe] of"
            " .dlt/secrets.toml; a restricted key (rk_live_…) that may only read is enough."
        )
    limiter = Limiter(
        _budget(settings.account_rate),
        _budget(settings.endpoint_rate),
        rates={
            endpoint_of(resource.path): min(resource.rate, settings.endpoint_rate)
            for resource in RESOURCES.values()
            if resource.rate is not None and settings.endpoint_rate < math.inf
        },
    )
    client_settings = ClientSettings(
        api_key=settings.stripe_secret_key,
        api_base=settings.api_base,
        stripe_version=settings.stripe_version,
        stripe_account=settings.stripe_account,
        stripe_context=settings.stripe_context,
        max_retries=settings.max_retries,
        max_retry_delay=settings.max_retry_delay,
        connect_timeout=settings.connect_timeout,
        read_timeout=settings.read_timeout,
        connections=settings.workers,
    )
    return Client(client_settings, limiter)


def _budget(rate: float) -> float | None:
    return None if math.isinf(rate) else rate


def read_account(client: Client, settings: Settings) -> Account:
    """Asks who the key belongs to; the answer's date is the clock that windows end by.

    Raises `BadConfiguration` when the key may not ask and `account_id` does not say it, and what the client raises.
    """
    try:
        answer = client.object("/v1/account")
    except SkipResource as error:
        if settings.account_id is None:
            raise BadConfiguration(
                "The key may not read /v1/account, so it is unknown whose rows these would be. Give the key that"
                " permission, or set SOURCES__STRIPE__ACCOUNT_ID (account_id in .dlt/config.toml) to acct_…",
                request_id=error.request_id,
            ) from error
        balance = client.page("/v1/balance_transactions", (("limit", "1"),))
        return Account(settings.account_id, balance.as_of, balance.requests)
    return Account(settings.account_id or str(answer.object["id"]), answer.as_of, answer.requests)
