"""Seconds and memory of building the metrics: `python -m benchmarks.metrics`, and `--full` for the large size.

The tables are made by SQL in the database itself, with the keys and indexes that a load makes: subscriptions that pay
by the month, ten invoices each with a line, a fifth of them with a change of quantity and its prorations. Then a full
build, and one after some subscriptions have changed. Each line says whether its bound is met; the bounds of full
builds are those of the large size, in proportion. The first line is a full build of what `make demo` loads.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import demo
from benchmarks.tools.machines import running_postgres
from pipelines.models.indexes import keep_indexes
from pipelines.models.metrics.build import Build
from pipelines.warehouse.database import Database
from pipelines.warehouse.duckdb_database import open_duckdb
from pipelines.warehouse.postgres_database import open_postgres
from sources.stripe_api.catalogue import CATALOGUE

CHANGED, LARGE = 1000, 1_000_000
BOUNDS = {
    ("duckdb", "full"): 180.0,
    ("postgres", "full"): 600.0,
    ("duckdb", "changed"): 5.0,
    ("postgres", "changed"): 5.0,
}
"""Seconds, on two cores: of a full build of the large size, and of one after `CHANGED` subscriptions have changed."""

DEMO = 2.0
"""Seconds of a full build of the demo's account, in DuckDB."""

MEMORY = 4.0
"""GB that a build may take in DuckDB's own process."""

KEYS = {
    "prices": "id", "subscriptions": "id", "subscription_items": "id", "invoices": "id",
    "invoice_line_items": "id, _parent_id",
}  # fmt: skip
STAMPS = (
    "timestamptz '2026-06-30 00:00:00+00' as _as_of, cast(null as timestamptz) as _deleted_at,"
    " timestamptz '2026-06-29 00:00:00+00' + n % 1000 * interval '1 minute' as _synced_at, 'acct_bench' as _account_id"
)
SECOND = "(1735689600 + (n % 300) * 86400 + k * 2629800)"
SUBSCRIBED = "to_timestamp(1735689600 + (n % 300) * 86400)"
PRORATED = "n % 5 = 0 and k = 4 and part > 0"
LINES = f"""
select 'il_' || n || '_' || k || '_' || part as id, 'in_' || n || '_' || k as _parent_id, 'usd' as currency,
    cast(case when n % 5 = 0 and (k >= 4) and part <> 1 then 3 else 1 end as bigint) as quantity,
    cast(case part when 0 then 1 when 1 then -0.5 else 1.5 end * 1000
         * case when part = 0 and n % 5 = 0 and k > 4 then 3 else 1 end as bigint) as amount,
    cast('{{"type":"subscription_item_details","invoice_item_details":null,"subscription_item_details":{{"invoice_item":null,'
        || '"proration":' || case when part > 0 then 'true' else 'false' end
        || ',"proration_details":{{"credited_items":null}},'
        || '"subscription":"sub_' || n || '","subscription_item":"si_' || n || '"}}}}' as JSON) as parent,
    cast('{{"start":' || {SECOND} + case when part > 0 then 1000000 else 0 end || ',"end":' || {SECOND} + 2629800
        || '}}' as JSON) as period,
    cast('{{"type":"price_details","price_details":{{"price":"price_' || n % 50 || '","product":"prod_1"}}}}' as JSON)
        as pricing,
    cast('[]' as JSON) as discount_amounts, cast('[]' as JSON) as taxes, 'sub_' || n as subscription, {STAMPS}
from generate_series(1, SUBSCRIPTIONS) as s (n), generate_series(0, 9) as i (k), generate_series(0, 2) as p (part)
where part = 0 or ({PRORATED})
"""
TABLES = {
    "prices": f"""
select 'price_' || n as id, 'prod_1' as product, true as active, 'usd' as currency, 'recurring' as type,
    'per_unit' as billing_scheme, cast(null as text) as tiers_mode, cast(1000 as bigint) as unit_amount,
    cast(1000 as decimal(38, 12)) as unit_amount_decimal,
    cast('{{"interval":"month","interval_count":1,"usage_type":"licensed"}}' as JSON) as recurring, {STAMPS}
from generate_series(0, 49) as s (n)""",
    "subscriptions": f"""
select 'sub_' || n as id, 'cus_' || n as customer, 'usd' as currency,
    case when n % 7 = 0 then 'canceled' else 'active' end as status, {SUBSCRIBED} as start_date,
    {SUBSCRIBED} as created,
    case when n % 7 = 0 then to_timestamp(1735689600 + (n % 300) * 86400 + 6 * 2629800 + 5000) end as ended_at,
    cast('[]' as JSON) as discounts, {STAMPS}
from generate_series(1, SUBSCRIPTIONS) as s (n)""",
    "subscription_items": f"""
select 'si_' || n as id, 'sub_' || n as _parent_id, cast(case when n % 5 = 0 then 3 else 1 end as bigint) as quantity,
    {SUBSCRIBED} as created, cast('[]' as JSON) as discounts,
    cast('{{"id":"price_' || n % 50 || '","product":"prod_1","currency":"usd","unit_amount_decimal":"1000","recurring":'
        || '{{"interval":"month","interval_count":1,"usage_type":"licensed"}}}}' as JSON) as price, {STAMPS}
from generate_series(1, SUBSCRIPTIONS) as s (n)""",
    "invoices": f"""
select 'in_' || n || '_' || k as id, 'cus_' || n as customer, 'usd' as currency, 'paid' as status,
    to_timestamp({SECOND}) as created, cast(1000 as bigint) as amount_due, cast(1 as bigint) as attempt_count,
    true as attempted,
    cast('{{"type":"subscription_details","subscription_details":{{"subscription":"sub_' || n || '"}}}}' as JSON)
        as parent,
    cast('{{"paid_at":' || {SECOND} || ',"finalized_at":' || {SECOND} || '}}' as JSON) as status_transitions,
    cast('[]' as JSON) as discounts, {STAMPS}
from generate_series(1, SUBSCRIPTIONS) as s (n), generate_series(0, 9) as i (k)""",
    "invoice_line_items": LINES,
}  # fmt: skip


