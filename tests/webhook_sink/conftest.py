"""Sinks for tests: one inside the test's own event loop, and one behind a real HTTP server in a thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
import psycopg
import pytest
import urllib3

from pipelines.configuration.settings import CommonSettings, Settings
from simulator import Simulator
from simulator.account.deliveries import signature
from sources.provider import Provider
from sources.stripe_api.provider import STRIPE
from tests.conftest import new_database
from webhook_sink.endpoints.providers import Served as Serving
from webhook_sink.http.server import server_of
from webhook_sink.settings import SinkSettings
from webhook_sink.sink import Sink

SECRET = "whsec_of_tests"
ACCOUNT = "acct_tests"
NOW = 1_800_000_000  # the second that signatures of tests are made in


def settings_for(postgres_url: str, sim: Simulator | None = None) -> Settings:
    """Settings of the batch path for a test's database, and for a simulated account where there is one."""
    inf = float("inf")
    base = Settings(
        destination="postgres",
        database_url=postgres_url,
        live_rate=inf,
        sandbox_rate=inf,
        endpoint_rate=inf,
        max_clock_skew=inf,
    )
    if sim is None:
        return replace(base, account_id=ACCOUNT)
    return replace(base, stripe_secret_key=sim.key, api_base=sim.url, rate_limit_share=1.0, max_retries=1)


def event(
    type: str,
    obj: dict[str, Any],
    *,
    id: str = "evt_1",
    created: int = NOW,
    api_version: str | None = None,
    **more: Any,
) -> dict[str, Any]:
    """A snapshot event as Stripe sends it, in the project's API version unless it says otherwise."""
    from sources.stripe_api.catalogue.fields import api_version as project

    shown = {"id": id, "object": "event", "type": type, "created": created, "livemode": False, "data": {"object": obj}}
    return shown | {"api_version": api_version or project()} | more


