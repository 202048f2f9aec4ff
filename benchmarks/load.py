"""Full loads, compared with the floor: `python -m benchmarks.load [--rounds 3] [--full]`.

The simulated account has no limits and no latency, and objects of several shapes. Four loaders take turns, in another
order in each round: the floor in two kinds (`benchmarks.tools.floor`), the connector into Postgres, and the connector
into DuckDB. Each is measured from the start of its process to its end and loads into an empty schema. After each load,
the number of rows of every table and the sum of their `created` are compared with the account. The figures are medians.
CPU is that of the command and of Postgres together, without the simulator's.

`--full` also loads 1,000,000 objects once into each database, to measure memory.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import reduce
from itertools import chain
from pathlib import Path
from typing import Any

import duckdb
import orjson
import psycopg
import urllib3
from psycopg import sql

from benchmarks.tools.floor import filled_by, passes
from benchmarks.tools.machines import ROOT, Measured, measure, running_postgres, running_simulator
from benchmarks.tools.targets import at_most
from simulator.content.bulk import MIX
from sources.stripe_api.catalogue import TABLES

UNLIMITED = {f"SOURCES__STRIPE__{name}_RATE": "inf" for name in ("LIVE", "SANDBOX", "ENDPOINT")}
MILLION = 1_000_000
POSTGRES_MB, DUCKDB_MB = 300, 700  # at 1,000,000 objects
Sums = Mapping[str, tuple[int, int]]
"""table -> its rows, and the sum of their `created` (0 for the entries of embedded lists)."""


@dataclass(frozen=True, slots=True)
class Loader:
    """A loader of lists: its command, to which their names are added, and the place of the loaded rows.

    `file` is the file of a DuckDB database, "" for Postgres. The floor does not complete embedded lists that Stripe
    cut, so only the lists' own tables are compared.
    """

    name: str
    command: Sequence[str]
    schema: str = "stripe"
    file: str = ""
    settings: tuple[tuple[str, str], ...] = ()

    @property
    def is_floor(self) -> bool:
        """Whether this is the floor."""
        return self.schema != "stripe"


FULL = (sys.executable, str(ROOT / "pipelines/stripe_full.py"))
INTO_POSTGRES = (*FULL, "--destination", "postgres", "--resources")
FLOORS = [
    Loader(f"floor, {kind}", (sys.executable, "-m", "benchmarks.tools.floor", kind), "by_hand")
    for kind in ("typed", "pages")
]
POSTGRES = Loader("connector, Postgres", INTO_POSTGRES, settings=(("SOURCES__STRIPE__INDEXES", "none"),))
INDEXED = Loader("connector, with indexes", INTO_POSTGRES)


def main() -> None:
    """Measures, and prints a table for each account."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--objects", type=int, default=200_000, help="number of objects of eight lists, a quarter of them customers"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--full", action="store_true", help="also load 1,000,000 objects")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, running_postgres() as url:
        file = str(Path(folder) / "bench_data.duckdb")
        into_duckdb = Loader(
            "connector, DuckDB", (*FULL, "--destination", "duckdb", "--duckdb-path", file, "--resources"), file=file
        )
        loaders = [*FLOORS, POSTGRES, into_duckdb]
        with account(options.objects, url) as (environment, expected):
            figures = compare(loaders, ["customers"], options.rounds, environment, expected)
            held(figures, f"{expected['customers'][0]:,} customers", 1.3, 1.4)
            at_most(
                "CPU of the whole machine a customer, Postgres",
                1e6 * figures[POSTGRES].total_cpu / expected["customers"][0],
                110,
                "µs",
            )
            figures = compare([*loaders, INDEXED], list(MIX), max(options.rounds - 1, 1), environment, expected)
            held(figures, f"{objects_in(expected, MIX):,} objects of {len(MIX)} lists", 1.3, None)
        if options.full:
            with account(MILLION, url) as (environment, expected):
                figures = compare([POSTGRES, into_duckdb], list(MIX), 1, environment, expected)
                at_most("peak memory, 1,000,000 objects, Postgres", figures[POSTGRES].peak / 1e6, POSTGRES_MB, "MB")
                at_most("peak memory, 1,000,000 objects, DuckDB", figures[into_duckdb].peak / 1e6, DUCKDB_MB, "MB")


@contextmanager
def account(objects: int, database_url: str) -> Iterator[tuple[Mapping[str, str], Sums]]:
    """Runs a simulated account of this size; yields the environment of its loaders, and the expected rows."""
    with running_simulator("--customers", "5", "--bulk", str(objects)) as (url, key):
        environment = {"DATABASE_URL": database_url, "STRIPE_SECRET_KEY": key, "SOURCES__STRIPE__API_BASE": url}
        yield {**environment, **UNLIMITED}, sums_of(url, key)


def compare(
    loaders: Sequence[Loader], lists: Sequence[str], rounds: int, environment: Mapping[str, str], expected: Sums
) -> dict[Loader, Measured]:
    """Runs each loader once in each round; prints and returns the medians."""
    found: dict[Loader, list[Measured]] = {loader: [] for loader in loaders}
    for number in range(rounds):
        for place in range(len(loaders)):
            loader = loaders[(place + number) % len(loaders)]
            found[loader].append(load(loader, lists, environment, expected))
    objects = objects_in(expected, lists)
    print(f"\n{objects:,} objects of {len(lists)} {'list' if len(lists) == 1 else 'lists'}, medians of {rounds}")
    print(f"{'':26}{'objects/s':>10}{'wall s':>8}{'CPU s':>8}{'+ Postgres':>11}{'µs each':>9}{'peak MB':>9}")
    figures = {loader: median(measured) for loader, measured in found.items()}
    for loader, figure in figures.items():
        print(
            f"{loader.name:26}{objects / figure.wall:>10,.0f}{figure.wall:>8.1f}"
            f"{figure.cpu:>8.1f}{figure.database_cpu:>11.1f}"
            f"{1e6 * figure.total_cpu / objects:>9.0f}{figure.peak / 1e6:>9,.0f}",
            flush=True,
        )
    return figures


