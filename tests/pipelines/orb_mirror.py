"""A simulated Orb account beside the tables that mirror it: loads, and how the two differ."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pipelines.check.account import check_account
from pipelines.check.report import CheckReport
from pipelines.commands.orb_report import orb_session
from pipelines.configuration.orb_settings import OrbSettings
from pipelines.loading.run import Order, Outcome, run
from pipelines.loading.session import open_database
from pipelines.sync.orb_api.lists import Loaded, load_lists
from pipelines.sync.orb_api.sync import OrbSync, Synced, What
from pipelines.warehouse.database import stored_columns
from simulator.orb import OrbSimulator
from simulator.orb.account import PRICES_OF_GROUPS
from sources.columns.coerce import canonical
from sources.columns.columns import Columns
from sources.columns.typed import object_of
from sources.json_text import escaped
from sources.orb_api.catalogue import CATALOGUE
from sources.orb_api.provider import ORB
from tests.databases import Database

TABLES = CATALOGUE.tables
TABLE_OF = {PRICES_OF_GROUPS: PRICES_OF_GROUPS}
"""Lists whose objects the account keeps in a table of their own."""
Object = dict[str, Any]
Key = tuple[str, ...]


@dataclass
class OrbMirror:
    """One simulated account and one database."""

    sim: OrbSimulator
    destination: Database
    changes: dict[str, Any] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)

    provider = ORB

    @property
    def settings(self) -> OrbSettings:
        """Settings that lead to both, without limits of pace."""
        where = "database_url" if self.destination.kind == "postgres" else "duckdb_path"
        given: dict[str, Any] = {
            "orb_api_key": self.sim.key,
            "api_base": self.sim.url,
            "destination": self.destination.kind,
            where: self.destination.address,
            "live_rate": float("inf"),
            "test_rate": float("inf"),
            "max_retries": 0,
            "max_clock_skew": float("inf"),
            "workers": 4,
        }
        return OrbSettings(**(given | self.changes))

    @property
    def environment(self) -> dict[str, str]:
        """The variables under which a script finds both."""
        return {
            **os.environ,
            **self.destination.environment,
            "ORB_API_KEY": self.sim.key,
            "SOURCES__ORB__API_BASE": self.sim.url,
            "SOURCES__ORB__TEST_RATE": "inf",
            "SOURCES__ORB__MAX_RETRIES": "0",
            "SOURCES__STRIPE__DESTINATION": self.destination.kind,
            **({"DUCKDB_PATH": self.destination.address} if self.destination.kind == "duckdb" else {}),
        }

    def pass_time(self, seconds: float) -> None:
        """Orb's clock moves on."""
        self.sim.clock.advance(seconds)

    def run(self, *names: str, **order: Any) -> Outcome:
        """A load, some seconds after whatever was made last."""
        self.pass_time(5)
        return run(self.settings, Order("orb_full", CATALOGUE.select(names), **order), ORB)

    def load(self, *names: str, **order: Any) -> Loaded:
        """A load as the command does it: also of rows that no list shows any more."""
        self.pass_time(5)
        given = Order("orb_full", CATALOGUE.select(names), **order)
        with orb_session(self.settings, "orb_full", {}) as session:
            loaded = load_lists(session, given, session.state)
            assert loaded.outcome.failed == []
            assert session.counts.rejected() == []
            return loaded

    def sync(self, what: What | None = None, budget: int | None = None) -> Synced:
        """A scheduled run, after the newest events have come of age; `requests` and `said` are then its own."""
        self.pass_time(90)
        self.sim.log.clear()
        self.said.clear()
        with orb_session(self.settings, "orb_sync", {}, clock=False, budget=budget) as session:
            synced = OrbSync(session, self.settings, self.said.append).run(what)
            assert synced.lists is None or synced.lists.outcome.failed == []
            assert session.counts.rejected() == []
            session.end("complete")
            return synced

    def check(self, *names: str, since: int = 0, until: int | None = None, **order: Any) -> CheckReport:
        """A consistency check, after the newest objects have come of age; `requests` are then its own."""
        self.pass_time(90)
        self.sim.log.clear()
        return check_account(self.settings, names, (since, until), provider=ORB, **order)

    @property
    def requests(self) -> int:
        """Requests of the last sync or check."""
        return len(self.sim.log)

    def rows(self, table: str) -> list[Object]:
        """Live rows, JSON as text."""
        with self.destination.asked() as query:
            columns = query(
                "select column_name, lower(data_type) from information_schema.columns"
                " where table_schema = 'orb' and table_name = ?",
                [table],
            )
            if not columns:
                return []
            shown = [f'cast("{name}" as text)' if kind in ("json", "jsonb") else f'"{name}"' for name, kind in columns]
            rows = query(f'select {", ".join(shown)} from orb."{table}" where _deleted_at is null')
            return [dict(zip([name for name, _ in columns], row, strict=True)) for row in rows]

    def differences(self, names: Sequence[str] = ()) -> list[str]:
        """Where live rows and the account differ, field by field; empty when they are equal."""
        columns, found = self._columns(), list[str]()
        for table, objects in self._expected(names).items():
            stored = {self._key(table, columns, row): row for row in self.rows(table)}
            found += [f"{table} {key} is missing" for key in objects.keys() - stored.keys()]
            found += [f"{table} {key} does not live" for key in stored.keys() - objects.keys()]
            for key in objects.keys() & stored.keys():
                should, does = comparable(table, objects[key], columns), object_of(table, stored[key], columns)
                differ = sorted(name for name in should.keys() | does.keys() if should.get(name) != does.get(name))
                if stored[key]["_account_id"] != self.settings.account_id:
                    differ.append("_account_id")
                found += [f"{table} {key} differs in {', '.join(differ)}"] if differ else []
        return found

    def _columns(self) -> Columns:
        database = open_database(self.settings)
        try:
            return Columns(CATALOGUE, stored_columns(database, "orb", "orb"))
        finally:
            database.close()

    def _key(self, table: str, columns: Columns, row: Object) -> Key:
        return tuple(key_text(row[name]) for name in TABLES[table].key)

    def _expected(self, names: Sequence[str]) -> dict[str, dict[Key, Object]]:
        """Objects by table and key of everything that these lists show, the objects inside others too."""
        expected: dict[str, dict[Key, Object]] = {}
        tables = self.sim.account.tables
        for name in dict.fromkeys(TABLE_OF.get(resource.name, resource.table) for resource in CATALOGUE.select(names)):
            table = "prices" if name == PRICES_OF_GROUPS else name
            for id, row in tables[name].items():
                shown, owner = self.sim.account.get(name, id), row.owner
                parent = owner.get(f"{(TABLES[table].parent or '').removesuffix('s')}_id", "")
                for each, key, obj in parts(table, shown, parent):
                    expected.setdefault(each, {})[key] = obj
        return expected


def parts(table: str, obj: Object, parent: str = "") -> Iterator[tuple[str, Key, Object]]:
    """An object without what fills tables of its own, and then these: table, key, object."""
    for embedded in TABLES[table].embedded:
        yield from ((embedded.table, (each["id"], obj["id"]), each) for each in obj.pop(embedded.field))
    for expanded in TABLES[table].expanded:
        yield from ((expanded.table, (each["id"],), each) for each in obj[expanded.field])
        obj[expanded.field] = [each["id"] for each in obj[expanded.field]]
    yield table, tuple(parent if name == "_parent_id" else key_text(obj[name]) for name in TABLES[table].key), obj


def key_text(value: object) -> str:
    """A part of a key, by which rows and objects are told from one another."""
    if isinstance(value, str) and "T" in value and value[:4].isdecimal():
        value = datetime.fromisoformat(value)
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else str(value)


def comparable(table: str, obj: Object, columns: Columns) -> Object:
    """An object as `object_of` gives it back."""
    kinds = columns.of(table)
    return {
        escaped(name): canonical(kinds.get(name, "json"), value, True)
        for name, value in obj.items()
        if value is not None
    }
