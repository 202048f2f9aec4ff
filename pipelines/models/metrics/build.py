"""Builds the schema `<dataset>_metrics`: runs the numbered SQL files over the loaded tables, in one transaction.

    Build(database, "stripe").run()

The files are the same for both databases. Readers see the previous tables until the transaction commits; a build that
fails changes nothing. Only rows that depend on changes since the last build are built again, unless an option has
changed. Knows no provider's API and no HTTP.
"""

from __future__ import annotations

import re
import time
from collections.abc import Set
from dataclasses import dataclass
from datetime import datetime, timedelta

from pipelines.models.metrics.changes import Changes
from pipelines.models.metrics.descriptions import comments
from pipelines.models.metrics.settings import DEFAULTS, check_rates, check_settings
from pipelines.models.metrics.source_tables import OPTIONAL, SOURCE_TABLES
from pipelines.models.metrics.statements import Statements, digest, statements
from pipelines.models.views import quoted
from pipelines.warehouse.database import Database, has_table
from pipelines.warehouse.postgres.run_lock import RUN_LOCK
from pipelines.warehouse.problems import database_problems
from pipelines.warehouse.rights import refuse_missing

LAYOUT = 2
"""The version of the tables' layout. When it changes, the tables are created again."""

DECIMALS = {0: "bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf", 3: "bhd jod kwd omr tnd"}
"""Currencies whose smallest unit is not a hundredth: https://docs.stripe.com/currencies#zero-decimal. ISK and UGX have
two decimals in Stripe's API. https://docs.stripe.com/currencies#special-cases"""

BEFORE_SPANS = (
    "10_prices.sql",
    "15_events.sql",
    "20_lines.sql",
    "35_phases.sql",
    "40_spans.sql",
    "50_values.sql",
    "58_answers.sql",
)
OF_SUBSCRIPTIONS = (
    "item_spans",
    "_subscriptions",
    "trials",
    "_scheduled",
    "subscription_events",
    "_gaps",
    "_due",
)
"""Tables in which a build replaces the rows of the subscriptions that it builds again."""

OF_CUSTOMERS = ("movements", "_customer_months")
"""Tables in which it replaces the rows of these subscriptions' customers."""

PAYMENTS = {
    "dunning": "select 1 from build.stale_invoices as c where c._account_id = t._account_id and c.invoice = t.invoice",
    "_revenue": "select 1 from build.stale_months as c where c._account_id = t._account_id and c.month = t.month",
    "_balance": "select 1 from build.stale_months as c where c._account_id = t._account_id and c.month = t.month",
}
"""Tables of payments -> the condition for the rows that a build replaces."""

WHOLE = ("_names", "_inactive_prices", "_unloaded", "_offers")
"""Tables that every build replaces whole."""

VIEWS = ("80_conversions.sql", "90_views.sql", "95_insights.sql")
KEPT = ("settings", "exchange_rates", "currencies")
"""Tables that belong to the user: a build never changes their rows."""

STARTING = timedelta(seconds=10)
"""A transaction may be invisible to other sessions for this long after the time that its rows get."""

OPEN = f"""
SELECT a.xact_start FROM pg_catalog.pg_locks AS l JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid
WHERE l.locktype = 'virtualxid' AND l.mode = 'ExclusiveLock' AND l.pid <> pg_catalog.pg_backend_pid()
    AND a.datid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
    AND a.usesysid IS NOT NULL
    AND coalesce(a.backend_type, 'client backend') = 'client backend'
    AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_locks AS k WHERE k.pid = l.pid AND k.locktype = 'advisory'
                    AND k.classid = {RUN_LOCK} AND k.objsubid = 2)"""
"""The start of each open transaction, except those that only hold a run lock and write nothing. It is null for other
roles' transactions, unless we have pg_read_all_stats. The server's own work, such as autovacuum, has no user and does
not count."""

NEVER_COUNTED = """
SELECT c.relname::text FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relname = ANY (%s) AND c.relkind = 'r' AND c.reltuples < 0
    AND pg_has_role(c.relowner, 'USAGE')"""
"""Loaded tables without statistics in Postgres that the role owns."""


@dataclass(frozen=True, slots=True)
class Built:
    """The result of a build. `subscriptions` is how many were built again (all of them if `full`)."""

    full: bool
    subscriptions: int
    seconds: float


