"""Creates, finds and deletes our own webhook endpoints in Stripe: https://docs.stripe.com/api/webhook_endpoints.

An endpoint is created with the project's API version and the event types that the sink handles. Stripe shows its secret
only once, when it is created. This needs a key that may write webhook endpoints; nothing else in the project writes to
Stripe. Knows no database.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pipelines.configuration.settings import Settings
from sources.errors import (
    AuthenticationFailed,
    BadConfiguration,
    ConnectorError,
    RequestRefused,
    Unreachable,
    shown,
)
from sources.fetch.http.safe_text import safe
from sources.stripe_api.catalogue import CATALOGUE
from sources.stripe_api.catalogue.fields import api_version

if TYPE_CHECKING:
    import stripe

MARK = "stripe-elt"
DESCRIPTION = "Keeps the tables of stripe-elt up to date"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint of ours. `types` is the number of its event types; None for all. Only a new one has its `secret`."""

    id: str
    url: str
    status: str
    api_version: str | None
    types: int | None
    secret: str | None = None

    @property
    def described(self) -> str:
        """What it receives: its API version, if there are versions, and its event types."""
        types = "all event types" if self.types is None else f"{self.types} event types"
        return f"{self.api_version}  {types}" if self.api_version else types


def handled_types() -> list[str]:
    """The snapshot event types that our endpoints receive."""
    return sorted(name for name, kind in CATALOGUE.types.items() if not kind.ignored)


class Endpoints:
    """Our endpoints, through the SDK. Raises the errors of `errors.py`."""

    def __init__(self, settings: Settings) -> None:
        if not settings.stripe_secret_key:
            raise BadConfiguration("Webhook endpoints need a key that may write them: set STRIPE_SECRET_KEY.")
        import stripe  # the SDK, which only the commands for endpoints need

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
        """Updates our endpoint with this URL, or creates it. Returns it."""
        check_url(url, "Stripe", "https://host/webhooks")
        for endpoint in self.ours():
            if endpoint.url == url and endpoint.api_version == self._version:
                self._call(self._service.update, endpoint.id, {"enabled_events": handled_types(), "disabled": False})
                return endpoint
        created = self._call(
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
        return _endpoint(created.to_dict())

    def ours(self) -> list[Endpoint]:
        """The endpoints that this project has created, and no others."""
        return [_endpoint(fields) for fields in self._all() if (fields.get("metadata") or {}).get("managed_by") == MARK]

    def delete(self, id_or_url: str) -> list[Endpoint]:
        """Deletes our endpoints with this id or URL, and returns them. Raises RequestRefused if there are none."""
        endpoints = [endpoint for endpoint in self.ours() if id_or_url in (endpoint.id, endpoint.url)]
        if not endpoints:
            raise RequestRefused(
                f"There is no endpoint of ours with the id or URL {shown(id_or_url)}: see `endpoint list`."
            )
        for endpoint in endpoints:
            self._call(self._service.delete, endpoint.id)
        return endpoints

    def _all(self) -> Iterator[dict[str, Any]]:
        after: dict[str, str] = {}
        while True:
            page = self._call(self._service.list, {"limit": 100, **after})
            yield from (item.to_dict() for item in page.data)
            if not page.has_more:
                return
            after = {"starting_after": page.data[-1].id}

    def _call(self, operation: Any, *arguments: Any) -> Any:
        from stripe import StripeError

        try:
            return operation(*arguments)
        except StripeError as error:
            raise _error_of(error, self._version) from None


def _endpoint(fields: Mapping[str, Any]) -> Endpoint:
    secret, types = fields.get("secret"), len(fields["enabled_events"])
    return Endpoint(fields["id"], fields["url"], fields["status"], fields.get("api_version"), types, secret)


def check_url(url: str, provider: str, example: str) -> None:
    """Raises BadConfiguration for a wrong address. The message repeats no part that can hold a secret."""
    with suppress(ValueError):  # from urlsplit or the port, for text that is not an address
        parts = urlsplit(url)
        is_whole = parts.hostname and parts.port != 0 and "@" not in parts.netloc and not parts.fragment
        if parts.scheme in ("http", "https") and is_whole:
            if parts.path.rstrip("/") == "":
                raise BadConfiguration(f"The address has no path. The sink receives webhooks at {example}.")
            return
    raise BadConfiguration(f"{shown(url)} is not an address that {provider} can send webhooks to: {example}.")


def _error_of(error: stripe.StripeError, version: str) -> ConnectorError:
    import stripe

    message = safe(error.user_message or "", [version])
    if isinstance(error, stripe.AuthenticationError | stripe.PermissionError):
        return AuthenticationFailed(
            f"Stripe does not let the key manage webhook endpoints: {message}", status=error.http_status
        )
    if isinstance(error, stripe.APIConnectionError):
        return Unreachable("Stripe could not be reached. See SOURCES__STRIPE__API_BASE and the network.")
    return RequestRefused(
        f"Stripe refused the request: {message}", status=error.http_status, request_id=error.request_id
    )
