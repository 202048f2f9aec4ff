"""The client of Orb's API: its errors and its pages. Knows no table and no progress."""

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
LOWER = 0.1  # of the rate of other reads
PATIENCE = 30.0  # seconds for a host that does not answer the very first request: its address is likely to be wrong


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
        """The answer to a writing request, {} if it has no body. Sent only once, because repeating may not be safe.

        Raises the tree of `errors.py`.
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
    """A limiter for a rate in requests a second, infinite for none.

    Live, test and trial keys alike may send a tenth of that to the credits and to the sums of events:
    https://docs.withorb.com/api-reference/rate-limits
    """
    if math.isinf(account_rate):
        return Limiter(None, None)
    return Limiter(account_rate, None, rates=dict.fromkeys(LIMITED.values(), max(1.0, account_rate * LOWER)))


def read_account(client: Client, account_id: str | None) -> Account:
    """Asks whether the key is right; the answer's date is the clock that windows end by.

    Orb tells nobody which account a key belongs to: the settings say what its rows are stored under. Raises what the
    client raises.
    """
    answer = client.object(PING, patience=PATIENCE)
    return Account(account_id or "orb", answer.as_of, answer.requests)
