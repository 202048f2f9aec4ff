"""A small account with all lists: `python -m benchmarks.lists [--customers 300] [--rounds 3]`.

A business of 300 customers with a history, and a few objects in every other list: most tables get a few rows, so the
fixed costs of tables, lists and packages dominate. The whole command is measured, from its start to its end, with
default settings, into an empty dataset, without limits and latency.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import psycopg

from benchmarks.load import UNLIMITED, Loader, empty
from benchmarks.tools.machines import ROOT, Measured, measure, running_postgres, running_simulator
from benchmarks.tools.targets import at_most
from sources.stripe_api.catalogue import TABLES

SECONDS = 5.0


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", default="300")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    command = (sys.executable, str(ROOT / "pipelines/stripe_full.py"), "--destination")
    with (
        running_simulator("--customers", options.customers) as (api, key),
        running_postgres() as url,
        tempfile.TemporaryDirectory() as folder,
    ):
        file = str(Path(folder) / "bench_data.duckdb")
        environment = {"DATABASE_URL": url, "STRIPE_SECRET_KEY": key, "SOURCES__STRIPE__API_BASE": api, **UNLIMITED}
        loaders = (
            Loader("Postgres", (*command, "postgres")),
            Loader("DuckDB", (*command, "duckdb", "--duckdb-path", file), file=file),
        )
        found: dict[str, list[Measured]] = {loader.name: [] for loader in loaders}
        loaded: set[tuple[int, int]] = set()
        for _ in range(options.rounds):
            for loader in loaders:
                empty(url, loader)
                measured = measure(loader.command, environment)
                if measured.exit_code:
                    raise SystemExit(f"{loader.name} ended with {measured.exit_code}:\n{measured.output}")
                found[loader.name].append(measured)
                loaded.add(in_tables(url, loader.file))
    if len(loaded) > 1:
        raise SystemExit(f"the loads differ in rows and tables: {loaded}")
    ((rows, tables),) = loaded
    for name, some in found.items():
        wall, cpu = statistics.median(load.wall for load in some), statistics.median(load.total_cpu for load in some)
        print(f"{rows:,} rows in {tables} tables, {name}: {cpu:.1f} s of CPU, {1e6 * cpu / rows:.0f} µs a row")
        at_most(f"an account of {rows:,} rows in {tables} tables, {name}", wall, SECONDS, "s")


def in_tables(url: str, file: str) -> tuple[int, int]:
    """The number of rows of all tables with rows of Stripe, and the number of these tables."""
    with closing(duckdb.connect(file) if file else psycopg.connect(url)) as connection:
        there = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'stripe'"
        names = {name for (name,) in connection.execute(there).fetchall()} & set(TABLES)
        query: Any = " UNION ALL ".join(f'SELECT count(*) FROM stripe."{name}"' for name in sorted(names))
        counts = [rows for (rows,) in connection.execute(query).fetchall() if rows]
    return sum(counts), len(counts)


if __name__ == "__main__":
    main()
