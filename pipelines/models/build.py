"""Builds the schema `<dataset>_metrics`: runs the numbered SQL files over the loaded tables, in one transaction.

    Build(database, "stripe").run()

The files are the same for both databases. In them `stripe.` stands for the loaded tables, `source.` for those of their
rows that are built again, `build.` for temporary tables of the build, and `stripe_metrics.` for the schema. Readers see
the last good tables until the transaction commits, and whatever ends a build before leaves them as they are. Only
subscriptions whose rows were stored since the last build are built again, unless an option has changed. Knows no
provider's API and no HTTP.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from pipelines.models.settings import DEFAULTS, check_settings
from pipelines.models.source_tables import OPTIONAL, SOURCE_TABLES, SourceTable, columns_of
from pipelines.warehouse.database import Database, has_table
from pipelines.warehouse.problems import database_problems
from pipelines.warehouse.rights import refuse_missing
from sources.catalogue import ColumnType

LAYOUT = 1
"""The layout of the schema's tables. With another one they are made anew."""

OVERLAP = {"postgres": 120, "duckdb": 0}
"""Seconds by which the next build begins before the newest row that this one saw: a writer's rows have the moment at
which its transaction began, and are seen when it ends. DuckDB has one writer at a time."""

DECIMALS = {0: "bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf", 3: "bhd jod kwd omr tnd"}
"""Currencies whose smallest unit is not a hundredth: https://docs.stripe.com/currencies#zero-decimal. ISK and UGX have
two decimals in Stripe's API. https://docs.stripe.com/currencies#special-cases"""

TYPES: dict[str, dict[ColumnType, str]] = {
    "postgres": {"json": "jsonb", "timestamp": "timestamptz", "double": "double precision", "bool": "boolean"},
    "duckdb": {"json": "json", "timestamp": "timestamptz", "double": "double", "bool": "boolean"},
}
STATED = {"text": "text", "bigint": "bigint", "decimal": "decimal(38, 12)"}

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
    "scheduled_changes",
    "subscription_events",
    "_gaps",
    "_due",
)
"""Tables of which a build replaces the rows of the subscriptions that it builds again."""

OF_CUSTOMERS = ("movements", "_customer_months")
"""The same with the customers of these subscriptions."""

VIEWS = ("80_conversions.sql", "90_views.sql", "95_insights.sql")
KEPT = ("settings", "exchange_rates", "currencies")
"""Tables that are the user's own."""

WHOLE = ("dunning", "_revenue", "_balance", "_names", "_inactive_prices", "_unloaded", "_offers")
"""Tables that every build replaces."""


@dataclass(frozen=True, slots=True)
class Built:
    """What a build did. `subscriptions` were built again, all of them where it was `full`."""

    full: bool
    subscriptions: int
    seconds: float