class Build:
    """One build of a dataset's metrics through an open database."""

    def __init__(self, database: Database, dataset: str, *, starting: timedelta = STARTING) -> None:
        self._database, self._starting = database, starting
        self._do = Statements(database, dataset)
        self.schema = self._do.schema
        self._columns: dict[str, list[str]] = {}

    def run(self, *, full: bool = False) -> Built:
        """Updates the schema; `full` builds everything again.

        Raises BadConfiguration for an option in the table `settings` that cannot work, `DatabaseProblem` for a missing
        right.
        """
        began = time.monotonic()
        with database_problems():
            self._count_rows()
        with database_problems(), self._database.transaction():
            self._create()
            self._columns = self._do.columns()
            options = self._options()
            since, following = self._since(options)
            stored = self._stored_columns()
            full = full or since is None
            if full and self._do.is_postgres:  # all joins are of whole tables, whatever sizes the server estimates
                self._database.execute("SET LOCAL enable_nestloop = off")
            changes = Changes(self._do, stored, None if full else since)
            count = changes.find()
            if full or count:
                self._build(full)
            self._build_payments(full)
            self._finish(stored.keys(), following, options)
        return Built(full, count, time.monotonic() - began)

    def _count_rows(self) -> None:
        """Creates the statistics that good plans need. The server does so only about a minute after the first load."""
        if self._do.is_postgres:
            tables = self._database.execute(NEVER_COUNTED, (self._do.dataset, list(SOURCE_TABLES)))
            for (table,) in tables:
                self._database.execute(f"analyze {quoted(self._do.dataset)}.{quoted(table)}")

    # --- the schema ---------------------------------------------------------------------------------------------------

    def _create(self) -> None:
        """Creates the schema if it is missing, and its tables and views again if their files have changed.

        Views without changes are not replaced, because readers would have to wait for the end of the build.
        """
        if self._do.is_postgres:  # one build at a time
            refuse_missing(self._database, self.schema, ["_layout"])
            self._database.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", (self.schema,))
            self._database.execute("SET LOCAL work_mem = '128MB'")
        sql = "SELECT 1 FROM information_schema.schemata WHERE schema_name = %s"
        if not self._database.execute(sql, (self.schema,)):
            self._database.execute(f"create schema {quoted(self.schema)}")
        helpers = f"helpers_{self._do.dialect}.sql"
        tables = ["00_tables.sql"] + (["01_indexes.sql"] if self._do.is_postgres else [])
        of_tables = f"{LAYOUT} {digest(*tables)}"
        layout = f"{of_tables} {digest(helpers, *VIEWS, 'descriptions.toml')}"
        known = ""
        if has_table(self._database, self.schema, "_layout"):
            known = "".join(text for (text,) in self._do.query("select layout from stripe_metrics._layout"))
        if known == layout:
            return
        if known and not known.startswith(of_tables):
            self._drop()
        for file in tables:
            self._do.run(file)
        self._add_options()
        for file in (helpers, *VIEWS):
            self._do.run(file)
        self._comment()
        if not self._do.query("select 1 from stripe_metrics.settings"):
            names, values = ", ".join(DEFAULTS), ", ".join(["%s"] * len(DEFAULTS))
            self._do.query(f"insert into stripe_metrics.settings ({names}) values ({values})", *DEFAULTS.values())
        if not self._do.query("select 1 from stripe_metrics.currencies"):
            rows = ", ".join(f"('{code}', {many})" for many, codes in DECIMALS.items() for code in codes.split())
            self._do.query(f"insert into stripe_metrics.currencies values {rows}")
        self._do.query("delete from stripe_metrics._layout")
        self._do.query("insert into stripe_metrics._layout values (%s)", layout)

    def _add_options(self) -> None:
        """Adds options that an older version's schema lacks, with their defaults. Existing values stay."""
        (made,) = (
            statement for statement in statements("00_tables.sql") if "exists stripe_metrics.settings " in statement
        )
        there = self._do.columns()["settings"]
        for name, default in DEFAULTS.items():
            if name not in there:
                (kind,) = re.findall(rf"\b{name} (\w+(?:\([^)]*\))?)", made)
                self._do.query(f"alter table stripe_metrics.settings add column {name} {kind}")
                self._do.query(f"update stripe_metrics.settings set {name} = %s", default)

    def _comment(self) -> None:
        sql = "SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = %s"
        kinds = {
            name: "view" if kind == "VIEW" else "table"
            for name, kind in self._database.execute(sql, (self.schema,))
            if not name.startswith("_")
        }
        columns = self._do.columns()
        for statement in comments({name: columns[name] for name in kinds}, kinds):
            self._do.query(statement)

    def _drop(self) -> None:
        """Drops the views, and the tables that a build fills. The user's own tables stay."""
        for file, kind in ((VIEWS, "view"), (("00_tables.sql",), "table")):
            text = " ".join(statement for name in file for statement in statements(name))
            names = re.findall(rf"create (?:or replace )?{kind} (?:if not exists )?stripe_metrics\.(\w+)", text)
            for name in reversed(names):
                if name not in KEPT:
                    self._do.query(f"drop {kind} if exists stripe_metrics.{name}")

    def _options(self) -> str:
        """Everything besides the loaded rows on which the tables depend, as one text. Raises BadConfiguration."""
        names = tuple(DEFAULTS)
        rows = self._do.query(f"select {', '.join(names)} from stripe_metrics.settings")
        zones = "pg_timezone_names" if self._do.is_postgres else "pg_timezone_names()"
        known = {name for (name,) in self._database.execute(f"SELECT name FROM {zones}")}
        check_settings([dict(zip(names, row, strict=True)) for row in rows], known)
        rates = self._do.query("select currency, rate from stripe_metrics.exchange_rates order by 1, 2")
        check_rates(rates)
        return f"{LAYOUT} {rows[0]} {rates}"

    # --- what is built ------------------------------------------------------------------------------------------------

    def _since(self, options: str) -> tuple[datetime | None, datetime | None]:
        """The time from which stored rows are new for this build, and the same for the next build. None: all rows are
        new.

        A row has the time at which its transaction began, but becomes visible only when that commits. So the next build
        starts from the beginning of the oldest transaction that is open now. DuckDB has one writer at a time.
        """
        ((now,),) = self._do.query("select now()")
        rows = self._do.query("select since, options from stripe_metrics._progress")
        since = rows[0][0] if rows and rows[0][1] == options else None
        if since is not None and since > now:  # the clock was ahead then, so newer rows may have older times
            since = None
        if not self._do.is_postgres:
            return since, now
        begun = [moment or since for (moment,) in self._database.execute(OPEN)]
        known = [moment for moment in begun if moment is not None]
        return since, min([*known, now]) - self._starting if len(known) == len(begun) else None

    def _stored_columns(self) -> dict[str, set[str]]:
        rows = self._database.execute(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = %s",
            (self._do.dataset,),
        )
        found: dict[str, set[str]] = {}
        for table, column in rows:
            found.setdefault(table, set()).add(column)
        return found

    def _build(self, full: bool) -> None:
        for name in BEFORE_SPANS:
            self._do.run(name)
        old = "select 1 from build.scope as c where c._account_id = t._account_id and c.subscription = t.subscription"
        customers = "select _account_id, customer from build.item_spans"
        if not full:
            customers += f" union select _account_id, customer from stripe_metrics.item_spans as t where exists ({old})"
        self._do.make_table("customers", f"select distinct _account_id, customer from ({customers}) as c")
        for table in OF_SUBSCRIPTIONS:
            self._publish(table, None if full else old)
        self._do.run("60_movements.sql")
        of_customer = (
            "select 1 from build.customers as c where c._account_id = t._account_id and c.customer = t.customer"
        )
        for table in OF_CUSTOMERS:
            self._publish(table, None if full else of_customer)

    def _build_payments(self, full: bool) -> None:
        self._do.run("65_payments.sql")
        for table, replaced in PAYMENTS.items():
            self._publish(table, None if full else replaced)

    def _publish(self, table: str, replaced: str | None) -> None:
        """Replaces rows of a table by built ones: those that meet the condition `replaced`, or all if it is None."""
        columns = ", ".join(self._columns[table])
        self._do.query(f"delete from stripe_metrics.{table} as t" + (f" where exists ({replaced})" if replaced else ""))
        self._do.query(f"insert into stripe_metrics.{table} ({columns}) select {columns} from build.{table}")
        if replaced is None:
            self._do.analyze(f"stripe_metrics.{table}")

    def _finish(self, loaded: Set[str], following: datetime | None, options: str) -> None:
        """Builds the months, saves the progress, and drops the temporary tables."""
        self._do.query("delete from stripe_metrics._builds")
        self._do.query("insert into stripe_metrics._builds select _account_id, moment from build.newest")
        self._do.query("delete from stripe_metrics._progress")
        self._do.query("insert into stripe_metrics._progress values (%s, %s)", following, options)
        unloaded = ", ".join(f"('{name}')" for name in sorted(SOURCE_TABLES.keys() - loaded - OPTIONAL))
        nothing = "select cast(null as text) as table_name where false"
        self._do.make_table(
            "_unloaded", f"select * from (values {unloaded}) as u (table_name)" if unloaded else nothing
        )
        for table in WHOLE:
            self._publish(table, None)
        self._do.run("70_months.sql")
        self._do.drop_temporary()
