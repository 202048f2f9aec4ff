"""Determines which rows a build of the metrics reads: all of them, or those affected by changes since the last build.

Creates `stripe.` (each loaded table), `source.` (the rows that are built again), and the tables that say what these
replace: `build.scope` (subscriptions), `build.stale_invoices`, `build.stale_months`. Every lookup is by a column or an
expression with an index in Postgres (`indexes.py`). Changes nothing outside the build.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from datetime import datetime

from pipelines.models.metrics.source_tables import LEDGER, OF_LEDGER, SOURCE_TABLES, SourceTable, columns_of
from pipelines.models.metrics.statements import Statements
from pipelines.models.views import quoted
from sources.catalogue import ColumnType

TYPES: dict[str, dict[ColumnType, str]] = {
    "postgres": {"json": "jsonb", "timestamp": "timestamptz", "double": "double precision", "bool": "boolean"},
    "duckdb": {"json": "json", "timestamp": "timestamptz", "double": "double", "bool": "boolean"},
}
STATED = {"text": "text", "bigint": "bigint", "decimal": "decimal(38, 12)"}

BY_MONTH = ("charges", "refunds", "disputes", "balance_transactions")
"""Tables that are summed by the month of creation: whole months are built again."""

OF_CUSTOMERS = {"customers": "id", "discounts": "customer", "payment_methods": "customer"}
"""Tables whose rows affect all subscriptions of a customer -> their column with the customer."""


class Changes:
    """The rows that a build reads. `stored`: table -> its columns, for tables that exist. `since`: the time of the last
    build.
    """

    def __init__(self, statements: Statements, stored: Mapping[str, Set[str]], since: datetime | None) -> None:
        self._do, self._since = statements, since
        self._stored = stored
        self._loaded = {name: table for name, table in SOURCE_TABLES.items() if stored.get(name)}

    def find(self) -> int:
        """Creates the tables and views. Returns how many subscriptions are built again."""
        for table in SOURCE_TABLES:
            self._do.make_view(f"stripe_{table}", self._selected(table, self._stored.get(table, frozenset())))
        self._do.make_table("newest", self._newest())
        self._do.run("05_offers.sql")
        if self._since is None:
            for table in SOURCE_TABLES:
                self._do.make_view(f"source_{table}", f"select * from stripe.{table}")
            self._do.make_view("source_billed", "select * from stripe.invoices")
            return self._count("stripe.subscriptions")
        self._find_subscriptions()
        self._find_payments()
        for table, source in SOURCE_TABLES.items():
            if table in BY_MONTH:
                of_months = (
                    f"stripe.{table} as r join build.stale_months as m"
                    " on m._account_id = r._account_id and r.created >= m.starts and r.created < m.ends"
                )
                self._do.make_table(f"source_{table}", self._rows(table, of_months), "created")
            elif source.subscription is None:
                self._do.make_view(f"source_{table}", f"select * from stripe.{table}")
            elif table not in ("invoices", "invoice_line_items"):
                self._do.make_table(f"source_{table}", self._rows(table, *self._of_scope(table, source)), "id")
        return self._count("build.scope")

    # --- subscriptions ------------------------------------------------------------------------------------------------

    def _find_subscriptions(self) -> None:
        of_customers = [
            f"select r._account_id, r.{column} as customer from stripe.{table} as r where {self._is_new('r', source)}"
            for table, column in OF_CUSTOMERS.items()
            if (source := self._loaded.get(table))
        ] or ["select _account_id, customer from stripe.subscriptions where false"]
        self._do.make_table("changed_customers", " union ".join(of_customers))
        changed = " union all ".join(self._changes())
        self._do.make_table(
            "scope", f"select distinct _account_id, subscription from ({changed}) as c where subscription is not null"
        )
        self._do.make_table(
            "scope_customers",
            "select distinct s._account_id, s.customer from build.scope as c join stripe.subscriptions as s"
            " on s._account_id = c._account_id and s.id = c.subscription",
        )
        lines = self._of_scope("invoice_line_items", SOURCE_TABLES["invoice_line_items"])
        self._do.make_table("source_invoice_line_items", self._rows("invoice_line_items", *lines), "id, _parent_id")
        of_customer = "r._account_id = c._account_id and r.customer = c.customer"
        invoices = self._rows("invoices", f"build.scope_customers as c join stripe.invoices as r on {of_customer}")
        self._do.make_table("scope_invoices", invoices, "id")
        self._do.make_table(  # a line's invoice may belong to another customer
            "other_invoices",
            "select distinct l._account_id, l._parent_id as id from source.invoice_line_items as l"
            " left join build.scope_invoices as i on i._account_id = l._account_id and i.id = l._parent_id"
            " where i.id is null",
        )
        of_line = "r._account_id = o._account_id and r.id = o.id"
        others = self._rows("invoices", f"build.other_invoices as o join stripe.invoices as r on {of_line}")
        self._do.make_table("source_invoices", f"select * from build.scope_invoices union all {others}", "id")

    def _changes(self) -> Iterator[str]:
        """SQL of the subscriptions that are built again: because of rows stored since the last build, of time that has
        passed, and of changed prices and coupons.
        """
        yield (
            "select d._account_id, d.subscription from stripe_metrics._due as d"
            " join build.newest as n on n._account_id = d._account_id and d.moment <= n.moment"
        )
        for kind, table, subscription, of_offer in (
            ("coupon", "stripe.subscriptions", "i.id", "true"),
            ("price", "stripe_metrics.item_spans", "i.subscription", "o.id = i.price"),
            ("price", "stripe.subscription_items", "i._parent_id", "o.id = i.price ->> 'id'"),
            ("price", "stripe.subscription_schedules", "coalesce(i.subscription, i.id)", "true"),
            (None, "stripe_metrics._gaps", "i.subscription", "true"),
        ):
            of_kind = f"and o.kind = '{kind}'" if kind else ""
            yield (
                f"select i._account_id, {subscription} from {table} as i"
                f" join build.changed_offers as o on o._account_id = i._account_id {of_kind} and {of_offer}"
            )
        yield (
            "select o._account_id, o.id from build.changed_customers as c join stripe.subscriptions as o"
            " on o._account_id = c._account_id and o.customer = c.customer"
        )
        # until the subscription begins, it has the schedule's id
        if schedules := self._loaded.get("subscription_schedules"):
            new = self._is_new("r", schedules)
            yield f"select r._account_id, r.id from stripe.subscription_schedules as r where {new}"
        for table, source in self._loaded.items():
            if source.subscription is not None:
                yield (
                    f"select r.{source.account}, {source.subscription} from stripe.{table} as r"
                    f" where {self._is_new('r', source)}"
                )

    def _of_scope(self, table: str, source: SourceTable) -> Iterator[str]:
        """SQL of joins whose `r` are a table's rows that belong to the subscriptions that are built again."""
        told = f"(select *, {source.subscription} as _subscription from stripe.{table}"
        if table == "invoiceitems":  # a customer has few, and each has a customer
            yield (
                f"build.scope_customers as k join {told}) as r on r._account_id = k._account_id"
                " and r.customer = k.customer"
                " join build.scope as c on c._account_id = r._account_id and c.subscription = r._subscription"
            )
            return
        of_scope = f"build.scope as c join {{}} as r on r.{source.account} = c._account_id and"
        if table == LEDGER:
            for told_by, of in (
                (OF_LEDGER["subscription"], ""),
                (source.subscription, f" where {OF_LEDGER['discount']} is not null"),
            ):
                events = f"(select *, {told_by} as _subscription from stripe.{LEDGER}{of})"
                yield f"{of_scope.format(events)} r._subscription = c.subscription"
            return
        if source.plain is not None:
            yield f"{of_scope.format(f'stripe.{table}')} r.{source.plain} = c.subscription"
            told = f"(select *, {source.elsewhere} as _subscription from stripe.{table} where {source.plain} is null"
        yield f"{of_scope.format(f'{told})')} r._subscription = c.subscription"

    def _rows(self, table: str, *joins: str) -> str:
        """SQL of the rows `r` of a table in these joins.

        In DuckDB, the join reads only its own columns for all rows, and the others for the rows found, which takes a
        tenth of the time. Postgres uses an index.
        """
        if not self._do.is_postgres:
            found = " union all ".join(f"select r._place from {join}" for join in joins)
            return f"select r.* from stripe.{table} as r where r._place in ({found})"
        columns = ", ".join(f'r."{name}"' for name in columns_of(table))
        return " union all ".join(f"select {columns} from {join}" for join in joins)

    # --- payments -----------------------------------------------------------------------------------------------------

    def _find_payments(self) -> None:
        def new(table: str) -> str:
            return self._is_new("r", SOURCE_TABLES[table])

        self._do.make_table(
            "stale_invoices",
            f"select r._account_id, r.id as invoice from stripe.invoices as r where {new('invoices')}"
            f" union select r._account_id, r.invoice from stripe.invoice_payments as r where {new('invoice_payments')}"
            " union select p._account_id, p.invoice from stripe.charges as r join stripe.invoice_payments as p on"
            " p._account_id = r._account_id and p.payment ->> 'payment_intent' = r.payment_intent"
            f" where {new('charges')}",
        )
        stale = (
            "build.stale_invoices as i join stripe.invoices as r on r._account_id = i._account_id and r.id = i.invoice"
        )
        self._do.make_table("source_billed", self._rows("invoices", stale), "id")
        created = " union all ".join(
            f"select r._account_id, r.created from stripe.{table} as r where {new(table)}" for table in BY_MONTH
        )
        self._do.make_table(
            "stale_months",
            "select distinct _account_id, month, timezone(zone, cast(month as timestamp)) as starts,"
            " timezone(zone, cast(month as timestamp) + interval '1 month') as ends from ("
            " select r._account_id, cast(date_trunc('month', timezone(s.timezone, r.created)) as date) as month,"
            f" s.timezone as zone from ({created}) as r cross join stripe_metrics.settings as s"
            " where r.created is not null) as months",
        )

    # --- what has been stored -----------------------------------------------------------------------------------------

    def _is_new(self, row: str, source: SourceTable) -> str:
        """SQL condition: the row was stored since the last build, or at an unknown time."""
        stored = f"{row}.{source.stored}"
        return f"({stored} >= timestamptz '{self._since}' or {stored} is null)"

    def _newest(self) -> str:
        """SQL of each account's newest `_as_of`."""
        parts = ["select _account_id, as_of as moment from stripe_metrics._builds"] if self._since else []
        parts += [
            f"select r._account_id, max(r._as_of) from stripe.{table} as r"
            + (f" where {self._is_new('r', source)}" if self._since else "")
            + " group by r._account_id"
            for table, source in self._loaded.items()
            if table != LEDGER
        ]
        parts = parts or ["select cast(null as text), cast(null as timestamptz)"]
        return (
            f"select _account_id, max(moment) as moment from ({' union all '.join(parts)}) as m (_account_id, moment)"
            " group by _account_id having max(moment) is not null"
        )

    def _selected(self, table: str, stored: Set[str]) -> str:
        """SQL of a loaded table's columns: missing columns are null, a missing table has no rows.

        In DuckDB with each row's `rowid`, see `_rows`.
        """
        types = TYPES[self._do.dialect] | STATED
        shown = ", ".join(
            f'cast("{name}" as {types[kind]}) as "{name}"'
            if name in stored and kind == "json"
            else f'"{name}"'
            if name in stored
            else f'cast(null as {types[kind]}) as "{name}"'
            for name, kind in columns_of(table).items()
        )
        if not self._do.is_postgres:
            shown += ", rowid as _place" if stored else ", cast(null as bigint) as _place"
        loaded = f"from {quoted(self._do.dataset)}.{quoted(table)}" if stored else "where false"
        return f"select {shown} {loaded}"

    def _count(self, table: str) -> int:
        ((count,),) = self._do.query(f"select count(*) from {table}")
        return int(count)
