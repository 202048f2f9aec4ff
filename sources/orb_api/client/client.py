"""The client of Orb's API: maps answers to errors and pages. Knows no table and no progress."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import orjson

from sources.errors import ConnectorError, Throttled
from sources.fetch.http.client import ApiClient, endpoint_of
from sources.fetch.limiter import Limiter
from sources.fetch.values import Object, Page, Reply, Request
from sources.orb_api.catalogue.lists import LIMITED, LISTS
from sources.orb_api.client.bodies import page_of, parse, single_page
from sources.orb_api.client.refusals import error_of
from sources.orb_api.client.settings import ClientSettings
from sources.provider import Account

PING = "/v1/ping"
WITHOUT_PAGES = {resource.path for resource in LISTS if resource.pagination == "single"}
LOWER = 0.1  # part of the rate of other reads
PATIENCE = 30.0  # seconds for a host that does not answer the first request: its address is probably wrong


class Client(ApiClient):
    """Reads pages and objects of Orb's API. `options` are those of `ApiClient`: clocks, sleep and chance."""

    def __init__(self, settings: ClientSettings, limiter: Limiter, **options: Any) -> None:
        super().__init__(settings, limiter, **options)
        self.settings = settings

    def error_of(self, request: Request, reply: Reply) -> ConnectorError:
        """See `ApiClient`."""
        return error_of(reply, self.settings.api_key)

    def throttle_reason(self, reply: Reply, error: Throttled) -> str:
        """Orb's limits are rates, and belong to the account: https://docs.withorb.com/api-reference/rate-limits."""
        return "global-rate"

    def write(self, method: str, path: str, fields: Mapping[str, Any] | None = None) -> Object:
        """The answer to a writing request, {} if it has no body. Never retried, because repeating may not be safe.

        Raises the errors of `errors.py`.
        """
        request = Request(path, (), endpoint_of(path), single=True)
        self.limiter.acquire(request.endpoint)
        try:
            reply = self._transport.send(method, path, body=None if fields is None else orjson.dumps(fields))
        finally:
            self.limiter.released(request.endpoint)
        if not 200 <= reply.status < 300:
            raise self.error_of(request, reply)
        return parse(reply) if reply.body else {}

    def parse(self, request: Request, reply: Reply) -> Page:
        """See `ApiClient`."""
        return single_page(reply) if request.single else page_of(reply, is_whole=request.path in WITHOUT_PAGES)


def limiter_of(account_rate: float) -> Limiter:
    """A limiter for a rate in requests a second; infinite for no limit.

    For all keys, the limit of credits and of the sums of events is a tenth of the rate:
    https://docs.withorb.com/api-reference/rate-limits
    """
    if math.isinf(account_rate):
        return Limiter(None, None)
    return Limiter(account_rate, None, rates=dict.fromkeys(LIMITED.values(), max(1.0, account_rate * LOWER)))


def read_account(client: Client, account_id: str | None) -> Account:
    """Checks the key with a request, whose answer's date is the end of the windows.

    Orb does not say which account a key belongs to, so `account_id` comes from the settings. Raises the client's
    errors.
    """
    answer = client.object(PING, patience=PATIENCE)
    return Account(account_id or "orb", answer.as_of, answer.requests)
