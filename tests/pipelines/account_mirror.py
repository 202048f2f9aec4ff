"""A simulated account beside the tables that mirror it: loads, syncs, checks, and how the two differ.

What holds for every provider is here. A provider adds a class with its simulator, its commands and its truth:
`mirror.Mirror` is Stripe's, `orb_mirror.OrbMirror` Orb's. Commands run in process against the real simulator and the
real database; the provider's clock is the simulator's.
"""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from pipelines.check.account import check_account
from pipelines.check.report import CheckReport
from pipelines.configuration.settings import CommonSettings
from pipelines.loading.run import Order, Outcome, run
from pipelines.loading.session import Session, open_database, open_session
from pipelines.warehouse.database import stored_columns
from simulator.account.clock import Clock
from simulator.http.faults import Faults
from simulator.truth import Held
from sources.columns.coerce import VARIANT_MARK
from sources.columns.columns import OWN_COLUMNS, Columns
from sources.columns.typed import object_of
from sources.provider import Provider
from tests.databases import Database, Query
from tests.sources.comparable import as_returned

START = 1_760_000_000  # a second of October 2025
Object = dict[str, Any]
Key = tuple[str, ...]
Truth = Mapping[str, Mapping[Key, Held]]
"""By table and key, what a reader of some lists must end up with."""


class Simulated(Protocol):
    """What the simulators of all providers have."""

    key: str
    clock: Clock
    faults: Faults

    @property
    def url(self) -> str: ...


Sim = TypeVar("Sim", bound=Simulated)


