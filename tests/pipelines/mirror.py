"""A simulated account beside the tables that mirror it: loads, syncs, checks, and how the two differ.

Commands run in process against the real simulator and the real database; Stripe's clock is the simulator's.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pipelines.check.check import Check, CheckOrder
from pipelines.check.report import CheckReport
from pipelines.configuration.settings import Settings
from pipelines.loading.run import Order, Outcome, run
from pipelines.loading.session import Session, open_database, open_session
from pipelines.sync.lists import loaded_resources
from pipelines.sync.objects import Loaded
from pipelines.sync.stripe_api.objects import load_objects
from pipelines.sync.stripe_api.settings import SyncSettings
from pipelines.sync.stripe_api.sync import Sync, SyncOutcome
from pipelines.warehouse.database import stored_columns
from simulator.truth import Held, held, truth
from sources.columns.coerce import VARIANT_MARK
from sources.columns.columns import OWN_COLUMNS, Columns
from sources.columns.typed import object_of
from sources.stripe_api.catalogue import CATALOGUE, TABLES, select
from sources.stripe_api.provider import STRIPE
from tests.databases import Database, Query
from tests.pipelines.beginnings import Beginnings
from tests.sources.comparable import comparable

if TYPE_CHECKING:
    from simulator import Simulator
    from simulator.account.account import Account

START = 1_760_000_000  # a second of October 2025


@dataclass
class Mirror:
    """One simulated account and one database."""

    sim: Simulator
    destination: Database
    sync_settings: SyncSettings = field(default_factory=SyncSettings)
    changes: dict[str, Any] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    beginnings: Beginnings | None = None

    provider = STRIPE

    @property
    def settings(self) -> Settings:
        """Settings that lead to both, without limits of pace."""
        where = "database_url" if self.destination.kind == "postgres" else "duckdb_path"
        given: dict[str, Any] = {
            "stripe_secret_key": self.sim.key,
            "api_base": self.sim.url,
            "destination": self.destination.kind,
            where: self.destination.address,
            "sandbox_rate": float("inf"),
            "live_rate": float("inf"),
            "endpoint_rate": float("inf"),
            "max_retries": 0,
            "max_clock_skew": float("inf"),
            "workers": 4,
        }
        return Settings(**(given | self.changes))

    @property
    def environment(self) -> dict[str, str]:
        """The variables under which a script finds both."""
        return {
            **os.environ,
            **self.destination.environment,
            "STRIPE_SECRET_KEY": self.sim.key,
            "SOURCES__STRIPE__API_BASE": self.sim.url,
            "SOURCES__STRIPE__DESTINATION": self.destination.kind,
            "SOURCES__STRIPE__SANDBOX_RATE": "inf",
            "SOURCES__STRIPE__ENDPOINT_RATE": "inf",
            "SOURCES__STRIPE__MAX_RETRIES": "0",
            **({"DUCKDB_PATH": self.destination.address} if self.destination.kind == "duckdb" else {}),
        }

    def requests(self) -> int:
        """Requests that the simulator has answered since `forget_requests`."""
        return sum(self.sim.service.requests.values())

    def forget_requests(self) -> None:
        """Counts from zero."""
        self.sim.service.reset()

    def pass_time(self, seconds: float) -> None:
        """Stripe's clock moves on."""
        self.sim.clock.advance(seconds)

    def run(self, *names: str, **order: Any) -> Outcome:
        """A load, some seconds after whatever was made last: what was created in this very second comes later."""
        self.pass_time(5)
        return run(self.settings, Order("stripe_full", select(names), **order), STRIPE)

    def load(self, *names: str) -> None:
        """The initial load; time passes before it, so that no event lies in the overlap before it."""
        self.pass_time(900)
        outcome = run(self.settings, Order("stripe_full", select(names)), STRIPE)
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

    def check(self, *names: str, **order: Any) -> CheckReport:
        """A consistency check."""
        with open_session(self.settings, "stripe_check", provider=STRIPE, budget=order.pop("budget", None)) as session:
            report = Check(session, CheckOrder(loaded_resources(session, names), **order)).run()
            session.end("complete")
            return report

    def read(self, *ids: str, kind: str | None = None, related: bool = False) -> list[Loaded]:
        """Single objects."""
        with self.session("stripe_object", scope="object") as session:
            return load_objects(session, ids, kind, related=related)

    @contextmanager
    def session(self, command: str, scope: str = "", budget: int | None = None) -> Iterator[Session]:
        """An open session."""
        with open_session(self.settings, command, provider=STRIPE, scope=scope, budget=budget) as session:
            yield session

    def row(self, table: str, id: str) -> dict[str, Any]:
        """One stored row, JSON as text; fails where there is none."""
        (found,) = [row for row in self.rows(table) if row["id"] == id]
        return found

    def rows(self, table: str, *, live: bool = False) -> list[dict[str, Any]]:
        """Stored rows of all accounts, JSON as text."""
        with self.destination.asked() as query:
            known = _kinds(query, table).get(table)
            return _rows(query, table, known, "_deleted_at is null" if live else "true") if known else []

    def differences(self, names: Sequence[str] = (), account: Account | None = None) -> list[str]:
        """Where an account's live rows and the account differ, field by field; empty when they are equal.

        Live rows that no list shows have to be alive in the account, and equal to it.
        """
        account = account or self.sim.account
        columns = self._columns()
        found: list[str] = []
        with self.destination.asked() as query:
            kinds = _kinds(query)
            expected = truth(account, [resource.name for resource in select(names)])
            filled = _filled(query, expected.keys() & kinds.keys())
            for table, objects in expected.items():
                where = "_deleted_at is null and _account_id = ?"
                rows = _rows(query, table, kinds[table], where, account.id) if table in filled else []
                stored = {self._key(table, row): row for row in rows}
                if not objects and not stored:
                    continue
                alive = {each.key: each for each in held(account, table, hidden=True)}
                found += [f"{table} {key} is missing" for key in objects.keys() - stored.keys()]
                for key, row in stored.items():
                    one = objects.get(key) or alive.get(key)
                    found += (
                        [f"{table} {key} does not live"] if one is None else self._compare(table, row, one, columns)
                    )
        return found

    def _compare(self, table: str, row: dict[str, Any], one: Held, columns: Columns) -> list[str]:
        kinds = columns.of(table)
        kept = {
            name: value for name, value in row.items() if name in kinds or name in OWN_COLUMNS or VARIANT_MARK in name
        }
        same = _digest(table, kinds, {name: kept[name] for name in kept.keys() - NOT_COMPARED}, one)
        if same in EQUAL:
            return []
        should, does = comparable(table, one.object, columns), object_of(table, kept, columns)
        names = {name for name in should.keys() | does.keys() if should.get(name) != does.get(name)}
        if one.parent is not None and row.get("_parent_id") not in (None, one.parent):
            names.add("_parent_id")
        if not names:
            EQUAL.add(same)
        return [f"{table} {one.key} differs in {', '.join(sorted(names))}"] if names else []

    def _columns(self) -> Columns:
        database = open_database(self.settings)
        try:
            return Columns(CATALOGUE, stored_columns(database, "stripe", "stripe"))
        finally:
            database.close()

    def _key(self, table: str, row: dict[str, Any]) -> tuple[str, ...]:
        return tuple(_text(row[name]) for name in TABLES[table].key)