@dataclass
class Stored:
    """Questions to the test's database, through a connection of its own."""

    url: str

    def query(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(sql, parameters or None)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    def value(self, sql: str, *parameters: Any) -> Any:
        (row,) = self.query(sql, *parameters)
        return row[0]

    def ledger(self, id: str = "evt_1") -> tuple[Any, ...]:
        (row,) = self.query("select status, attempts, error from stripe.stripe_webhook_events where id = %s", id)
        return row


@pytest.fixture
def stored(postgres_url: str) -> Stored:
    return Stored(postgres_url)


Body = Callable[[Sink], Coroutine[Any, Any, Any]]


@pytest.fixture
def with_sink(postgres_url: str) -> Callable[..., Any]:
    """`with_sink(body, sim=None, **options)`: runs `await body(sink)` with a sink that is ready, and stops it.

    With `settings`, those are its own, and the sink is that of another provider.
    """

    def run(
        body: Body,
        sim: Simulator | None = None,
        settings: CommonSettings | None = None,
        provider: Provider = STRIPE,
        **options: Any,
    ) -> Any:
        async def main() -> Any:
            sink = Sink(settings or settings_for(postgres_url, sim), sink_settings(**options), provider=provider)
            sink.start()
            try:
                await sink.opened()
                return await body(sink)
            finally:
                await sink.stop()

        return asyncio.run(main())

    return run


def sink_settings(**options: Any) -> SinkSettings:
    return SinkSettings(**{"webhook_secret": SECRET, "reread_delay": 0.0, "port": 0} | options)


async def deliver(sink: Sink, *events: dict[str, Any]) -> list[str]:
    """Submits events at once, so that they share a batch; their outcomes."""
    read_event = sink.provider.read_event
    entries = [sink.submit(read_event(orjson.dumps(each))) for each in events]
    return list(await asyncio.gather(*entries))


async def read_again(sink: Sink) -> None:
    """Reads again all that waits for it, however often that takes, until the sink's own reading has ended too."""
    name = sink.provider.name
    waiting = f"select count(*) from {name}.{name}_webhook_rereads".encode()
    while True:
        await sink.rereader.read_due()
        async with sink.pool.connection() as connection:
            (left,) = await (await connection.execute(waiting)).fetchone()
        if not left:
            return
        await asyncio.sleep(0.01)


@dataclass
class Served:
    """A sink behind uvicorn on a free port of this machine."""

    sink: Sink
    port: int
    loop: asyncio.AbstractEventLoop
    clock: Callable[[], float]
    http: urllib3.PoolManager = field(
        default_factory=lambda: urllib3.PoolManager(maxsize=64, retries=False, timeout=30)
    )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def post(self, body: bytes, header: str | None = None, **headers: str) -> urllib3.BaseHTTPResponse:
        signed = signature(body, [SECRET], int(self.clock())) if header is None else header
        return self.http.request(
            "POST", f"{self.url}/webhooks", body=body, headers={"Stripe-Signature": signed, **headers}
        )

    def send(self, *events: dict[str, Any]) -> list[int]:
        return [self.post(orjson.dumps(each)).status for each in events]

    def deliver(self, *events: dict[str, Any]) -> None:
        """Commits events in one batch."""
        outcomes = asyncio.run_coroutine_threadsafe(deliver(self.sink, *events), self.loop).result(60)
        assert set(outcomes) == {"committed"}

    def read_again(self) -> None:
        """Reads again all that is due, however often that takes."""
        asyncio.run_coroutine_threadsafe(read_again(self.sink), self.loop).result(60)

    def get(self, path: str, **headers: str) -> urllib3.BaseHTTPResponse:
        return self.http.request("GET", self.url + path, headers=headers)


@pytest.fixture
def serve(postgres_url: str) -> Iterator[Callable[..., Served]]:
    """`serve(sim=None, **options)`: a sink behind HTTP, ready; its clock stands at NOW."""
    with servers(postgres_url) as start:
        yield start


@pytest.fixture(scope="module")
def refusing(postgres_server: str) -> Iterator[Served]:
    """A sink for all tests of a module that send it only what it refuses: at the end its ledger is still empty."""
    with new_database(postgres_server) as url, servers(url) as start:
        yield start()
        assert Stored(url).value("select count(*) from stripe.stripe_webhook_events") == 0


@contextmanager
def servers(postgres_url: str) -> Iterator[Callable[..., Served]]:
    """What `serve` does, for a database; all sinks end with the block."""
    with ExitStack() as running:

        def start(
            sim: Simulator | None = None,
            *,
            url: str | None = None,
            account: str | None = None,
            authority: str | None = None,
            wait: bool = True,
            **options: Any,
        ) -> Served:
            given = sink_settings(**options)
            clock = sim.clock.time if sim else lambda: float(NOW)
            settings = settings_for(url or postgres_url, sim)
            settings = replace(settings, stripe_account=account, database_ca=authority)
            sink = Sink(settings, given, provider=STRIPE, clock=clock)
            server = server_of([Serving(sink, settings, given.paths)], given)
            port, loop = begin(server, [sink] if wait else [], running)
            return Served(sink, port, loop, clock)

        yield start


def begin(server: Any, awaited: Sequence[Sink], running: ExitStack) -> tuple[int, asyncio.AbstractEventLoop]:
    """Runs a server in a thread until `running` ends; its port and its event loop, when these sinks are ready."""
    started = threading.Event()
    port: list[int] = []
    loops: list[asyncio.AbstractEventLoop] = []

    async def main() -> None:
        loops.append(asyncio.get_running_loop())
        serving = asyncio.create_task(server.serve())
        while not server.started and not serving.done():
            await asyncio.sleep(0.005)
        port.append(server.servers[0].sockets[0].getsockname()[1])
        for sink in awaited:
            await sink.opened()
        started.set()
        await serving

    thread = threading.Thread(target=lambda: asyncio.run(main()), name="sink", daemon=True)
    thread.start()
    assert started.wait(30)
    running.callback(thread.join)
    running.callback(lambda: setattr(server, "should_exit", True))
    return port[0], loops[0]
