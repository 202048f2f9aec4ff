"""A load within the provider's rate limits: `python -m benchmarks.latency [--objects 250000] [--provider orb]`.

A simulated live account answers after 100 ms and has Stripe's limits: 25 requests a second for an endpoint, 100 for the
account, 100 objects a page. The connector uses its default share of the account's rate, which is half. So 2,500 objects
a second are possible for one resource and 5,000 for eight. The rate is that of the whole command, from the start of its
process to its end, including imports, the first request and the last package. `reading` is the rate between the first
request and the last answer, without the start and without later loads: these take some seconds, which matter less with
more objects. `CPU` is in microseconds of the command and of Postgres for each object: a machine cannot read more
objects a second than its number of cores divided by this.

A simulated Orb account also answers after 100 ms and allows 100 reads a second, and the connector may use all of them
here: 10,000 objects a second are possible for any number of lists. The limiter stays 3 % below the limit.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psycopg
from psycopg import sql

from benchmarks.tools.machines import ROOT, measure, running_postgres, running_simulator
from benchmarks.tools.targets import at_least
from simulator.content.bulk import MIX
from simulator.orb.bulk import MIX as ORB_MIX


@dataclass(frozen=True, slots=True)
class Pace:
    """The measurements of a provider: resources by the name of their line, the possible objects a second for each, the
    target as a share of these, and the options and settings of the simulator and the command.
    """

    provider: str
    lists: Mapping[str, Sequence[str]]
    possible: Mapping[str, int]
    share: Mapping[str, float]
    simulator: tuple[str, ...]
    key: str
    settings: Mapping[str, str]


STRIPE = Pace(
    "stripe",
    {"one resource": ["customers"], "eight resources": list(MIX)},
    {"one resource": 2_500, "eight resources": 5_000},
    {"one resource": 0.96, "eight resources": 0.95},
    ("--mode", "live"),
    "STRIPE_SECRET_KEY",
    {},
)
ORB = Pace(
    "orb",
    {"one list": ["customers"], "eight lists": list(ORB_MIX)},
    {"one list": 10_000, "eight lists": 10_000},
    {"one list": 0.9, "eight lists": 0.9},
    (),
    "ORB_API_KEY",
    {"SOURCES__ORB__TEST_RATE": "100", "SOURCES__ORB__RATE_LIMIT_SHARE": "1"},
)


def main() -> None:
    """Measures and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=250_000)
    parser.add_argument("--provider", choices=("stripe", "orb"), default="stripe")
    options = parser.parse_args()
    pace = ORB if options.provider == "orb" else STRIPE
    columns = f"{'objects':>10}{'seconds':>9}{'objects/s':>11}{'possible':>10}{'share':>7}{'reading':>10}{'CPU':>6}"
    print(f"{'100 ms, live limits':28}{columns}")
    words = [pace.provider] if pace is ORB else []
    simulator = (*words, "--customers", "5", "--bulk", str(options.objects), *pace.simulator, "--latency-ms", "100")
    with running_simulator(*simulator, "--rate-limits", "live") as (url, key), running_postgres() as database_url:
        environment = {"DATABASE_URL": database_url, pace.key: key, **pace.settings}
        environment[f"SOURCES__{pace.provider.upper()}__API_BASE"] = url
        shares = {name: read(pace, name, environment) for name in pace.lists}
    for name in pace.lists:
        at_least(f"share of what is possible, {name}", shares[name], pace.share[name])


def read(pace: Pace, name: str, environment: dict[str, str]) -> float:
    """Runs one load into an empty dataset and prints its line; returns its share of the possible rate."""
    schema, resources = pace.provider, pace.lists[name]
    with psycopg.connect(environment["DATABASE_URL"], autocommit=True) as connection:
        for each in (schema, f"{schema}_staging"):
            connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(each)))
    script = str(ROOT / f"pipelines/{pace.provider}_full.py")
    command = [sys.executable, script, "--destination", "postgres", "--json", "--quiet", "--resources", *resources]
    measured = measure(command, environment)
    if measured.exit_code:
        raise SystemExit(f"{name} ended with {measured.exit_code}:\n{measured.output}")
    report = json.loads(measured.output)
    with psycopg.connect(environment["DATABASE_URL"]) as connection:
        objects = sum(count(connection, schema, table) for table in resources)
    rate, reading = objects / measured.wall, objects / max(resource["seconds"] for resource in report["resources"])
    share = rate / pace.possible[name]
    figures = f"{measured.wall:>9.1f}{rate:>11,.0f}{pace.possible[name]:>10,}{share:>7.0%}{reading:>10,.0f}"
    print(f"{name:28}{objects:>10,}{figures}{1e6 * measured.total_cpu / objects:>6.0f}", flush=True)
    return share


def count(connection: psycopg.Connection, schema: str, table: str) -> int:
    """Rows of a table."""
    asked = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(schema, table))
    found = connection.execute(asked).fetchone()
    return int(found[0]) if found else 0


if __name__ == "__main__":
    main()
