"""Orb's sink for tests: behind a real HTTP server, beside a simulated account, its deliveries signed as Orb signs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import orjson
import urllib3

from pipelines.configuration.orb_settings import OrbSettings
from simulator.orb import OrbSimulator
from simulator.orb.deliveries import signed_headers
from sources.orb_api.provider import ORB
from sources.provider import Provider
from tests.webhook_sink.conftest import NOW, Served, begin, sink_settings
from webhook_sink.endpoints.providers import Served as Serving
from webhook_sink.http.server import server_of
from webhook_sink.sink import Sink

SECRET = "orb secret"
AT = "2027-01-15T08:00:00+00:00"  # the second NOW as Orb writes it


def orb_settings(postgres_url: str, sim: OrbSimulator | None = None) -> OrbSettings:
    """Settings for a test's database; without a simulated account there is no key."""
    inf = float("inf")
    settings = OrbSettings(destination="postgres", database_url=postgres_url, test_rate=inf, max_clock_skew=inf)
    return replace(settings, orb_api_key=sim.key, api_base=sim.url, max_retries=1) if sim else settings


def orb_event(type: str, *, id: str = "event1", at: str = AT, **fields: Any) -> dict[str, Any]:
    """An event as Orb sends it: `orb_event("invoice.issued", invoice={…})`."""
    return {"id": id, "type": type, "created_at": at, "properties": {}, **fields}


@dataclass
class OrbServed(Served):
    """Orb's sink behind uvicorn. `clock` is Orb's."""

    path: str = "/webhooks/orb"

    def post(self, body: bytes, header: str | None = None, **headers: str) -> urllib3.BaseHTTPResponse:
        """Sends a body, signed unless headers are given."""
        given = headers if header is not None or headers else signed_headers(body, [SECRET], self.clock())
        return self.http.request("POST", self.url + self.path, body=body, headers=given)

    def send(self, *events: dict[str, Any]) -> list[int]:
        """The statuses of signed events."""
        return [self.post(orjson.dumps(event)).status for event in events]


@contextmanager
def orb_servers(postgres_url: str) -> Iterator[Callable[..., OrbServed]]:
    """`start(sim=None, wait=True, provider=ORB, **options)` starts sinks, which end with the block."""
    with ExitStack() as running:

        def start(
            sim: OrbSimulator | None = None,
            *,
            wait: bool = True,
            provider: Provider = ORB,
            is_optional: bool = False,
            **options: Any,
        ) -> OrbServed:
            given = sink_settings(**{"orb_webhook_secret": SECRET} | options)
            clock = sim.clock.time if sim else lambda: float(NOW)
            settings = orb_settings(postgres_url, sim)
            sink = Sink(settings, given, provider=provider, takes_webhooks=True, is_optional=is_optional, clock=clock)
            port, loop = begin(
                server_of([Serving(sink, settings, given.orb_paths)], given), [sink] if wait else [], running
            )
            return OrbServed(sink, port, loop, clock)

        yield start
