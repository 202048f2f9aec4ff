"""What a first load has left behind, kept for the next test of the worker that begins with the same one.

Most tests are about what comes after a load, which takes one or two seconds. `Mirror.begin` loads for real when a
worker first meets a beginning, and copies the database that came of it from then on: a Postgres database is made from
the kept one as its template, a DuckDB file is copied. The simulator is left as the load has left it: its clock, its
counters, its log of requests. Two beginnings are the same when all is that a load can see: the account's whole content,
the settings, the environment. Wherever something is not as it was made, a fault, an earlier request, a database that is
not empty, the load is a real one and nothing is kept. Tests of the load itself call `Mirror.load`.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from simulator.http.limits import BUDGETS
from tests.databases import Database, with_database

if TYPE_CHECKING:
    from simulator import Simulator
    from simulator.http.service import Counted
    from tests.pipelines.mirror import Mirror

ELSEWHERE = {"api_base", "database_url", "duckdb_path", "stripe_account", "stripe_context"}
"""Settings that lead a load to another place than the mirror's account and database."""


@dataclass(frozen=True)
class Beginning:
    """A database after its first load, and how the load has changed what is beside it. `place`: where it is kept."""

    place: str
    seconds: float
    counted: Counted
    said: tuple[str, ...]


class Beginnings:
    """The beginnings of one worker, in a folder and on the server of the tests' databases; `copies` counts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.copies = 0
        self._kept: dict[Hashable, Beginning] = {}
        self._drop: list[tuple[str, str]] = []

    def begin(self, mirror: Mirror, what: Hashable, load: Callable[[], None]) -> None:
        """Brings about what `load` does, which `what` names together with the mirror."""
        if not (_as_made(mirror) and _empty(mirror.destination)):
            load()
            return
        sim, same = mirror.sim, (what, _seen(mirror))
        if (kept := self._kept.get(same)) is not None:
            self._copy(mirror.destination, kept.place)
            sim.clock.advance(kept.seconds)
            sim.service.count_on(kept.counted)
            mirror.said.extend(kept.said)
            self.copies += 1
            return
        content, began = _content(sim), sim.clock.time()
        load()
        if _content(sim) == content:
            place = self._keep(mirror.destination)
            self._kept[same] = Beginning(place, sim.clock.time() - began, sim.service.counted(), tuple(mirror.said))

    def close(self) -> None:
        """Drops what is kept on a server; one that was the tests' own is gone already."""
        with suppress(psycopg.OperationalError):
            for server, name in self._drop:
                _make(server, sql.SQL("drop database {}").format(sql.Identifier(name)))

    def _keep(self, database: Database) -> str:
        name = f"kept_{uuid.uuid4().hex[:12]}"
        if database.kind == "duckdb":
            return shutil.copyfile(database.address, self._folder / name).as_posix()
        server, of = _server_and_name(database)
        _make(server, _copied(name, of))
        self._drop.append((server, name))
        return name

    def _copy(self, database: Database, place: str) -> None:
        if database.kind == "duckdb":
            shutil.copyfile(place, database.address)
            return
        server, name = _server_and_name(database)
        _make(server, sql.SQL("drop database {} with (force)").format(sql.Identifier(name)), _copied(name, place))


def _copied(name: str, of: str) -> sql.Composed:
    return sql.SQL("create database {} template {} strategy file_copy").format(sql.Identifier(name), sql.Identifier(of))


def _server_and_name(database: Database) -> tuple[str, str]:
    return with_database(database.address, "postgres"), str(conninfo_to_dict(database.address)["dbname"])


def _make(server: str, *statements: sql.Composed) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


def _as_made(mirror: Mirror) -> bool:
    """Whether nothing has been asked of the simulator and nothing stands in the way of the first request."""
    sim = mirror.sim
    undisturbed = not sim.faults and sim.limits.budget == BUDGETS["none"] and not sim.service.latency
    return undisturbed and sim.clock.stands and not sim.service.log and not ELSEWHERE & mirror.changes.keys()


def _empty(database: Database) -> bool:
    """Whether a database is as it was made: without tables and schemas, settings and rights of its own."""
    if database.kind == "duckdb":
        return not Path(database.address).exists()
    made = (
        "select (select count(*) from pg_class where oid >= 16384)"
        " + (select count(*) from pg_namespace where oid >= 16384)"
        " + (select count(*) from pg_db_role_setting where setdatabase = d.oid) + (d.datacl is not null)::int"
        " from pg_database d where datname = current_database()"
    )
    return database.value(made) == 0


def _seen(mirror: Mirror) -> Hashable:
    """All that a load can see: settings but for where things are, environment, Stripe's clock, the account."""
    settings = replace(mirror.settings, api_base="", database_url=None, duckdb_path="")
    variables = frozenset(item for item in os.environ.items() if item[0] != "PYTEST_CURRENT_TEST")
    return settings, mirror.sync_settings, variables, mirror.sim.clock.time(), _content(mirror.sim)


def _content(sim: Simulator) -> Hashable:
    """The whole content of the platform's account."""
    account, state = sim.account, sim.account.state()
    rows = tuple(
        (name, row.id, row.created, row.seq, row.own, row.parent, row.hidden)
        for name, table in state.tables.items()
        for row in table
    )
    deleted = tuple(gone for table in state.deleted.values() for gone in table.items())
    about = (account.id, account.livemode, frozenset(account.lacks), account.events.api_version)
    return rows, deleted, state.place, state.ids, about
