"""The whole simulator: a platform's account behind a server in a thread.

with Simulator(seed=1, customers=50) as sim:
    urllib3.request("GET", sim.url + "/v1/customers", headers={"Authorization": f"Bearer {sim.key}"})
    sim.account.update("customers", "cus_1", {"name": "New"})
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Collection
from functools import cache
from types import TracebackType
from typing import Literal

from simulator.account import Account
from simulator.api import Api
from simulator.bulk import add_bulk
from simulator.business import Maker, tell
from simulator.clock import Clock
from simulator.control import Control
from simulator.event_types import EventTypes
from simulator.faults import Faults
from simulator.filler import fill, found_account
from simulator.ids import Ids
from simulator.keys import Keys
from simulator.limits import BUDGETS, Budget, Limits
from simulator.routes import Routes
from simulator.server import Connection
from simulator.service import Service
from simulator.shapes import Shapes
from sources.stripe_api.sdk import Sdk

YEARS_BACK = 3 * 365 * 86400


class Simulator:
    """A Stripe account over HTTP on 127.0.0.1; a context manager that serves while it is entered.

    `customers` sizes the business, `bulk` adds that many plain objects for benchmarks. `now` is where Stripe's clock
    starts and history ends (default: real time); `running` False holds it there. `mode` decides the key and what only
    the other mode has. `lacks` names products, resources or tables that the account lacks. `latency` is in seconds.
    """

    def __init__(
        self,
        *,
        seed: int = 1,
        customers: int = 50,
        bulk: int = 0,
        port: int = 0,
        mode: Literal["test", "live"] = "test",
        latency: float = 0.0,
        rate_limits: str | Budget = "none",
        lacks: Collection[str] = (),
        now: float | None = None,
        running: bool = True,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        sdk, routes, shapes, types = _model()
        self.port = port
        self.clock = Clock(now, running=running)
        livemode = mode == "live"
        ids = Ids(seed)
        self.account = Account(
            ids.new("acct_", 16),
            self.clock,
            ids,
            types,
            livemode=livemode,
            api_version=sdk.api_version,
            lacks=lacks,
        )
        self.keys = Keys(livemode, seed)
        self.key = self.keys.secret
        self.faults = Faults(seed)
        budget = BUDGETS[rate_limits] if isinstance(rate_limits, str) else rate_limits
        self.limits = Limits(budget, monotonic)
        self.api = Api(routes, self.keys, self.account, self.limits)
        self.service = Service(self.api, self.faults, Control(self).answer, latency)
        found_account(self.account, shapes, seed, self.clock.seconds() - YEARS_BACK)
        since = self.clock.seconds() - YEARS_BACK
        tell(Maker(self.account, shapes, seed), customers, since)
        fill(self.account, shapes, seed, self.clock.seconds() - YEARS_BACK)
        if bulk:
            samples = Account(
                "acct_samples", self.clock, Ids("samples"), types, livemode=livemode, api_version=sdk.api_version
            )
            tell(Maker(samples, shapes, seed), 80, since)
            add_bulk(self.account, samples, bulk, seed, since)
        self._loop = _event_loop()
        self._connections: set[Connection] = set()
        self._thread: threading.Thread | None = None
        self._stop: asyncio.Event | None = None

    @property
    def url(self) -> str:
        """Where it listens, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Simulator:
        started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(started,), name="stripe-simulator", daemon=True)
        self._thread.start()
        started.wait()
        if self._stop is None:
            raise OSError(f"the simulator cannot listen on 127.0.0.1:{self.port}: choose another port")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()
            self._thread = None

    def _run(self, started: threading.Event) -> None:
        try:
            self._loop.run_until_complete(self._serve(started))
        finally:
            started.set()
            self._loop.close()

    async def _serve(self, started: threading.Event) -> None:
        loop = asyncio.get_running_loop()
        try:
            server = await loop.create_server(self._connection, "127.0.0.1", self.port, backlog=1024)
        except OSError:
            return
        self.port = server.sockets[0].getsockname()[1]
        self._stop = asyncio.Event()
        started.set()
        await self._stop.wait()
        server.close()
        for connection in list(self._connections):
            connection.close()

    def _connection(self) -> Connection:
        return Connection(self.service.respond, self._connections)


def _event_loop() -> asyncio.AbstractEventLoop:
    """uvloop's, where it is installed (it is not made for every platform)."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


@cache
def _model() -> tuple[Sdk, Routes, Shapes, EventTypes]:
    """What is the same for all simulators of a process: it takes a second to read out of the SDK's source."""
    sdk = Sdk()
    return sdk, Routes(sdk), Shapes(sdk), EventTypes(sdk)
