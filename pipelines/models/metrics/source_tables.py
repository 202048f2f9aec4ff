"""The tables and columns that the metrics read, and how their rows belong to subscriptions.

A table or a column that was not loaded counts as empty: the metrics are built nevertheless, and `quality` names the
table. Types come from the catalogue. Opens no database.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from sources.catalogue import ColumnType
from sources.columns.columns import OWN_COLUMNS
from sources.stripe_api.catalogue import CATALOGUE


@dataclass(frozen=True, slots=True)
class SourceTable:
    """A table that is read: its columns, and the SQL expression for the subscription of a row (None: rows belong to
    none).

    Columns that the catalogue lacks, because only other API versions show them, have their type after a colon. `plain`
    is the column that has the subscription in most rows; the expression works for all rows. `account` is the column
    with the account, `stored` the column with the time when a row was stored.
    """

    columns: str
    subscription: str | None = None
    plain: str | None = None
    account: str = "_account_id"
    stored: str = "_synced_at"

    @property
    def elsewhere(self) -> str:
        """SQL of the subscription of a row whose plain column is null: few rows, with an index in Postgres."""
        return f"case when {self.plain} is null then {self.subscription} end"


OF_INVOICE = "coalesce((parent -> 'subscription_details') ->> 'subscription', subscription)"
OF_LINE = (
    "coalesce(subscription, (parent -> 'subscription_item_details') ->> 'subscription',"
    " (parent -> 'invoice_item_details') ->> 'subscription')"
)
LEDGER = "stripe_webhook_events"
OF_LEDGER = {
    "subscription": "case when type like 'customer.subscription.%' then object_id end",
    "discount": "case when type like 'customer.discount.%' then id end",
}
"""Expressions for the subscription of an event in the ledger. Postgres has an index on each, with few events in it."""

OF_EVENT = (
    "case when type like 'customer.subscription.%' then ({0} -> 'object') ->> 'id'"
    " when type like 'customer.discount.%' then ({0} -> 'object') ->> 'subscription' end"
)

SOURCE_TABLES: Mapping[str, SourceTable] = {
    "subscriptions": SourceTable(
        "id customer currency status start_date created trial_start trial_end ended_at canceled_at cancel_at"
        " cancel_at_period_end cancellation_details pause_collection discounts default_payment_method default_source",
        "id",
    ),
    "subscription_items": SourceTable("id price quantity created discounts current_period_end", "_parent_id"),
    "invoice_line_items": SourceTable(
        "id parent pricing currency quantity amount period discount_amounts taxes subscription"
        " subscription_item:text proration:bool price:json",
        OF_LINE,
        "subscription",
    ),
    "invoices": SourceTable(
        "id customer currency status created due_date amount_due amount_paid amount_remaining attempt_count attempted"
        " next_payment_attempt status_transitions discounts parent subscription:text",
        OF_INVOICE,
    ),
    "invoiceitems": SourceTable(
        "id customer invoice date parent pricing currency quantity amount period proration subscription:text"
        " subscription_item:text price:json",
        OF_INVOICE,
    ),
    "subscription_schedules": SourceTable(
        "id subscription customer status end_behavior phases", "coalesce(subscription, id)", "subscription"
    ),
    "events": SourceTable("id type created data", OF_EVENT.format("data")),
    LEDGER: SourceTable(
        "id:text type:text object_id:text account_id:text created:timestamp payload:json received_at:timestamp",
        OF_EVENT.format("(payload -> 'data')"),
        account="account_id",
        stored="received_at",
    ),
    "prices": SourceTable(
        "id product active currency type billing_scheme tiers_mode tiers unit_amount unit_amount_decimal"
        " transform_quantity recurring currency_options nickname"
    ),
    "products": SourceTable("id name"),
    "coupons": SourceTable("id percent_off amount_off currency currency_options duration applies_to name"),
    "discounts": SourceTable("id source customer subscription subscription_item start end coupon:json"),
    "customers": SourceTable("id discount invoice_settings default_source"),
    "payment_methods": SourceTable("id customer card"),
    "invoice_payments": SourceTable("id invoice payment"),
    "charges": SourceTable("id customer amount amount_captured currency created status captured payment_intent"),
    "refunds": SourceTable("id amount currency created status"),
    "disputes": SourceTable("id amount currency created status"),
    "balance_transactions": SourceTable("id amount currency created fee net reporting_category type"),
}

OPTIONAL = {"stripe_webhook_events"}
"""Tables that may be missing: the sink's own."""


def columns_of(table: str) -> Mapping[str, ColumnType]:
    """The columns of a table that are read, our own included -> their types."""
    source = SOURCE_TABLES[table]
    known = CATALOGUE.fields(table) if table in CATALOGUE.tables else {}
    found: dict[str, ColumnType] = {}
    for each in source.columns.split():
        name, _, given = each.partition(":")
        found[name] = given or known[name]  # type: ignore[assignment]
    if table in CATALOGUE.tables:
        found |= {
            name: kind
            for name, kind in OWN_COLUMNS.items()
            if name != "_source" and (name != "_parent_id" or CATALOGUE.tables[table].parent)
        }
    return found


def looked_up(tables: Mapping[str, Collection[str]]) -> Iterator[tuple[str, str, str]]:
    """Look-ups that need an index: table, name, and SQL expression. `tables`: name -> columns.

    Events of a subscription are also looked up in the sink's ledger.
    """
    for name, source in SOURCE_TABLES.items():
        if source.plain and name in tables:
            read = {each for each in columns_of(name) if re.search(rf"\b{each}\b", source.elsewhere)}
            if read <= {*tables[name]}:
                yield name, "subscription", source.elsewhere
    for of, expression in OF_LEDGER.items():
        yield LEDGER, of, expression
