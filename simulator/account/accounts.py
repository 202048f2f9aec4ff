"""Founds the accounts: the platform's with its history, and those connected to it when they are first asked for."""

from __future__ import annotations

import atexit
import gc
import threading
from collections.abc import Callable, Collection, Hashable
from functools import cache

import orjson

from simulator.account.account import Account, State
from simulator.account.clock import Clock
from simulator.account.event_types import EventTypes
from simulator.account.ids import Ids
from simulator.api.routes import Routes
from simulator.content.bulk import add_bulk
from simulator.content.business import Maker, tell
from simulator.content.filler import fill, found_account
from simulator.content.shapes import Shapes
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
    """The model of the installed SDK, which Python's collector of garbage need not look through from now on."""
    made = Model()
    gc.collect()
    gc.freeze()
    atexit.register(gc.unfreeze)  # or DuckDB's module reports the frozen objects as leaks when the process ends
    return made


class Furnished:
    """The contents of the accounts that were last furnished in this process, so that the next one like it is a copy."""

    def __init__(self, most: int) -> None:
        self._most, self._lock = most, threading.Lock()
        self._states: dict[Hashable, State] = {}

    def get(self, which: Hashable) -> State | None:
        """The content of an account by what decides it."""
        with self._lock:
            state = self._states.pop(which, None)
            if state is not None:
                self._states[which] = state  # now the last used
            return state

    def put(self, which: Hashable, state: State) -> None:
        """Keeps a content, in place of the one that has not been asked for the longest."""
        with self._lock:
            self._states[which] = state
            if len(self._states) > self._most:
                del self._states[next(iter(self._states))]

    def clear(self) -> None:
        """Forgets them all."""
        with self._lock:
            self._states.clear()


FURNISHED = Furnished(most=8)


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
        """Gives a new account its content, which is the same for the same arguments at the same second."""
        now = account.clock.seconds()
        which = (account.id, seed, customers, since, now, account.livemode, orjson.dumps(own))
        if (state := FURNISHED.get(which)) is not None:
            account.become(state)
            return
        self._write(account, seed, customers, since, own)
        if account.clock.seconds() == now:
            FURNISHED.put(which, account.state())

    def _write(self, account: Account, seed: int, customers: int, since: int, own: dict[str, object] | None) -> None:
        shapes = model().shapes
        found_account(account, shapes, seed, since, own)
        tell(Maker(account, shapes, seed), customers, since)
        fill(account, shapes, seed, since, but=() if own is None else ("accounts", "external_accounts"))
