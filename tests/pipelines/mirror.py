"""Stripe's part of a mirror: a simulated Stripe account beside its tables."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from pipelines.configuration.settings import Settings
from pipelines.loading.run import run
from pipelines.loading.session import open_session
from pipelines.sync.objects import Loaded
from pipelines.sync.stripe_api.objects import load_objects
from pipelines.sync.stripe_api.settings import SyncSettings
from pipelines.sync.stripe_api.sync import Sync, SyncOutcome
from simulator import Simulator
from simulator.truth import Held, held, truth
from sources.columns.columns import Columns
from sources.provider import Provider
from sources.stripe_api.catalogue import select
from sources.stripe_api.provider import STRIPE
from tests.pipelines.account_mirror import START as START
from tests.pipelines.account_mirror import AccountMirror, Key, Object, Truth
from tests.pipelines.beginnings import Beginnings
from tests.sources.comparable import comparable

if TYPE_CHECKING:
    from simulator.account.account import Account


@dataclass
class Mirror(AccountMirror[Simulator]):
    """One simulated Stripe account and one database."""

    sync_settings: SyncSettings = field(default_factory=SyncSettings)
    beginnings: Beginnings | None = None

    provider: ClassVar[Provider] = STRIPE
    key_setting: ClassVar[str] = "stripe_secret_key"
    rates: ClassVar[tuple[str, ...]] = ("sandbox_rate", "live_rate", "endpoint_rate")

    @property
    def settings(self) -> Settings:
        """Settings that lead to both, without limits of pace."""
        return Settings(**self.given)

    @property
    def account_id(self) -> str:
        """The platform's account."""
        return self.sim.account.id

    def requests(self) -> int:
        """Requests that the simulator has answered since `forget_requests`."""
        return sum(self.sim.service.requests.values())

    def forget_requests(self) -> None:
        """Counts from zero."""
        self.sim.service.reset()

    def log_to(self, log: deque[Any]) -> None:
        """Has the simulator append every request to this log, before it is answered."""
        self.sim.service.log = log

    def load(self, *names: str) -> None:
        """The initial load; time passes before it, so that no event lies in the overlap before it."""
        self.pass_time(900)
        outcome = run(self.settings, self.order(*names), STRIPE)
        assert outcome.failed == []
        self.pass_time(120)

    def begin(self, *names: str, synced: bool = False) -> None:
        """The same as `load`, and with `synced` a `sync` after it, as a copy where this worker has done it before."""

        def load() -> None:
            self.load(*names)
            if synced:
                self.sync()

        if self.beginnings is None:
            load()
        else:
            self.beginnings.begin(self, (names, synced), load)

    def sync(self, *names: str, budget: int | None = None) -> SyncOutcome:
        """A scheduled run."""
        with open_session(self.settings, "stripe_sync", provider=STRIPE, budget=budget) as session:
            return Sync(session, self.sync_settings, names, warn=self.said.append).run()

    def read(self, *ids: str, kind: str | None = None, related: bool = False) -> list[Loaded]:
        """Single objects."""
        with self.session("stripe_object", scope="object") as session:
            return load_objects(session, ids, kind, related=related)

    def truth(self, names: Sequence[str]) -> Truth:
        """What has to be in the tables after the named lists were read; tables that have to be empty too."""
        return truth(self.sim.account, [resource.name for resource in select(names)])

    def unlisted(self, table: str) -> dict[Key, Held]:
        """The live objects of a table, also those that its lists do not show."""
        return _alive(self.sim.account, table)

    def comparable(self, table: str, obj: Object, columns: Columns) -> Object:
        """An object as `object_of` gives it back."""
        return comparable(table, obj, columns)

    def differences(
        self, names: Sequence[str] = (), account: Account | None = None, *, but: Collection[str] = ()
    ) -> list[str]:
        """As with every provider; the tables can have the rows of other accounts, of which one can be named."""
        account = account or self.sim.account
        chosen = truth(account, [resource.name for resource in select(names)])
        chosen = {table: objects for table, objects in chosen.items() if table not in but}
        return self._differences(chosen, lambda table: _alive(account, table), account.id, beside=True)

    def differences_in(self, tables: Iterable[str]) -> list[str]:
        """As `differences`, in these tables alone, of which all is expected that a list shows by default."""
        shown = {table: {each.key: each for each in held(self.sim.account, table)} for table in tables}
        return self._differences(shown, lambda table: {}, self.sim.account.id, beside=True)


def _alive(account: Account, table: str) -> dict[Key, Held]:
    return {each.key: each for each in held(account, table, hidden=True)}
