"""Our own webhook endpoints in Stripe: made with the project's API version and the types that it handles, found again.

https://docs.stripe.com/api/webhook_endpoints. Stripe tells an endpoint's secret once, when it is made: it is kept in
the database, or printed. Writing takes a key that may write webhook endpoints; nothing else here writes to Stripe.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import stripe

from pipelines.settings import Settings
from sources.errors import (
    AuthenticationFailed,
    BadConfiguration,
    ConnectorError,
    RequestRefused,
    Unreachable,
    shown,
)
from sources.stripe_api.catalogue.events import TYPES
from sources.stripe_api.catalogue.fields import api_version
from sources.stripe_api.client.refusals import safe

MARK = "stripe-elt"
DESCRIPTION = "Keeps the tables of stripe-elt up to date"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint of ours. `secret` only when it was just made."""

    id: str
    url: str
    status: str
    api_version: str | None
    types: int
    secret: str | None = None


def handled_types() -> list[str]:
    """The snapshot types that an endpoint of ours asks for."""
    return sorted(name for name, kind in TYPES.items() if not kind.ignored)


class Endpoints:
    """Makes, finds and deletes endpoints through the SDK. Raises the tree of `errors.py`."""

    def __init__(self, settings: Settings) -> None:
        if not settings.stripe_secret_key:
            raise BadConfiguration("Webhook endpoints are made with a key that may write them: set STRIPE_SECRET_KEY.")
        stripe.enable_telemetry = False
        self._version = settings.stripe_version or api_version()
        client = stripe.StripeClient(
            settings.stripe_secret_key,
            base_addresses={"api": settings.api_base},
            max_network_retries=settings.max_retries,
            stripe_account=settings.stripe_account,
        )
        self._service = client.v1.webhook_endpoints

    def create(self, url: str, *, connect: bool = False) -> Endpoint:
        """Our endpoint of this URL: the one that is there, brought up to date, or a new one, with its secret."""
        _check_url(url)
        for found in self.ours():
            if found.url == url and found.api_version == self._version:
                self._call(self._service.update, found.id, {"enabled_events": handled_types(), "disabled": False})
                return found
        made = self._call(
            self._service.create,
            {
                "url": url,
                "enabled_events": handled_types(),
                "api_version": self._version,
                "description": DESCRIPTION,
                "metadata": {"managed_by": MARK},
                "connect": connect,
            },
        )
        return _endpoint(made.to_dict())

    def ours(self) -> list[Endpoint]:
        """The endpoints that were made here, and no others."""
        return [_endpoint(one) for one in self._all() if (one.get("metadata") or {}).get("managed_by") == MARK]

    def delete(self, which: str) -> list[Endpoint]:
        """Deletes our endpoints of this id or URL; returns them. Raises RequestRefused where there is none."""
        ours = [one for one in self.ours() if which in (one.id, one.url)]
        if not ours:
            raise RequestRefused(
                f"There is no endpoint of ours with the id or URL {shown(which)}: see `endpoint list`."
            )
        for one in ours:
            self._call(self._service.delete, one.id)
        return ours

    def _all(self) -> Iterator[dict[str, Any]]:
        after: dict[str, str] = {}
        while True:
            page = self._call(self._service.list, {"limit": 100, **after})
            yield from (one.to_dict() for one in page.data)
            if not page.has_more:
                return
            after = {"starting_after": page.data[-1].id}

    def _call(self, operation: Any, *given: Any) -> Any:
        try:
            return operation(*given)
        except stripe.StripeError as error:
            raise _error_of(error, self._version) from None


def _endpoint(found: Mapping[str, Any]) -> Endpoint:
    secret = found.get("secret")
    types = len(found["enabled_events"])
    return Endpoint(found["id"], found["url"], found["status"], found.get("api_version"), types, secret)


def _check_url(url: str) -> None:
    """Raises BadConfiguration, which repeats no part of the address that can hold a secret."""
    with suppress(ValueError):  # what urlsplit and the port say of addresses that are none
        parts = urlsplit(url)
        is_whole = parts.hostname and parts.port != 0 and "@" not in parts.netloc and not parts.fragment
        if parts.scheme in ("http", "https") and is_whole:
            if parts.path.rstrip("/") == "":
                raise BadConfiguration("The address has no path. The sink takes webhooks at https://host/webhooks.")
            return
    raise BadConfiguration(f"{shown(url)} is no address that Stripe could send webhooks to: https://host/webhooks.")


def _error_of(error: stripe.StripeError, version: str) -> ConnectorError:
    said = safe(error.user_message or "", [version])
    if isinstance(error, stripe.AuthenticationError | stripe.PermissionError):
        return AuthenticationFailed(
            f"Stripe does not let the key manage webhook endpoints: {said}", status=error.http_status
        )
    if isinstance(error, stripe.APIConnectionError):
        return Unreachable("Stripe could not be reached. See SOURCES__STRIPE__API_BASE and the network.")
    return RequestRefused(f"Stripe refused: {said}", status=error.http_status, request_id=error.request_id)