def held(figures: Mapping[Loader, Measured], what: str, wall: float, cpu: float | None) -> None:
    """Prints the ratios to the fastest floor."""
    floors = [figure for loader, figure in figures.items() if loader.is_floor]
    ours = figures[POSTGRES]
    at_most(f"{what}: wall, fastest floor = 1", ours.wall / min(floor.wall for floor in floors), wall)
    ratio = ours.total_cpu / min(floor.total_cpu for floor in floors)
    if cpu is not None:
        at_most(f"{what}: CPU, fastest floor = 1", ratio, cpu)


def median(measured: Sequence[Measured]) -> Measured:
    """The median of each figure."""
    return Measured(
        statistics.median(load.wall for load in measured),
        statistics.median(load.cpu for load in measured),
        statistics.median(load.database_cpu for load in measured),
        max(load.peak for load in measured),
        0,
        "",
    )


def load(loader: Loader, lists: Sequence[str], environment: Mapping[str, str], expected: Sums) -> Measured:
    """Runs one load into an empty schema and checks its rows. If it failed, raises SystemExit with the output."""
    empty(environment["DATABASE_URL"], loader)
    measured = measure([*loader.command, *lists], {**environment, **dict(loader.settings)})
    if measured.exit_code:
        raise SystemExit(f"{loader.name} ended with {measured.exit_code}:\n{measured.output}")
    tables = lists if loader.is_floor else all_filled_by(lists)
    stored = {table: stored_sums(environment["DATABASE_URL"], loader, table) for table in tables}
    if wrong := [table for table in tables if stored[table] != expected[table]]:
        table = wrong[0]
        raise SystemExit(f"{loader.name}: {table} has {stored[table]}, but the account has {expected[table]}")
    return measured


def empty(database_url: str, loader: Loader) -> None:
    """Drops loaded schemas and makes the server write a checkpoint, which would otherwise slow down the next load."""
    if loader.file:
        for name in (loader.file, f"{loader.file}.wal"):
            Path(name).unlink(missing_ok=True)
    with psycopg.connect(database_url, autocommit=True) as connection:
        for schema in ("by_hand", "stripe_current", "stripe_staging", "stripe"):
            connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(schema)))
        with suppress(psycopg.errors.InsufficientPrivilege):
            connection.execute("CHECKPOINT")


def stored_sums(database_url: str, loader: Loader, table: str) -> tuple[int, int]:
    """The number of rows of a table, and the sum of their `created`."""
    summed = "0" if is_embedded(table) else "cast(sum(extract(epoch from created)) as bigint)"
    alive = "" if loader.is_floor else " WHERE _deleted_at IS NULL"
    query: Any = f'SELECT count(*), {summed} FROM "{loader.schema}"."{table}"{alive}'
    with closing(duckdb.connect(loader.file) if loader.file else psycopg.connect(database_url)) as connection:
        found = connection.execute(query).fetchone() or (0, 0)
    return found[0], found[1]


def sums_of(url: str, key: str) -> Sums:
    """The expected rows of the lists, read over one connection."""
    http, headers = urllib3.PoolManager(), {"Authorization": f"Bearer {key}"}

    def read(path: str, more: str) -> Iterator[dict[str, Any]]:
        after, has_more = "", True
        while has_more:
            page = orjson.loads(http.request("GET", f"{url}{path}?limit=100{more}{after}", headers=headers).data)
            yield from page["data"]
            if has_more := page["has_more"]:
                after = f"&starting_after={page['data'][-1]['id']}"

    found: dict[str, tuple[int, int]] = dict.fromkeys(all_filled_by(MIX), (0, 0))
    for name in MIX:
        for obj in chain.from_iterable(read(f"/v1/{name}", more) for more in passes(name)):
            found[name] = (found[name][0] + 1, found[name][1] + obj["created"])
            for embedded in TABLES[name].embedded:
                holder = reduce(lambda value, step: value.get(step) or {}, embedded.field.split("."), obj)
                listed = holder or {"data": [], "has_more": False}
                path, _, query = listed.get("url", "").partition("?")
                entries = sum(1 for _ in read(path, f"&{query}")) if listed["has_more"] else len(listed["data"])
                found[embedded.table] = (found[embedded.table][0] + entries, 0)
    return found


def all_filled_by(lists: Iterable[str]) -> list[str]:
    """The tables that these lists fill."""
    return list(dict.fromkeys(table for name in lists for table in filled_by(name)))


def is_embedded(table: str) -> bool:
    """Whether the rows of a table are entries of embedded lists."""
    return table not in MIX


def objects_in(expected: Sums, lists: Sequence[str] | Mapping[str, int]) -> int:
    """The number of objects of lists, without the objects embedded in them."""
    return sum(expected[name][0] for name in lists)


if __name__ == "__main__":
    main()
