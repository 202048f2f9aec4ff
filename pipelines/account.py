"""Stripe from the settings: a client under the account's budget, and which account it is. Knows no database."""

from __future__ import annotations

import stripe

from pipelines.settings import Settings
from sources.errors import BadConfiguration
from sources.stripe_api.client import account
from sources.stripe_api.client.account import Account, limiter_of
from sources.stripe_api.client.client import Client
from sources.stripe_api.client.settings import ClientSettings

__all__ = ["Account", "open_client", "read_account"]


def open_client(settings: Settings) -> Client:
    """A client that keeps to the account's share. Raises `BadConfiguration` without a usable key."""
    stripe.enable_telemetry = False
    if not settings.stripe_secret_key:
        raise BadConfiguration(
            "There is no Stripe key. Set STRIPE_SECRET_KEY, or stripe_secret_key in the section [sources.stripe] of"
            " .dlt/secrets.toml; a restricted key (rk_live_…) that may only read is enough."
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
        request_deadline=settings.request_deadline,
        max_clock_skew=settings.max_clock_skew,
        connections=settings.workers,
    )
    return Client(client_settings, limiter_of(settings.account_rate, settings.endpoint_rate))


def read_account(client: Client, settings: Settings) -> Account:
    """Asks who the key belongs to, unless the settings say it. See `sources.stripe_api.client.account.read_account`."""
    return account.read_account(client, settings.told_account)
