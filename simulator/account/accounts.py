"""Creates the accounts: the platform's with its history, and connected accounts when they are first requested."""

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
    """The SDK's model, shared by all simulators of a process: reading the SDK's source takes a second."""

    def __init__(self) -> None:
        self.sdk = Sdk()
        self.routes = Routes(self.sdk)
        self.shapes = Shapes(self.sdk)
        self.types = EventTypes(self.sdk)


@cache
def model() -> Model:
    """The model of the installed SDK, frozen so that Python's garbage collector does not scan it."""
    made = Model()
    gc.collect()
    gc.freeze()
    atexit.register(gc.unfreeze)  # otherwise DuckDB's module reports the frozen objects as leaks when the process ends
    return made


class Furnished:
    """A cache of account contents in this process, so that an account with the same arguments is a copy."""

    def __init__(self, most: int) -> None:
        self._most, self._lock = most, threading.Lock()
        self._states: dict[Hashable, State] = {}

    def get(self, which: Hashable) -> State | None:
        """The content of an account by the arguments that determine it; None if it is not cached."""
        with self._lock:
            state = self._states.pop(which, None)
            if state is not None:
                self._states[which] = state  # now the most recently used
            return state

    def put(self, which: Hashable, state: State) -> None:
        """Stores a content, and drops the least recently used one if the cache is full."""
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
    """The platform's account and its connected accounts, which /v1/accounts lists, each with a small business.

    `on_connected` is called with each connected account when it is created.
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
        """A connected account; None if the platform has no account with this id."""
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
        """Fills a new account. The content is the same for the same arguments at the same second."""
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
