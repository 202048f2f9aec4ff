"""A test that begins with a copy of a first load begins where the load itself would have left it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.databases import Database
from tests.pipelines.beginnings import Beginnings
from tests.pipelines.mirror import Mirror

LISTS = ("customers", "coupons", "events")
MOMENTS = r"_at$|run_id|load_id|hash|^schema$|_dlt_id|progress|^seconds$"
Make = Callable[..., Mirror]


@pytest.fixture
def make(mirrored: Make, tmp_path: Path) -> Make:
    """Mirrors of new accounts beside the one database, which share beginnings that are this test's own."""
    beginnings = Beginnings(tmp_path)

    def new(*, emptied: bool = True, **options: Any) -> Mirror:
        mirror = mirrored(**options)
        mirror.beginnings = beginnings
        if emptied:
            empty(mirror.destination)
        return mirror

    return new


def empty(database: Database) -> None:
    """Takes out all that a load has put into a database."""
    if database.kind == "duckdb":
        Path(database.address).unlink(missing_ok=True)
        return
    for (name,) in database.query("select nspname from pg_namespace where oid >= 16384"):
        database.query(f'drop schema "{name}" cascade')


def tables(database: Database, *, but: str = "nothing") -> dict[str, list[str]]:
    """All rows of all tables, without the columns whose names `but` matches."""
    with database.asked() as query:
        columns: dict[str, list[str]] = {}
        for schema, table, column in query(
            "select table_schema, table_name, column_name from information_schema.columns"
            " where table_schema like 'stripe%' order by 1, 2, ordinal_position"
        ):
            columns.setdefault(f'"{schema}"."{table}"', []).append(column)
        assert columns
        return {
            table: sorted(str(row) for row in query(f"select {kept(names, but)} from {table}"))
            for table, names in columns.items()
        }


def kept(names: list[str], but: str) -> str:
    return ", ".join(f'"{name}"' for name in names if not re.search(but, name)) or "1"


def beside(mirror: Mirror) -> Any:
    """What a load changes beside the database: the clock, and what the simulator has counted and noted."""
    counted = mirror.sim.service.counted()
    log = sorted(
        (request.method, request.path, request.query, request.status, request.size, request.at)
        for request in counted.log
    )
    return mirror.sim.clock.time(), counted.requests, counted.statuses, log, counted.number, mirror.said


def asked_for(mirror: Mirror) -> Any:
    """What all loads ask for; into which windows they cut a list depends on which answer comes first."""
    log = mirror.sim.service.counted().log
    return (
        mirror.sim.clock.time(),
        {(request.method, request.path, request.status, request.at) for request in log},
        mirror.said,
    )


def test_a_copy_is_what_the_load_has_left(make: Make) -> None:
    real = make()
    real.load(*LISTS)
    real.sync()
    loaded = tables(real.destination, but=MOMENTS)

    first = make()
    first.begin(*LISTS, synced=True)
    left = tables(first.destination)
    assert tables(first.destination, but=MOMENTS) == loaded
    first.destination.query("delete from stripe.customers")

    for _ in range(2):
        copy = make()
        copy.begin(*LISTS, synced=True)
        assert tables(copy.destination) == left
        assert copy.differences(LISTS) == []
        assert beside(copy) == beside(first)
        assert asked_for(copy) == asked_for(real)
        copy.destination.query("delete from stripe.customers")


def test_it_goes_on_from_a_copy_as_from_the_load(make: Make) -> None:
    make().begin(*LISTS)
    requests = []
    for begin in (Mirror.load, Mirror.begin):
        mirror = make()
        begin(mirror, *LISTS)
        mirror.sim.account.create("customers", mirror.sim.make("customers", name="Nova"))
        mirror.pass_time(86_400)
        outcome = mirror.sync()
        requests.append((asked_for(mirror), outcome.rows, outcome.requests))
        assert mirror.differences(LISTS) == []
    assert requests[0] == requests[1]


def changed(mirror: Mirror) -> None:
    mirror.sim.account.update("coupons", "10off", {"name": "Ten"}, event=False)


def later(mirror: Mirror) -> None:
    mirror.pass_time(1)


def otherwise_set(mirror: Mirror) -> None:
    mirror.changes["package_rows"] = 1000


def slowed(mirror: Mirror) -> None:
    mirror.sim.faults.add("slow", delay=0.001)


def asked(mirror: Mirror) -> None:
    mirror.load("coupons")
    empty(mirror.destination)


def used(mirror: Mirror) -> None:
    mirror.destination.query("create table other (id int)")


def test_whatever_is_different_is_loaded_for_real(make: Make) -> None:
    make().begin("coupons")
    assert is_copied(make(), "coupons")
    beside_it = (changed, later, otherwise_set, slowed, asked)  # the same whichever database is beside it
    is_duckdb = make().destination.kind == "duckdb"
    for disturb in (*beside_it, used) if is_duckdb else (used,):
        mirror = make()
        disturb(mirror)
        assert not is_copied(mirror, "coupons"), disturb
        assert mirror.differences(["coupons"]) == []
        if disturb is used:
            mirror.destination.query("drop table other")
    assert is_copied(make(), "coupons")


def is_copied(mirror: Mirror, *names: str) -> bool:
    """Begins, and tells whether by a copy."""
    assert mirror.beginnings is not None
    before = mirror.beginnings.copies
    mirror.begin(*names)
    return mirror.beginnings.copies > before