def main() -> None:
    """Measure and print a line for each build."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--subscriptions", type=int, default=20_000, help="subscriptions, each with ten lines (20000)")
    options.add_argument("--full", action="store_true", help=f"as many as the bounds are for ({LARGE})")
    options.add_argument("--destination", choices=("duckdb", "postgres"), nargs="+", default=["duckdb", "postgres"])
    options.add_argument("--memory", default="3GB", help="DuckDB's memory limit (3GB)")
    given = options.parse_args()
    measure_demo(given.memory)
    for kind in given.destination:
        with opened(kind, given.memory) as database:
            measure(kind, database, LARGE if given.full else given.subscriptions)


@contextmanager
def opened(kind: str, memory: str) -> Iterator[Database]:
    """A fresh database."""
    if kind == "duckdb":
        with tempfile.TemporaryDirectory() as folder:
            duckdb = open_duckdb(str(Path(folder) / "bench.duckdb"), "stripe", memory)
            yield duckdb
            duckdb.close()
    else:
        with running_postgres() as address:
            server = open_postgres(address, None)
            yield server
            server.close()


def measure_demo(memory: str) -> None:
    """Loads the demo's account and builds all of its metrics."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "demo.duckdb")
        with demo.account() as simulator:
            command = [sys.executable, "pipelines/stripe_full.py", "--quiet", "--duckdb-path", path]
            subprocess.run(command, env=os.environ | demo.environment(simulator), check=True)
        database = open_duckdb(path, "stripe", memory)
        ((lines,),) = database.execute("select count(*) from stripe.invoice_line_items")
        built = Build(database, "stripe").run(full=True)
        say("duckdb", "demo", built.subscriptions, lines, built.seconds, DEMO)
        database.close()


def measure(kind: str, database: Database, subscriptions: int) -> None:
    """Fills the tables and builds twice."""
    database.execute("create schema stripe")
    for table, query in TABLES.items():
        text = query.replace("SUBSCRIPTIONS", str(subscriptions))
        if kind == "postgres":
            text = text.replace("as JSON)", "as jsonb)")
        database.execute(f"create table stripe.{table} as {text}")
        if kind == "postgres":
            database.execute(f"alter table stripe.{table} add primary key ({KEYS[table]}, _account_id)")
    if kind == "postgres":
        columns: dict[str, set[str]] = {}
        for table, column in database.execute(
            "select table_name, column_name from information_schema.columns where table_schema = 'stripe'"
        ):
            columns.setdefault(table, set()).add(column)
        for table in ("subscription_items", "invoice_line_items"):
            database.execute(f"create index on stripe.{table} (_parent_id)")
        keep_indexes(database, "stripe", "stripe", CATALOGUE, columns)
        for table in TABLES:
            database.execute(f"analyze stripe.{table}")
    ((lines,),) = database.execute("select count(*) from stripe.invoice_line_items")
    bound = BOUNDS[kind, "full"] * subscriptions / LARGE
    say(kind, "full", subscriptions, lines, Build(database, "stripe").run(full=True).seconds, bound)
    keys = {"subscriptions": "id", "subscription_items": "_parent_id", "invoice_line_items": "subscription"}
    for table, key in keys.items():
        database.execute(
            f"update stripe.{table} set _synced_at = now() where {key} in"
            f" (select 'sub_' || n from generate_series(1, {CHANGED}) as s (n))"
        )
    built = Build(database, "stripe").run()
    say(kind, "changed", built.subscriptions, lines, built.seconds, BOUNDS[kind, "changed"])


def say(kind: str, what: str, subscriptions: int, lines: int, seconds: float, bound: float) -> None:
    """One line of the report."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    is_own = kind == "duckdb" and os.name == "posix"
    memory = f"{peak:6.1f} GB" if is_own else "        –"
    is_met = seconds <= bound and (not is_own or peak <= MEMORY)
    print(
        f"{kind:9}{what:9}{subscriptions:11,} subscriptions of {lines:12,} lines{seconds:8.1f} s{memory}"
        f"  {'met' if is_met else 'not met'}: {bound:.1f} s" + (f", {MEMORY:.1f} GB" if is_own else ""),
        flush=True,
    )


if __name__ == "__main__":
    main()
