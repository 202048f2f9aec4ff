"""Fetch to commit, beside what could be done at best, in one run: `python -m benchmarks.load [--objects 250000]`.

These take turns on one simulated account without limits and without latency: the simulator's ceiling (one connection,
pages read and kept), the by-hand floor (`benchmarks.floor`: the same bytes parsed, copied, upserted), the connector
into Postgres, the same again with `--full-refresh`, what indexes cost (`indexes = "default"`), and the connector into
DuckDB.
CPU is that of the command and of Postgres together; the simulator's own is in nobody's figure.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import orjson
import psycopg
import urllib3
from psycopg import sql

from benchmarks.machines import ROOT, Measured, measure, running_postgres, running_simulator
from simulator.content.bulk import MIX

UNLIMITED = {f"SOURCES__STRIPE__{name}_RATE": "inf" for name in ("LIVE", "SANDBOX", "ENDPOINT")}


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=250_000)
    options = parser.parse_args()
    with (
        running_simulator("--customers", "5", "--bulk", str(options.objects)) as (url, key),
        running_postgres() as database_url,
        tempfile.TemporaryDirectory() as folder,
    ):
        pages = Path(folder) / "pages"
        pages.mkdir()
        saved, seconds, size = save_pages(url, key, pages)
        print(f"{saved:,} objects of {len(MIX)} resources, {size / saved:,.0f} bytes each")
        print(f"{'':28}{'objects/s':>10}{'wall s':>8}{'CPU s':>8}{'of which database':>19}{'peak MB':>9}")
        print(f"{'simulator, one connection':28}{saved / seconds:>10,.0f}{seconds:>8.1f}")
        environment = {"DATABASE_URL": database_url, "STRIPE_SECRET_KEY": key, "SOURCES__STRIPE__API_BASE": url}
        environment |= UNLIMITED
        settle(database_url, "by_hand", "stripe", "stripe_staging")
        floor = show("by hand", saved, measure([sys.executable, "-m", "benchmarks.floor", str(pages)], environment))
        settle(database_url, "by_hand")
        command = [sys.executable, str(ROOT / "pipelines/stripe_full.py"), "--resources", *MIX]
        postgres = [*command, "--destination", "postgres"]
        none = environment | {"SOURCES__STRIPE__INDEXES": "none"}
        first = show("stripe_full.py", saved, measure(postgres, none))
        settle(database_url)
        again = [*postgres, "--full-refresh"]
        show("stripe_full.py again, full", saved, measure(again, none))
        settle(database_url)
        show("making its indexes", saved, measure(postgres, environment))
        settle(database_url)
        show("again, full, with indexes", saved, measure(again, environment))
        print(f"indexes take {share_of_indexes(database_url):.0%} of the size of the tables")
        settle(database_url, "stripe", "stripe_staging")
        duckdb = [*command, "--destination", "duckdb", "--duckdb-path", str(Path(folder) / "bench_data.duckdb")]
        show("stripe_full.py into DuckDB", saved, measure(duckdb, environment))
        print(
            f"stripe_full.py takes {first.total_cpu / floor.total_cpu:.2f} times the CPU of the floor"
            f" and {first.wall / floor.wall:.2f} times its wall time (the floor fetches nothing)"
        )


def settle(database_url: str, *schemas: str) -> None:
    """Drops schemas, and has the server write what is left: or it would tend one command's tables at another's cost."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        for schema in schemas:
            connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(schema)))
        with suppress(psycopg.errors.InsufficientPrivilege):
            connection.execute("CHECKPOINT")


def share_of_indexes(database_url: str) -> float:
    """The size of the indexes that the first load's tables have beside their keys, by that of the tables."""
    with psycopg.connect(database_url) as connection:
        row = connection.execute(
            "SELECT sum(pg_relation_size(indexrelid)) FILTER (WHERE NOT indisprimary) / sum(pg_table_size(indrelid))"
            " FILTER (WHERE indisprimary) FROM pg_index WHERE indrelid::regclass::text LIKE 'stripe.%'"
        ).fetchone()
    return float(row[0]) if row and row[0] is not None else 0.0


def show(name: str, objects: int, measured: Measured) -> Measured:
    """Print one line; end with the command's own words where it failed."""
    if measured.exit_code:
        raise SystemExit(f"{name} ended with {measured.exit_code}:\n{measured.output}")
    print(
        f"{name:28}{objects / measured.wall:>10,.0f}{measured.wall:>8.1f}{measured.total_cpu:>8.1f}"
        f"{measured.database_cpu:>19.1f}{measured.peak / 1e6:>9,.0f}",
        flush=True,
    )
    return measured


def save_pages(url: str, key: str, folder: Path) -> tuple[int, float, int]:
    """Every page of the resources to a file: objects, the seconds that the requests took, bytes."""
    http = urllib3.PoolManager()
    objects, seconds, size = 0, 0.0, 0
    for table in MIX:
        after: str | None = None
        for number in range(1_000_000):
            fields = [("limit", "100"), *([("starting_after", after)] if after else [])]
            if table == "subscriptions":
                fields.append(("status", "all"))
            started = time.perf_counter()
            answer = http.request("GET", f"{url}/v1/{table}", fields=fields, headers={"Authorization": f"Bearer {key}"})
            seconds += time.perf_counter() - started
            (folder / f"{table}.{number:06}.json").write_bytes(answer.data)
            page = orjson.loads(answer.data)
            objects, size = objects + len(page["data"]), size + len(answer.data)
            if not page["has_more"]:
                break
            after = page["data"][-1]["id"]
    return objects, seconds, size


if __name__ == "__main__":
    main()
