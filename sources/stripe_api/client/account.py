"""Finds the account of a key, and builds the limiter for it. Knows no database."""

from __future__ import annotations

import math

from sources.errors import BadConfiguration, BrokenPage, SkipResource
from sources.fetch.http.client import endpoint_rates
from sources.fetch.limiter import Limiter
from sources.provider import Account
from sources.stripe_api.catalogue import RESOURCES, select
from sources.stripe_api.client.client import Client

PATIENCE = 30.0  # seconds for a host that does not answer the first request: its address is probably wrong


def limiter_of(account_rate: float, endpoint_rate: float) -> Limiter:
    """A limiter for rates in requests a second (infinite: no limit), and for the lower limits of single endpoints."""
    if math.isinf(endpoint_rate):
        return Limiter(_budget(account_rate), None)
    rates = {path: min(rate, endpoint_rate) for path, rate in endpoint_rates(RESOURCES.values()).items()}
    return Limiter(_budget(account_rate), endpoint_rate, rates=rates)


def read_account(client: Client, account_id: str | None) -> Account:
    """Asks Stripe for the key's account; the answer's date is the end of the windows.

    `account_id` overrides the answer. Raises `BadConfiguration` if it is None and the key may not ask, and the client's
    errors.
    """
    try:
        answer = client.object("/v1/account", patience=PATIENCE)
    except SkipResource as error:
        if account_id is None:
            raise BadConfiguration(
                "The key may not read /v1/account, so it is unknown whose rows they are. Give the key that"
                " permission, or set SOURCES__STRIPE__ACCOUNT_ID (account_id in .dlt/config.toml) to acct_…",
                request_id=error.request_id,
            ) from error
        return _any_answer(client, account_id)
    shown = answer.object.get("id")
    if account_id is None and (not isinstance(shown, str) or not shown):
        raise BrokenPage(
            "The answer to GET /v1/account names no account, so it is unknown whose rows they are. Check"
            " whether SOURCES__STRIPE__API_BASE leads to Stripe's API, or set SOURCES__STRIPE__ACCOUNT_ID to"
            " acct_…",
            request_id=answer.request_id,
        )
    return Account(account_id or str(shown), answer.as_of, answer.requests)


def _any_answer(client: Client, account_id: str) -> Account:
    """The given account, with the time of the answer of the first list that the key may read."""
    for requests, resource in enumerate(select(["core"]), start=2):
        if resource.kind == "root":
            try:
                page = client.page(resource.path, resource.passes[0], denied=resource.denied)
            except SkipResource:
                continue
            return Account(account_id, page.as_of, requests)
    raise BadConfiguration(
        "The key may not read any list of billing or payments. Set STRIPE_SECRET_KEY, or stripe_secret_key"
        " in .dlt/secrets.toml, to a key that may, or give this key the permissions."
    )


def _budget(rate: float) -> float | None:
    return None if math.isinf(rate) else rate