@dataclass
class AccountMirror(ABC, Generic[Sim]):
    """One simulated account and one database."""

    sim: Sim
    destination: Database
    changes: dict[str, Any] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)

    provider: ClassVar[Provider]
    key_setting: ClassVar[str]
    rates: ClassVar[tuple[str, ...]]
    """The settings of pace, which no test waits for."""

    # --- what a provider adds -----------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def settings(self) -> CommonSettings:
        """The provider's settings, made of `given`."""

    @property
    @abstractmethod
    def account_id(self) -> str:
        """What `_account_id` is in the rows of the account."""

    @abstractmethod
    def load(self, *names: str) -> object:
        """The initial load; fails where a list does."""

    @abstractmethod
    def sync(self, *, budget: int | None = None) -> object:
        """A scheduled run."""

    @abstractmethod
    def truth(self, names: Sequence[str]) -> Truth:
        """What has to be in the tables after the named lists were read; tables that have to be empty too."""

    @abstractmethod
    def requests(self) -> int:
        """Requests that the simulator has answered since `forget_requests`."""

    @abstractmethod
    def forget_requests(self) -> None:
        """Counts from zero."""

    @abstractmethod
    def log_to(self, log: deque[Any]) -> None:
        """Has the simulator append every request to this log, before it is answered."""

    @abstractmethod
    def unlisted(self, table: str) -> Mapping[Key, Held]:
        """The live objects of a table, also those that its lists do not show."""

    def comparable(self, table: str, obj: Object, columns: Columns) -> Object:
        """An object as `object_of` gives it back."""
        return as_returned(table, obj, columns)

    # --- what holds for all -------------------------------------------------------------------------------------------

    @property
    def given(self) -> dict[str, Any]:
        """Settings that lead to both, without limits of pace."""
        where = "database_url" if self.destination.kind == "postgres" else "duckdb_path"
        return {
            self.key_setting: self.sim.key,
            "api_base": self.sim.url,
            "destination": self.destination.kind,
            where: self.destination.address,
            **dict.fromkeys(self.rates, float("inf")),
            "max_retries": 0,
            "max_clock_skew": float("inf"),
            "workers": 4,
        } | self.changes

    @property
    def environment(self) -> dict[str, str]:
        """The variables under which a script finds both."""
        told = {"destination": self.destination.kind, "max_retries": "0", **dict.fromkeys(self.rates, "inf")}
        return {
            **os.environ,
            **self.destination.environment,
            self.settings.key_variable: self.sim.key,
            self.variable("api_base"): self.sim.url,
            **{self.variable(name): value for name, value in told.items()},
            **({"DUCKDB_PATH": self.destination.address} if self.destination.kind == "duckdb" else {}),
        }

    def variable(self, setting: str) -> str:
        """The environment variable of a setting."""
        return f"SOURCES__{self.provider.name}__{setting}".upper()

    def pass_time(self, seconds: float) -> None:
        """The provider's clock moves on."""
        self.sim.clock.advance(seconds)

    def run(self, *names: str, **order: Any) -> Outcome:
        """A load, some seconds after whatever was made last: what was created in this very second comes later."""
        self.pass_time(5)
        return run(self.settings, self.order(*names, **order), self.provider)

    def order(self, *names: str, **order: Any) -> Order:
        """An order of a full load."""
        return Order(f"{self.provider.name}_full", self.provider.catalogue.select(names), **order)

    def check(self, *names: str, since: int = 0, until: int | None = None, **order: Any) -> CheckReport:
        """A consistency check."""
        return check_account(self.settings, names, (since, until), provider=self.provider, **order)

    @contextmanager
    def session(self, command: str, scope: str = "", budget: int | None = None) -> Iterator[Session]:
        """An open session."""
        with open_session(self.settings, command, provider=self.provider, scope=scope, budget=budget) as session:
            yield session

    def row(self, table: str, id: str) -> Object:
        """One stored row, JSON as text; fails where there is none."""
        (found,) = [row for row in self.rows(table) if row["id"] == id]
        return found

    def rows(self, table: str, *, live: bool = False) -> list[Object]:
        """Stored rows of all accounts, JSON as text."""
        with self.destination.asked() as query:
            known = self._kinds(query, table).get(table)
            return self._rows(query, table, known, "_deleted_at is null" if live else "true") if known else []

    def statuses(self) -> dict[str, str]:
        """What `sync_status` says of each list."""
        return dict(self.destination.query(f"select resource, status from {self.settings.dataset}.sync_status"))

    def differences(self, names: Sequence[str] = (), *, but: Collection[str] = ()) -> list[str]:
        """Where live rows and the account differ, field by field; empty when they are equal.

        Live rows that no list shows have to be alive in the account, and equal to it. The tables `but` are left out.
        """
        truth = {table: objects for table, objects in self.truth(names).items() if table not in but}
        return self._differences(truth, self.unlisted, self.account_id)

    def _differences(
        self, truth: Truth, unlisted: Callable[[str], Mapping[Key, Held]], account: str, *, beside: bool = False
    ) -> list[str]:
        """Compares the rows of an account; without `beside`, no other account can have rows in these tables."""
        columns, found = self._columns(), list[str]()
        where, parameters = (
            ("_deleted_at is null and _account_id = ?", (account,)) if beside else ("_deleted_at is null", ())
        )
        with self.destination.asked() as query:
            kinds = self._kinds(query)
            filled = self._filled(query, truth.keys() & kinds.keys())
            for table, objects in truth.items():
                rows = self._rows(query, table, kinds[table], where, *parameters) if table in filled else []
                stored = {self._key(table, row): row for row in rows}
                if not objects and not stored:
                    continue
                alive = unlisted(table) if stored.keys() - objects.keys() else {}
                found += [f"{table} {key} is missing" for key in objects.keys() - stored.keys()]
                for key, row in stored.items():
                    one = objects.get(key) or alive.get(key)
                    if one is None:
                        found.append(f"{table} {key} does not live")
                    else:
                        found += self._compare(table, row, one, columns, account)
        return found

    def _compare(self, table: str, row: Object, one: Held, columns: Columns, account: str) -> list[str]:
        kinds = columns.of(table)
        kept = {
            name: value for name, value in row.items() if name in kinds or name in OWN_COLUMNS or VARIANT_MARK in name
        }
        same = _digest(table, kinds, {name: kept[name] for name in kept.keys() - NOT_COMPARED}, one, account)
        if same in EQUAL:
            return []
        should, does = self.comparable(table, one.object, columns), object_of(table, kept, columns)
        names = {name for name in should.keys() | does.keys() if should.get(name) != does.get(name)}
        if one.parent is not None and row.get("_parent_id") not in (None, one.parent):
            names.add("_parent_id")
        if row["_account_id"] != account:
            names.add("_account_id")
        if not names:
            EQUAL.add(same)
        return [f"{table} {one.key} differs in {', '.join(sorted(names))}"] if names else []

    def _columns(self) -> Columns:
        database = open_database(self.settings)
        try:
            return Columns(self.provider.catalogue, stored_columns(database, self.settings.dataset, self.provider.name))
        finally:
            database.close()

    def _key(self, table: str, row: Object) -> Key:
        described = self.provider.catalogue.tables[table]
        return tuple(_text(row[name], described.moments == "iso") for name in described.key)

    def _kinds(self, query: Query, *tables: str) -> dict[str, dict[str, str]]:
        """The type of each column, by table: of these tables or, in one question, of all."""
        where = "table_schema = ?" + " and table_name = ?" * len(tables)
        kinds: dict[str, dict[str, str]] = {}
        asked = f"select table_name, column_name, data_type from information_schema.columns where {where}"
        for table, column, kind in query(asked, (self.settings.dataset, *tables)):
            kinds.setdefault(table, {})[column] = kind.lower()
        return kinds

    def _filled(self, query: Query, tables: Iterable[str]) -> set[str]:
        """Which of these tables have rows, in one question: most have none, and each question takes 10 ms in DuckDB."""
        dataset = self.settings.dataset
        each = (f"select '{table}' where exists (select 1 from {dataset}.\"{table}\")" for table in tables)
        statement = " union all ".join(each)
        return {table for (table,) in query(statement)} if statement else set()

    def _rows(self, query: Query, table: str, kinds: Mapping[str, str], where: str, *parameters: Any) -> list[Object]:
        """Rows of a table, whose columns are of these types. JSON comes as text."""
        selected = [
            f'cast("{name}" as text)' if kind in ("json", "jsonb") else f'"{name}"' for name, kind in kinds.items()
        ]
        rows = query(f'select {", ".join(selected)} from {self.settings.dataset}."{table}" where {where}', parameters)
        return [dict(zip(kinds, row, strict=True)) for row in rows]


NOT_COMPARED = {"_as_of", "_synced_at", "_source"}
EQUAL: set[bytes] = set()
"""Digests of rows and objects that were compared and equal: most tests begin with rows that earlier ones have compared,
and rebuilding an object from its row takes a hundred times as long as a digest.
"""


def _digest(table: str, kinds: Mapping[str, str], row: Mapping[str, Any], one: Held, account: str) -> bytes:
    """Of everything that a comparison sees."""
    seen = repr((table, sorted(kinds.items()), sorted(row.items()), one.parent, one.object, account))
    return hashlib.blake2b(seen.encode(errors="surrogatepass"), digest_size=16).digest()


def _text(value: Any, iso: bool) -> str:
    """A part of a key in a row, as objects show it to `key_text`."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat() if iso else str(int(value.timestamp()))
    return str(value)


def key_text(value: object) -> str:
    """A part of a key in an object whose moments are RFC 3339 strings."""
    if isinstance(value, str) and "T" in value and value[:4].isdecimal():
        return datetime.fromisoformat(value).astimezone(UTC).isoformat()
    return str(value)
