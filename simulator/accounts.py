"""Founds the accounts: the platform's with its history, and those connected to it when they are first asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from functools import cache

import orjson

from simulator.account import Account
from simulator.bulk import add_bulk
from simulator.business import Maker, tell
from simulator.clock import Clock
from simulator.event_types import EventTypes
from simulator.filler import fill, found_account
from simulator.ids import Ids
from simulator.routes import Routes
from simulator.shapes import Shapes
from sources.stripe_api.generate.sdk import Sdk

HISTORY = 3 * 365 * 86400
CONNECTED_CUSTOMERS = 3
SAMPLE_CUSTOMERS = 80


class Model:
    """What the SDK's source says, the same for all simulators of a process: reading it takes a second."""

    def __init__(self) -> None:
        self.sdk = Sdk()
        self.routes = Routes(self.sdk)
        self.shapes = Shapes(self.sdk)
        self.types = EventTypes(self.sdk)


@cache
def model() -> Model:
    """The model of the installed SDK."""
    return Model()


class Accounts:
    """The platform's account and those connected to it: those that /v1/accounts lists, each with a small business.

    `on_connected` is called with each connected account when it is founded.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        seed: int,
        customers: int,
        bulk: int,
        livemode: bool,
        lacks: Collection[str],
    ) -> None:
        self._clock, self._seed, self._livemode, self._lacks = clock, seed, livemode, lacks
        self._lock = threading.Lock()
        self._connected: dict[str, Account] = {}
        self.on_connected: Callable[[Account], None] = lambda account: None
        since = clock.seconds() - HISTORY
        ids = Ids(seed)
        self.platform = self._account(ids.new("acct_", 16), ids)
        self._furnish(self.platform, seed, customers, since)
        if bulk:
            samples = self._account("acct_samples", Ids("samples"))
            tell(Maker(samples, model().shapes, seed), SAMPLE_CUSTOMERS, since)
            add_bulk(self.platform, samples, bulk, seed, since)

    def connected(self, id: str) -> Account | None:
        """A connected account, None where the platform has no account of this id."""
        with self._lock:
            if id not in self._connected:
                own = self.platform.get("accounts", id)
                if own is None or id == self.platform.id:
                    return None
                banks = self.platform.tables["external_accounts"].of(id).newest()
                own["external_accounts"] = [orjson.loads(row.own) for row in banks]
                account = self._account(id, Ids(f"{self._seed}/{id}"))
                self._furnish(account, self._seed, CONNECTED_CUSTOMERS, own["created"], own)
                self._connected[id] = account
                self.on_connected(account)
            return self._connected[id]

    def _account(self, id: str, ids: Ids) -> Account:
        of = model()
        version = of.sdk.api_version
        return Account(id, self._clock, ids, of.types, livemode=self._livemode, api_version=version, lacks=self._lacks)

    def _furnish(
        self, account: Account, seed: int, customers: int, since: int, own: dict[str, object] | None = None
    ) -> None:
        shapes = model().shapes
        found_account(account, shapes, seed, since, own)
        tell(Maker(account, shapes, seed), customers, since)
        fill(account, shapes, seed, since, but=() if own is None else ("accounts", "external_accounts"))