class Build:
    """One build of a dataset's metrics through an open database."""

    def __init__(self, database: Database, dataset: str, *, overlap: int | None = None) -> None:
        self._database, self._dataset, self.schema = database, dataset, f"{dataset}_metrics"
        self._overlap = OVERLAP[database.dialect] if overlap is None else overlap
        self._is_postgres = database.dialect == "postgres"
        self._temporary = "pg_temp" if self._is_postgres else "temp"
        self._made: list[tuple[str, str]] = []
        self._loaded: set[str] = set()

    def run(self, *, full: bool = False) -> Built:
        """Brings the schema up to date.

        Raises BadConfiguration for a setting in `settings` that cannot work, `DatabaseProblem` for a missing right.
        """
        began = time.monotonic()
        with database_problems(), self._database.transaction():
            self._create()
            options = self._options()
            known = self._query("select max(options) from stripe_metrics._builds")[0][0]
            full = full or known != options
            self._find_changes(full)
            count = self._subscriptions(full)
            if full or count:
                self._build_all(full)
            self._finish(options)
        return Built(full, count, time.monotonic() - began)

    # --- the schema ---------------------------------------------------------------------------------------------------

    def _create(self) -> None:
        """Makes the schema where it is missing, and its tables and views where their files have changed.

        Views that stay as they are are not touched: replacing them would make readers wait until the build is done.
        """
        if self._is_postgres:  # one build at a time
            refuse_missing(self._database, self.schema, ["_layout"])
            self._database.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", (self.schema,))
            self._database.execute("SET LOCAL work_mem = '128MB'")
        sql = "SELECT 1 FROM information_schema.schemata WHERE schema_name = %s"
        if not self._database.execute(sql, (self.schema,)):
            self._execute_text(f"create schema {_quoted(self.schema)}")
        tables = f"{LAYOUT} {_digest('00_tables.sql')}"
        files = (f"helpers_{self._database.dialect}.sql", *VIEWS)
        layout = f"{tables} {_digest(*files)}"
        known = ""
        if has_table(self._database, self.schema, "_layout"):
            known = "".join(text for (text,) in self._query("select layout from stripe_metrics._layout"))
        if known == layout:
            return
        if known and not known.startswith(tables):
            self._drop()
        for file in ("00_tables.sql", *files):
            self._run(file)
        if not self._query("select 1 from stripe_metrics.settings"):
            names, values = ", ".join(DEFAULTS), ", ".join(["%s"] * len(DEFAULTS))
            self._query(f"insert into stripe_metrics.settings ({names}) values ({values})", *DEFAULTS.values())
        if not self._query("select 1 from stripe_metrics.currencies"):
            rows = ", ".join(f"('{code}', {many})" for many, codes in DECIMALS.items() for code in codes.split())
            self._query(f"insert into stripe_metrics.currencies values {rows}")
        self._query("delete from stripe_metrics._layout")
        self._query("insert into stripe_metrics._layout values (%s)", layout)

    def _drop(self) -> None:
        """Drops the views, and the tables that a build fills: the user's own stay as they are."""
        for file, kind in ((VIEWS[::-1], "view"), (("00_tables.sql",), "table")):
            text = " ".join(statement for name in file for statement in statements(name))
            names = re.findall(rf"create (?:or replace )?{kind} (?:if not exists )?stripe_metrics\.(\w+)", text)
            for name in reversed(names):
                if name not in KEPT:
                    self._query(f"drop {kind} if exists stripe_metrics.{name}")

    def _options(self) -> str:
        """All that the tables depend on beside the loaded rows, as one text. Raises BadConfiguration."""
        names = tuple(DEFAULTS)
        rows = self._query(f"select {', '.join(names)} from stripe_metrics.settings")
        check_settings([dict(zip(names, row, strict=True)) for row in rows], self._zones())
        return f"{LAYOUT} {rows[0]}"

    def _zones(self) -> set[str]:
        view = "pg_timezone_names" if self._is_postgres else "pg_timezone_names()"
        return {name for (name,) in self._database.execute(f"SELECT name FROM {view}")}

    # --- what has changed ---------------------------------------------------------------------------------------------

    def _find_changes(self, full: bool) -> None:
        """Makes `source.` of every table, and `build.scope`: the subscriptions that are built again."""
        columns = self._stored_columns()
        for table in SOURCE_TABLES:
            self._make_view(f"stripe_{table}", self._selected(table, columns.get(table, set())))
        since = (
            "select _account_id, synced_through - interval '{} seconds' as since, as_of, synced_through"
            " from stripe_metrics._builds"
        )
        nobody = (
            "select cast(null as text) as _account_id, cast(null as timestamptz) as since, cast(null as timestamptz)"
            " as as_of, cast(null as timestamptz) as synced_through where false"
        )
        self._make_table("since", nobody if full else since.format(self._overlap))
        stored = {name: one for name, one in SOURCE_TABLES.items() if columns.get(name)}
        self._loaded = set(stored)
        self._make_table("newest", self._newest(stored))
        if full:
            self._run("05_offers.sql")
            for table in SOURCE_TABLES:
                self._make_view(f"source_{table}", f"select * from stripe.{table}")
            return
        self._run("05_offers.sql")
        changed = " union all ".join(self._changes(stored))
        self._make_table(
            "scope", f"select distinct _account_id, subscription from ({changed}) as c where subscription is not null"
        )
        for table, source in sorted(SOURCE_TABLES.items(), key=lambda each: each[0] == "invoices"):
            if source.subscription is None:
                self._make_view(f"source_{table}", f"select * from stripe.{table}")
            elif table == "invoices":  # by columns that need no parsing: whatever these customers were billed
                self._make_table(
                    "source_invoices",
                    "select r.* from stripe.invoices as r where exists (select 1 from build.scope as c join"
                    " stripe.subscriptions as s on s._account_id = c._account_id and s.id = c.subscription"
                    " where s._account_id = r._account_id and s.customer = r.customer) or exists (select 1 from"
                    " source.invoice_line_items as l where l._account_id = r._account_id and l._parent_id = r.id)",
                )
            else:
                self._make_table(
                    f"source_{table}",
                    f"select * from (select *, {source.subscription} as _subscription from stripe.{table}) as r"
                    f" where exists (select 1 from build.scope as c where c._account_id = r.{source.account}"
                    " and c.subscription = r._subscription)",
                )

    def _changes(self, stored: Mapping[str, SourceTable]) -> Iterator[str]:
        """SQL of the subscriptions that are built again: by rows that were stored since the last build, by time that
        has passed, and by prices and coupons that are others now."""
        yield (
            "select d._account_id, d.subscription from stripe_metrics._due as d"
            " join build.newest as n on n._account_id = d._account_id and d.moment <= n.moment"
        )
        yield (
            "select s._account_id, s.id from stripe.subscriptions as s"
            " join build.changed_offers as o on o._account_id = s._account_id and o.kind = 'coupon'"
        )
        yield (
            "select i._account_id, i.subscription from stripe_metrics.item_spans as i"
            " join build.changed_offers as o on o._account_id = i._account_id and o.id = i.price"
        )
        yield (
            "select g._account_id, g.subscription from stripe_metrics._gaps as g"
            " join build.changed_offers as o on o._account_id = g._account_id"
        )
        for table, source in stored.items():
            since = f"from stripe.{table} as r where {self._is_new('r', source)}"
            if source.subscription is not None:
                yield f"select r.{source.account}, {source.subscription} {since}"
            elif table in ("customers", "discounts", "payment_methods"):
                customer = "r.id" if table == "customers" else "r.customer"
                yield (
                    f"select o._account_id, o.id from stripe.subscriptions as o where exists (select 1 {since}"
                    f" and r._account_id = o._account_id and {customer} = o.customer)"
                )

    def _is_new(self, row: str, source: SourceTable) -> str:
        """SQL: whether a row was stored since the last build of its account, or nobody knows when."""
        stored = f"{row}.{source.stored}"
        return (
            f"({stored} >= (select min(since) from build.since) and {stored} >= coalesce((select max(s.since) from"
            f" build.since as s where s._account_id = {row}.{source.account}), {stored}) or {stored} is null)"
        )

    def _newest(self, stored: Mapping[str, SourceTable]) -> str:
        """SQL of each account's newest moment, and of when its newest row was stored."""
        is_first = not self._query("select 1 from build.since limit 1")
        parts = [
            f"select r._account_id, max(r._as_of) as moment, max(r._synced_at) as synced_at from stripe.{table} as r"
            + ("" if is_first else f" where {self._is_new('r', source)}")
            + " group by r._account_id"
            for table, source in stored.items()
            if table != "stripe_webhook_events"
        ]
        parts.insert(0, "select _account_id, as_of as moment, synced_through as synced_at from build.since")
        return (
            "select _account_id, max(moment) as moment, max(synced_at) as synced_at from"
            f" ({' union all '.join(parts)}) as moments group by _account_id having max(moment) is not null"
        )

    def _selected(self, table: str, stored: set[str]) -> str:
        """SQL of a loaded table's columns: null where they never arrived, no row where the table did not."""
        types = TYPES[self._database.dialect] | STATED
        shown = ", ".join(
            f'cast("{name}" as {types[kind]}) as "{name}"'
            if name in stored and kind == "json"
            else f'"{name}"'
            if name in stored
            else f'cast(null as {types[kind]}) as "{name}"'
            for name, kind in columns_of(table).items()
        )
        return f"select {shown} " + (f"from {_quoted(self._dataset)}.{_quoted(table)}" if stored else "where false")

    def _stored_columns(self) -> dict[str, set[str]]:
        rows = self._database.execute(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = %s", (self._dataset,)
        )
        found: dict[str, set[str]] = {}
        for table, column in rows:
            found.setdefault(table, set()).add(column)
        return found

    def _subscriptions(self, full: bool) -> int:
        ((count,),) = self._query(f"select count(*) from {'stripe.subscriptions' if full else 'build.scope'}")
        return int(count)

    # --- building -----------------------------------------------------------------------------------------------------

    def _build_all(self, full: bool) -> None:
        for name in BEFORE_SPANS:
            self._run(name)
        old = "select 1 from build.scope as c where c._account_id = t._account_id and c.subscription = t.subscription"
        if full:
            self._make_table("customers", "select distinct _account_id, customer from build.item_spans")
        else:
            self._make_table(
                "customers",
                f"select _account_id, customer from stripe_metrics.item_spans as t where exists ({old})"
                " union select _account_id, customer from build.item_spans",
            )
        of_customer = (
            "select 1 from build.customers as c where c._account_id = t._account_id and c.customer = t.customer"
        )
        for table in OF_SUBSCRIPTIONS:
            self._publish(table, None if full else old)
        self._run("60_movements.sql")
        for table in OF_CUSTOMERS:
            self._publish(table, None if full else of_customer)

    def _publish(self, table: str, replaced: str | None) -> None:
        """Puts what was built in the place of the rows that it replaces, all of them where it is None."""
        columns = ", ".join(
            name
            for (name,) in self._database.execute(
                "SELECT column_name FROM information_schema.columns WHERE table_schema = %s AND table_name = %s"
                " ORDER BY ordinal_position",
                (self.schema, table),
            )
        )
        self._query(f"delete from stripe_metrics.{table} as t" + (f" where exists ({replaced})" if replaced else ""))
        self._query(f"insert into stripe_metrics.{table} ({columns}) select {columns} from build.{table}")
        if self._is_postgres:
            self._query(f"analyze stripe_metrics.{table}")

    def _finish(self, options: str) -> None:
        """Payments, the months, how far it has come; drops what is temporary."""
        self._query("delete from stripe_metrics._builds")
        self._query(
            "insert into stripe_metrics._builds select _account_id, moment, synced_at, %s from build.newest", options
        )
        self._run("65_payments.sql")
        unloaded = ", ".join(f"('{name}')" for name in sorted(SOURCE_TABLES.keys() - self._loaded - OPTIONAL))
        nothing = "select cast(null as text) as table_name where false"
        self._make_table("_unloaded", f"select * from (values {unloaded}) as u (table_name)" if unloaded else nothing)
        for table in WHOLE:
            self._publish(table, None)
        self._run("70_months.sql")
        for kind, name in reversed(self._made):
            self._database.execute(f"drop {kind} {self._temporary}.{name}")
        self._made.clear()

    # --- statements ---------------------------------------------------------------------------------------------------

    def _run(self, file: str) -> None:
        for statement in statements(file):
            self._execute_text(self._named(statement))
            if made := re.match(r"create (table|view) build\.(\w+)", statement):
                self._made.append((made[1], made[2]))
                if self._is_postgres:
                    self._query(f"analyze build.{made[2]}")

    def _make_table(self, name: str, query: str) -> None:
        self._execute_text(self._named(f"create table build.{name} as {query}"))
        self._made.append(("table", name))
        if self._is_postgres:
            self._query(f"analyze build.{name}")

    def _make_view(self, name: str, query: str) -> None:
        self._execute_text(f"create temporary view {name} as {self._named(query)}")
        self._made.append(("view", name))

    def _query(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        return self._database.execute(self._named(sql), parameters)

    def _execute_text(self, sql: str) -> None:
        self._database.execute(sql)

    def _named(self, sql: str) -> str:
        """SQL with the names that hold in this database."""
        sql = sql.replace("create table build.", "create temporary table ")
        sql = re.sub(r"\bstripe_metrics\.", f"{_quoted(self.schema)}.", sql)
        sql = re.sub(r"\b(source|stripe)\.(\w+)", rf"{self._temporary}.\1_\2", sql)
        return re.sub(r"\bbuild\.", f"{self._temporary}.", sql)


def statements(file: str) -> Iterator[str]:
    """The statements of one of the SQL files, without the comments before them."""
    text = (resources.files("pipelines.models.metrics") / file).read_text("utf-8")
    for part in re.split(r";\n", text):
        lines = part.strip().splitlines()
        while lines and (not lines[0] or lines[0].startswith("--")):
            lines.pop(0)
        if lines:
            yield "\n".join(lines)


def _digest(*files: str) -> str:
    """What tells one state of the files from another."""
    return hashlib.sha256("\0".join(text for file in files for text in statements(file)).encode()).hexdigest()[:16]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
