"""Asks Stripe for the account and our webhook endpoints: at most two requests every few minutes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pipelines.commands.accounts import own_account
from pipelines.configuration.settings import Settings
from sources.errors import ConnectorError
from sources.stripe_api.catalogue.fields import api_version
from sources.stripe_api.client.account import read_account
from sources.stripe_api.provider import open_client
from webhook_sink.endpoints.endpoints import Endpoint, Endpoints


@dataclass(frozen=True, slots=True)
class StripeSide:
    """Stripe's answers. `problem` says what is wrong. Without a key, nothing was asked.

    `endpoints` is None if the key may not list them.
    """

    asked_at: datetime
    has_key: bool
    problem: str | None = None
    account: str | None = None
    mode: str | None = None
    version: str | None = None
    endpoints: Sequence[Endpoint] | None = None


def ask_stripe(settings: Settings) -> StripeSide:
    """Sends the requests. Raises nothing: errors are in the result."""
    now = datetime.now(UTC)
    if not settings.stripe_secret_key:
        return StripeSide(now, False)
    try:
        own = own_account(settings)
        with open_client(own) as client:
            account = read_account(client, own.configured_account)
    except ConnectorError as error:
        return StripeSide(now, True, str(error))
    try:
        endpoints: Sequence[Endpoint] | None = Endpoints(own).ours()
    except ConnectorError:
        endpoints = None
    mode = "live" if settings.is_live else "test"
    version = settings.stripe_version or api_version()
    return StripeSide(now, True, None, account.id, mode, version, endpoints)
