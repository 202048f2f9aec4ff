"""The cost of a sync after many changes: `python -m benchmarks.sync`.

An account of 250,000 objects is loaded, 10,000 of them are updated, and one sync, in a process of its own, brings the
tables up to date. The simulator, which runs in this process, counts the requests. Every updated row is checked
afterwards. CPU is that of the sync and of Postgres. The tables are vacuumed and analyzed before the sync, because
autovacuum would otherwise do this for the load during the sync.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass

import psycopg

from benchmarks.load import UNLIMITED
from benchmarks.tools.machines import ROOT, Measured, measure, running_postgres
from benchmarks.tools.targets import at_most
from pipelines.configuration.settings import Settings
from pipelines.loading.run import Order, run
from pipelines.loading.session import open_session
from pipelines.sync.stripe_api.settings import SyncSettings
from pipelines.sync.stripe_api.sync import Sync, SyncOutcome
from simulator import Simulator
from sources.stripe_api.catalogue import select
from sources.stripe_api.provider import STRIPE

START = 1_760_000_000
HOUR = 3_600
UPDATED = ("customers", "charges", "invoices", "subscriptions", "payment_intents", "refunds")
TABLES = (*UPDATED, "balance_transactions", "payment_methods", "events")
ALLOWED = 1.2  # requests for each 100 events
CPU = 3.0  # seconds, of the sync and of Postgres


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of a sync: its events, requests and usage; `wrong` is the number of updated rows that did not arrive."""

    events: int
    requests: int
    took: Measured
    wrong: int

    @property
    def per_hundred(self) -> float:
        """Requests for each 100 events."""
        return 100 * self.requests / self.events if self.events else 0.0


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=250_000)
    parser.add_argument("--updates", type=int, default=10_000)
    options = parser.parse_args()
    cost = cost_of(options.objects, options.updates)
    took = cost.took
    print(
        f"sync after {options.updates:,} updates of {options.objects:,} objects: {cost.events:,} events,"
        f" {cost.requests:,} requests, {took.wall:.1f} s, CPU {took.cpu:.1f} s + Postgres {took.database_cpu:.1f} s"
        f" ({1e6 * took.total_cpu / cost.events:.0f} µs an event), {took.peak / 1e6:.0f} MB, {cost.wrong} rows wrong"
    )
    at_most("requests for 100 events", cost.per_hundred, ALLOWED)
    at_most("CPU of a sync of 10,000 updates", took.total_cpu, CPU, "s")
    if cost.wrong:
        raise SystemExit("Rows are wrong after the sync.")


def cost_of(objects: int, updates: int) -> Cost:
    """Loads, updates, syncs."""
    simulator = Simulator(seed=1, customers=0, bulk=objects, now=START, running=False)
    with simulator as sim, running_postgres() as url:
        settings = Settings(
            stripe_secret_key=sim.key,
            api_base=sim.url,
            destination="postgres",
            database_url=url,
            sandbox_rate=float("inf"),
            endpoint_rate=float("inf"),
            max_clock_skew=float("inf"),
        )
        run(settings, Order("stripe_full", select(TABLES)), STRIPE)
        sim.clock.advance(HOUR)
        _sync(settings)
        sim.clock.advance(HOUR)
        changed = _update(sim, updates)
        sim.clock.advance(HOUR)
        sim.service.reset()
        environment = {
            "DATABASE_URL": url,
            "STRIPE_SECRET_KEY": sim.key,
            "SOURCES__STRIPE__API_BASE": sim.url,
            **UNLIMITED,
        }
        command = [sys.executable, str(ROOT / "pipelines/stripe_sync.py"), "--destination", "postgres"]
        with psycopg.connect(url, autocommit=True) as connection:  # open until the end: its CPU stays in both counts
            connection.execute("VACUUM ANALYZE")
            took = measure(command, environment)
        if took.exit_code:
            raise SystemExit(f"The sync ended with {took.exit_code}:\n{took.output}")
        requests = sum(sim.service.requests.values())
        return Cost(len(sim.account.tables["events"]), requests, took, _wrong(url, changed))


def _sync(settings: Settings) -> SyncOutcome:
    with open_session(settings, "stripe_sync", provider=STRIPE) as session:
        return Sync(session, SyncSettings()).run()


def _update(sim: Simulator, updates: int) -> dict[str, list[str]]:
    """Updates objects in all tables, ten a second; returns their ids by table."""
    changed: dict[str, list[str]] = {}
    share = updates // len(UPDATED)
    for table in UPDATED:
        rows = sim.account.tables[table].shelf.rows()
        count = share if table != UPDATED[0] else updates - share * (len(UPDATED) - 1)
        step = max(1, len(rows) // count)
        changed[table] = [row.id for row in rows[::step][:count]]
        for number, id in enumerate(changed[table]):
            sim.account.update(table, id, {"metadata": {"round": "2"}})
            if number % 10 == 9:
                sim.clock.advance(1)
    return changed


def _wrong(url: str, changed: dict[str, list[str]]) -> int:
    """The number of updated objects whose rows do not show the update."""
    with psycopg.connect(url) as connection:
        wrong = 0
        for table, ids in changed.items():
            found = connection.execute(
                f"SELECT count(*) FROM stripe.{table} WHERE id = ANY(%s) AND metadata->>'round' = '2'",
                (ids,),
            ).fetchone()
            wrong += len(ids) - (found[0] if found else 0)
        return wrong


if __name__ == "__main__":
    main()
