"""Stripe as a `Provider`, and a client of its API that is created from the settings."""

from __future__ import annotations

from typing import Any

from sources.errors import BadConfiguration
from sources.fetch.reach import reach_of
from sources.provider import Provider
from sources.stripe_api.catalogue import CATALOGUE
from sources.stripe_api.catalogue.fields import api_version
from sources.stripe_api.client.account import limiter_of, read_account
from sources.stripe_api.client.client import Client
from sources.stripe_api.client.settings import ClientSettings
from sources.stripe_api.events.reading import pieces
from sources.stripe_api.events.webhook import read_event, verify
from sources.stripe_api.objects.changes import change_of, gone, rows_of
from sources.stripe_api.objects.related import related
from sources.stripe_api.objects.retrieve import newest_page, retrieve
from sources.stripe_api.objects.rows import converter
from sources.stripe_api.paging.plan import fetch


def open_client(settings: Any) -> Client:
    """A client within the configured share of the account's limits, from `pipelines.configuration.settings.Settings`.

    Raises `BadConfiguration` without a usable key.
    """
    if not settings.stripe_secret_key:
        raise BadConfiguration(
            "There is no Stripe key. Set STRIPE_SECRET_KEY, or stripe_secret_key in the section [sources.stripe] of"
            " .dlt/secrets.toml; a restricted key (rk_live_…) that may only read is enough."
        )
    client_settings = ClientSettings(
        api_key=settings.stripe_secret_key,
        stripe_version=settings.stripe_version,
        stripe_account=settings.stripe_account,
        stripe_context=settings.stripe_context,
        **reach_of(settings),
    )
    return Client(client_settings, limiter_of(settings.account_rate, settings.endpoint_rate))


STRIPE = Provider(
    name="stripe",
    catalogue=CATALOGUE,
    api_version=api_version,
    open_client=open_client,
    read_account=read_account,
    converter=converter,
    fetch=fetch,
    newest_page=newest_page,
    retrieve=retrieve,
    gone=lambda table, id, stamp: gone(table, {CATALOGUE.tables[table].key[0]: id}, stamp, None),
    pieces=pieces,
    change_of=change_of,
    rows_of=rows_of,
    verify=verify,
    read_event=read_event,
    signature_headers=(b"stripe-signature",),
    account_ids=r"acct_\w+",
    related=related,
)
