"""The client of Stripe's API: maps answers to errors and pages. Knows no table and no progress.

It uses urllib3 instead of the SDK, because building the SDK's objects takes ten to a hundred times as long as parsing.
The API version is the SDK's.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import Any

from sources.errors import ConnectorError, Throttled
from sources.fetch.http.client import ApiClient
from sources.fetch.limiter import Limiter
from sources.fetch.values import Page, Reply, Request
from sources.stripe_api.client.bodies import page_of, single_page
from sources.stripe_api.client.refusals import error_of, throttle_reason
from sources.stripe_api.client.settings import ClientSettings


def _authorities() -> str:
    """The file of certificates inside the SDK's package. The SDK itself is not imported, because that is slow."""
    (sdk,) = find_spec("stripe").submodule_search_locations  # type: ignore[union-attr,misc]  # it is installed
    return os.path.join(sdk, "data", "ca-certificates.crt")


class Client(ApiClient):
    """Reads pages and objects of Stripe's API. `options` are those of `ApiClient`: clocks, sleep and chance."""

    def __init__(self, settings: ClientSettings, limiter: Limiter, **options: Any) -> None:
        super().__init__(settings, limiter, authorities=_authorities(), **options)
        self.settings = settings

    def error_of(self, request: Request, reply: Reply) -> ConnectorError:
        """See `ApiClient`."""
        sent = (self.settings.stripe_version, self.settings.stripe_account, self.settings.stripe_context)
        return error_of(reply, request.denied, sent)

    def throttle_reason(self, reply: Reply, error: Throttled) -> str | None:
        """See `ApiClient`."""
        return throttle_reason(reply, error.code)

    def parse(self, request: Request, reply: Reply) -> Page:
        """See `ApiClient`."""
        return single_page(reply) if request.single else page_of(reply)
