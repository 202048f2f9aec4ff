"""At Stripe's own pace: `python -m benchmarks.latency [--objects 250000]`.

A simulated live account that answers after 100 ms and allows what Stripe allows: 25 requests a second for an endpoint,
100 for the account, 100 objects a page. The connector takes its default share of the account's rate, which is half. So
2,500 objects a second are possible for one resource and 5,000 for eight. The rate is that of the whole command, from
the start of its process to its end: imports, the first request and the last package are in it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import psycopg

from benchmarks.tools.machines import ROOT, measure, running_postgres, running_simulator
from benchmarks.tools.targets import at_least
from simulator.content.bulk import MIX

LISTS = {"one resource": ["customers"], "eight resources": list(MIX)}
POSSIBLE = {1: 2_500, len(MIX): 5_000}  # objects a second
SHARE = {1: 0.96, len(MIX): 0.95}


def main() -> None:
    """Measures and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=250_000)
    options = parser.parse_args()
    print(f"{'100 ms, live limits':28}{'objects':>10}{'seconds':>9}{'objects/s':>11}{'possible':>10}{'share':>7}")
    simulator = ("--customers", "5", "--bulk", str(options.objects), "--mode", "live", "--latency-ms", "100")
    with running_simulator(*simulator, "--rate-limits", "live") as (url, key), running_postgres() as database_url:
        environment = {"DATABASE_URL": database_url, "STRIPE_SECRET_KEY": key, "SOURCES__STRIPE__API_BASE": url}
        shares = {len(lists): read(name, lists, environment) for name, lists in LISTS.items()}
    for name, lists in LISTS.items():
        at_least(f"share of what is possible, {name}", shares[len(lists)], SHARE[len(lists)])


def read(name: str, resources: Sequence[str], environment: dict[str, str]) -> float:
    """One load into an empty dataset, and its line; the share of what is possible."""
    with psycopg.connect(environment["DATABASE_URL"], autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS stripe CASCADE")
        connection.execute("DROP SCHEMA IF EXISTS stripe_staging CASCADE")
    command = [sys.executable, str(ROOT / "pipelines/stripe_full.py"), "--destination", "postgres", "--resources"]
    measured = measure([*command, *resources], environment)
    if measured.exit_code:
        raise SystemExit(f"{name} ended with {measured.exit_code}:\n{measured.output}")
    with psycopg.connect(environment["DATABASE_URL"]) as connection:
        objects = sum(count(connection, table) for table in resources)
    possible, rate = POSSIBLE[len(resources)], objects / measured.wall
    share = rate / possible
    print(f"{name:28}{objects:>10,}{measured.wall:>9.1f}{rate:>11,.0f}{possible:>10,}{share:>7.0%}", flush=True)
    return share


def count(connection: psycopg.Connection, table: str) -> int:
    """Rows of a table."""
    found = connection.execute(f"SELECT count(*) FROM stripe.{table}").fetchone()
    return int(found[0]) if found else 0


if __name__ == "__main__":
    main()