NOT_COMPARED = {"_as_of", "_synced_at", "_source"}
EQUAL: set[bytes] = set()
"""Digests of rows and objects that were compared and equal: most tests begin with rows that earlier ones have compared,
and rebuilding an object from its row takes a hundred times as long as a digest.
"""


def _digest(table: str, kinds: Mapping[str, str], row: Mapping[str, Any], one: Held) -> bytes:
    """Of everything that a comparison sees."""
    seen = repr((table, sorted(kinds.items()), sorted(row.items()), one.parent, one.object))
    return hashlib.blake2b(seen.encode(errors="surrogatepass"), digest_size=16).digest()


def _kinds(query: Query, *tables: str) -> dict[str, dict[str, str]]:
    """The type of each column, by table: of these tables or, in one question, of all."""
    where = "table_schema = 'stripe'" + " and table_name = ?" * len(tables)
    kinds: dict[str, dict[str, str]] = {}
    asked = f"select table_name, column_name, data_type from information_schema.columns where {where}"
    for table, column, kind in query(asked, tables):
        kinds.setdefault(table, {})[column] = kind.lower()
    return kinds


def _filled(query: Query, tables: Iterable[str]) -> set[str]:
    """Which of these tables have rows, in one question: most have none, and each question takes 10 ms in DuckDB."""
    each = (f"select '{table}' where exists (select 1 from stripe.\"{table}\")" for table in tables)
    statement = " union all ".join(each)
    return {table for (table,) in query(statement)} if statement else set()


def _rows(query: Query, table: str, kinds: Mapping[str, str], where: str, *parameters: Any) -> list[dict[str, Any]]:
    """Rows of a table, whose columns are of these types. JSON comes as text."""
    selected = [f'cast("{name}" as text)' if kind in ("json", "jsonb") else f'"{name}"' for name, kind in kinds.items()]
    rows = query(f'select {", ".join(selected)} from stripe."{table}" where {where}', parameters)
    return [dict(zip(kinds, row, strict=True)) for row in rows]


def _text(value: Any) -> str:
    return str(int(value.timestamp())) if hasattr(value, "timestamp") else str(value)
