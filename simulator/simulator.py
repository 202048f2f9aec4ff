"""The whole simulator: a platform's account behind a server in a thread.

with Simulator(seed=1, customers=50) as sim:
    urllib3.request("GET", sim.url + "/v1/customers", headers={"Authorization": f"Bearer {sim.key}"})
    sim.account.update("customers", "cus_1", {"name": "New"})
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from types import TracebackType
from typing import Any, Literal

from simulator.account.account import Account
from simulator.account.accounts import Accounts, model
from simulator.account.clock import Clock
from simulator.account.deliveries import StripeDeliveries
from simulator.account.objects import Object
from simulator.api.api import Api
from simulator.api.keys import Keys
from simulator.api.writes import Writes
from simulator.content.activity import Activity
from simulator.content.business import Maker
from simulator.http.control import Control
from simulator.http.faults import Faults
from simulator.http.limits import BUDGETS, Budget, Limits
from simulator.http.server_thread import ServerThread
from simulator.http.service import Service
from sources.stripe_api.catalogue import TABLES


class Simulator:
    """A Stripe account over HTTP on 127.0.0.1; a context manager that serves while it is entered.

    `customers` is the number of customers, `bulk` that of additional plain objects for benchmarks. `now` is when
    Stripe's clock starts and history ends (default: real time); with `running` False the clock stands still. `mode`
    ("live" or "test") decides the key and the endpoints that exist. `lacks` names products, resources or tables that
    the account lacks. `latency` is in seconds. `rate_limits` is "none", "live", "sandbox" or a Budget; `monotonic` is
    the clock for rate limits.
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
        livemode = mode == "live"
        self.port = port
        self.clock = Clock(now, running=running)
        self._accounts = Accounts(self.clock, seed=seed, customers=customers, bulk=bulk, livemode=livemode, lacks=lacks)
        self.account = self._accounts.platform
        self.keys = Keys(livemode, seed)
        self.key = self.keys.secret
        self.faults = Faults(seed)
        self.limits = Limits(BUDGETS[rate_limits] if isinstance(rate_limits, str) else rate_limits, monotonic)
        self.deliveries = StripeDeliveries(self.account, self.clock)
        self._accounts.on_connected = self.deliveries.follow
        self._maker = Maker(self.account, model().shapes, seed)
        writes = Writes(model().shapes.plain, self.deliveries)
        api = Api(model().routes, self.keys, self.account, self._accounts.connected, self.limits, writes)
        self.service = Service(api, self.faults, Control(self).answer, latency)
        self._server = ServerThread(self.service.respond, "stripe-simulator")

    @property
    def url(self) -> str:
        """The base URL, without a trailing slash."""
        return f"http://127.0.0.1:{self.port}"

    def connected(self, id: str) -> Account:
        """The state of a connected account. Raises KeyError if the platform has no account with this id."""
        account = self._accounts.connected(id)
        if account is None:
            raise KeyError(f"no account {id} is connected")
        return account

    def make(self, table: str, **given: Any) -> Object:
        """A new object for a table, which is not added to the account: the given fields, an id, and all other fields
        empty.
        """
        return self._maker.plain(TABLES[table].objects[0], self.clock.seconds(), **given)

    def maker(self, seed: int = 0) -> Maker:
        """Creates objects of a business in the account, for tests that need their own."""
        return Maker(self.account, model().shapes, seed)

    def activity(self, seed: int = 0) -> Activity:
        """Random changes of the account, step by step."""
        return Activity(self.account, Maker(self.account, model().shapes, seed), seed)

    def __enter__(self) -> Simulator:
        self.port = self._server.start(self.port)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.deliveries.stop()
        self._server.stop()
