"""Orb's part of a mirror: a simulated Orb account beside its tables."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from pipelines.check.report import CheckReport
from pipelines.commands.orb_report import orb_session
from pipelines.configuration.orb_settings import OrbSettings
from pipelines.sync.orb_api.lists import Loaded, load_lists
from pipelines.sync.orb_api.sync import OrbSync, Synced, What
from simulator.orb import OrbSimulator
from simulator.orb.account import PRICES_OF_GROUPS
from simulator.truth import Held
from sources.orb_api.catalogue import CATALOGUE
from sources.orb_api.provider import ORB
from sources.provider import Provider
from tests.pipelines.account_mirror import AccountMirror, Key, Object, Truth, key_text

TABLES = CATALOGUE.tables
TABLE_OF = {PRICES_OF_GROUPS: PRICES_OF_GROUPS}
"""Lists whose objects the account keeps in a table of their own."""


@dataclass
class OrbMirror(AccountMirror[OrbSimulator]):
    """One simulated Orb account and one database."""

    provider: ClassVar[Provider] = ORB
    key_setting: ClassVar[str] = "orb_api_key"
    rates: ClassVar[tuple[str, ...]] = ("live_rate", "test_rate")

    @property
    def settings(self) -> OrbSettings:
        """Settings that lead to both, without limits of pace."""
        return OrbSettings(**self.given)

    @property
    def account_id(self) -> str:
        """What the settings call the account."""
        return self.settings.account_id

    def requests(self) -> int:
        """Requests since `forget_requests`: those of the last sync or check, both of which begin with it."""
        return len(self.sim.log)

    def forget_requests(self) -> None:
        """Counts from zero."""
        self.sim.log.clear()

    def log_to(self, log: deque[Any]) -> None:
        """Has the simulator append every request to this log, before it is answered."""
        self.sim.log = log

    def load(self, *names: str, **order: Any) -> Loaded:
        """A load as the command does it: also of rows that no list shows any more."""
        self.pass_time(5)
        with orb_session(self.settings, "orb_full", {}) as session:
            loaded = load_lists(session, self.order(*names, **order), session.state)
            assert loaded.outcome.failed == []
            assert session.counts.rejected() == []
            return loaded

    def sync(self, what: What | None = None, *, budget: int | None = None) -> Synced:
        """A scheduled run, after the newest events have come of age; requests and `said` are then its own."""
        self.pass_time(90)
        self.forget_requests()
        self.said.clear()
        with orb_session(self.settings, "orb_sync", {}, clock=False, budget=budget) as session:
            synced = OrbSync(session, self.settings, self.said.append).run(what)
            assert synced.lists is None or synced.lists.outcome.failed == []
            assert session.counts.rejected() == []
            session.end("complete")
            return synced

    def check(self, *names: str, since: int = 0, until: int | None = None, **order: Any) -> CheckReport:
        """A consistency check, after the newest objects have come of age; requests are then its own."""
        self.pass_time(90)
        self.forget_requests()
        return super().check(*names, since=since, until=until, **order)

    def unlisted(self, table: str) -> Mapping[Key, Held]:
        """The live objects of a table, also those that only lists of other objects show, such as a group's prices."""
        return self.truth(["all"]).get(table, {})

    def truth(self, names: Sequence[str]) -> Truth:
        """Objects by table and key of everything that these lists show, the objects inside others too."""
        expected: dict[str, dict[Key, Held]] = {}
        tables = self.sim.account.tables
        for name in dict.fromkeys(TABLE_OF.get(resource.name, resource.table) for resource in CATALOGUE.select(names)):
            table = "prices" if name == PRICES_OF_GROUPS else name
            for filled in (table, *(embedded.table for embedded in TABLES[table].embedded)):
                expected.setdefault(filled, {})
            for id, row in tables[name].items():
                shown, owner = self.sim.account.get(name, id), row.owner
                parent = owner.get(f"{(TABLES[table].parent or '').removesuffix('s')}_id")
                for filled, part in parts(table, shown, parent):
                    expected.setdefault(filled, {})[part.key] = part
        return expected


def parts(table: str, obj: Object, parent: str | None = None) -> Iterator[tuple[str, Held]]:
    """An object without what fills tables of its own, and then these, each with its table."""
    for embedded in TABLES[table].embedded:
        for child in obj.pop(embedded.field):
            yield embedded.table, Held((child["id"], obj["id"]), obj["id"], child)
    for expanded in TABLES[table].expanded:
        yield from ((expanded.table, Held((each["id"],), None, each)) for each in obj[expanded.field])
        obj[expanded.field] = [each["id"] for each in obj[expanded.field]]
    key = tuple(parent or "" if name == "_parent_id" else key_text(obj[name]) for name in TABLES[table].key)
    yield table, Held(key, parent, obj)
