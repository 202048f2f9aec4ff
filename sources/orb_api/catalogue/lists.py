"""Orb's lists: paths, passes, order and filters. Data only.

A filter by time is named after its field: `created_at[gte]`, `invoice_date[gte]`. The passes request what a list hides
by default. Lists that need a request for each parent are read only if they are selected by name.
"""

from __future__ import annotations

from dataclasses import replace

from sources.catalogue import Params, Parent, Resource

SUMMARY = "It shows the same objects with fewer fields"
SAME_BY_EXTERNAL_ID = "It is the same list by the customer's external id"
CUSTOMER = Parent("customers", "customer_id", "path")
SUBSCRIPTION = Parent("subscriptions", "subscription_id", "path")

# Credits are listed for one currency or pricing unit at a time, and no list of Orb's API shows which ones exist.
_CURRENCIES = Parent(
    "",
    "currency",
    "query",
    values=(
        "prices.currency",
        "plans.currency",
        "plans.invoicing_currency",
        "customers.currency",
        "credit_top_ups.currency",
        "alert_events.properties.pricing_unit",
        "webhook_events.payload.properties.pricing_unit",
    ),
    always=("credits",),
)
_CURRENCIES_OF_BLOCKS = replace(_CURRENCIES, fills="credit_blocks.currency")


def _root(
    object_name: str,
    table: str,
    *,
    name: str = "",
    path: str = "",
    filtered_by: str | None = None,
    passes: tuple[Params, ...] = ((),),
    limit: int = 100,
    groups: tuple[str, ...] = ("default",),
    statuses: tuple[str, ...] = (),
    shown_for: int | None = None,
) -> Resource:
    """A list without a parent. `filtered_by` is the field of its filter by time and its order.

    With `statuses`, one pass requests the objects that have one of these.
    """
    return Resource(
        name or table,
        f"/v1/{path or table}",
        table,
        (object_name,),
        "root",
        created="iso" if filtered_by else "none",
        limit=limit,
        passes=(tuple(("status[]", status) for status in statuses),) if statuses else passes,
        newest_first=filtered_by is not None,
        created_field=filtered_by,
        groups=groups,
        shown_for=shown_for,
        statuses=statuses,
    )


def _each(
    name: str,
    path: str,
    object_name: str,
    *parents: Parent,
    table: str = "",
    each: Parent | None = None,
    passes: tuple[Params, ...] = ((),),
    not_loaded: str | None = None,
) -> Resource:
    """A list for each parent; with `not_loaded`, one that is never loaded."""
    return Resource(
        name,
        f"/v1/{path}",
        table or name,
        (object_name,),
        "child" if parents else "root",
        passes=passes,
        parents=parents,
        each=each,
        not_loaded=not_loaded,
    )


def _each_of(name: str, *values: str) -> tuple[Params, ...]:
    """A pass for each value of a parameter."""
    return tuple(((name, value),) for value in values)


CORE = ("core", "default")
VOLUME_DAYS = 45  # days whose sums are read again each time

LISTS = (
    _root("customer", "customers", filtered_by="created_at", groups=CORE),
    _root(
        "subscription",
        "subscriptions",
        filtered_by="created_at",
        passes=(tuple(("status[]", status) for status in ("active", "ended", "upcoming")),),
        groups=CORE,
    ),
    # Without a status, drafts and void invoices are hidden. Drafts are dated at the end of their period, which lies in
    # the future, and change until they are issued: all of them are read each time.
    _root("invoice", "invoices", name="invoice_drafts", statuses=("draft",), groups=CORE),
    _root(
        "invoice",
        "invoices",
        filtered_by="invoice_date",
        statuses=("issued", "paid", "synced", "void"),
        groups=CORE,
    ),
    _root("credit_note", "credit_notes", filtered_by="created_at", groups=CORE),
    # It is not documented which plans the list shows without a status.
    _root(
        "plan",
        "plans",
        filtered_by="created_at",
        passes=_each_of("status", "active", "archived", "draft"),
        groups=CORE,
    ),
    # Plans contain their prices, and subscriptions contain their own prices inside their price intervals.
    _root("price", "prices", groups=CORE),
    _root("item", "items", groups=CORE),
    # It has a filter by `created_at`, but its objects do not show this field. It has failed with larger pages.
    _root("billable_metric", "billable_metrics", path="metrics", limit=50, groups=CORE),
    _root("coupon", "coupons", passes=((("show_archived", "true"),),), groups=CORE),
    _root("dimensional_price_group", "dimensional_price_groups"),
    _root("backfill", "event_backfills", path="events/backfills"),
    _root("license_type", "license_types"),
    _root("subscription_change", "subscription_changes", passes=_each_of("status", "pending", "applied", "cancelled")),
    _root("webhook_endpoint", "webhook_endpoints"),
    # Orb's documentation describes the log of events, but not how far back it goes. The SDK lacks it.
    _root("webhook_event", "webhook_events", filtered_by="created_at", groups=(), shown_for=0),
    # --- a request for each parent
    _each("alerts", "alerts", "alert", replace(CUSTOMER, where="query")),
    # By subscription it also shows the alerts of the plan.
    _each("subscription_alerts", "alerts", "alert", replace(SUBSCRIPTION, where="query"), table="alerts"),
    _each(
        "customer_balance_transactions",
        "customers/{customer_id}/balance_transactions",
        "balance_transaction",
        CUSTOMER,
    ),
    # Without the parameter, expired and empty blocks are hidden.
    _each(
        "credit_blocks",
        "customers/{customer_id}/credits",
        "credit_block",
        CUSTOMER,
        each=_CURRENCIES_OF_BLOCKS,
        passes=((("include_all_blocks", "true"),),),
    ),
    _each(
        "credit_ledger_entries", "customers/{customer_id}/credits/ledger", "ledger_entry", CUSTOMER, each=_CURRENCIES
    ),
    _each("credit_top_ups", "customers/{customer_id}/credits/top_ups", "top_up", CUSTOMER),
    _each("licenses", "licenses", "license", replace(SUBSCRIPTION, where="query")),
    _each("subscription_schedules", "subscriptions/{subscription_id}/schedule", "subscription_schedule", SUBSCRIPTION),
    _each("plan_migrations", "plans/{plan_id}/migrations", "plan_migration", Parent("plans", "plan_id", "path")),
    # Without a status, archived prices are hidden.
    _each(
        "dimensional_price_group_prices",
        "dimensional_price_groups/{dimensional_price_group_id}/prices",
        "price",
        Parent("dimensional_price_groups", "dimensional_price_group_id", "path"),
        table="prices",
        passes=((("status", "all"),),),
    ),
    # --- sums of usage events for each hour. Late events change them, so that the last days are read each time.
    Resource(
        "event_volumes",
        "/v1/events/volume",
        "event_volumes",
        ("event_volume",),
        "root",
        pagination="single",
        range_params=("timeframe_start", "timeframe_end"),
        created_field="timeframe_start",
        shown_for=VOLUME_DAYS * 86_400,
    ),
    # --- never loaded
    _each("invoice_summaries", "invoices/summary", "invoice", table="invoices", not_loaded=SUMMARY),
    _each("subscription_summaries", "subscriptions/summary", "subscription", table="subscriptions", not_loaded=SUMMARY),
    _each(
        "coupon_subscriptions",
        "coupons/{coupon_id}/subscriptions",
        "subscription",
        Parent("coupons", "coupon_id", "path"),
        table="subscriptions",
        not_loaded="It shows subscriptions that are loaded already",
    ),
    *(
        _each(
            f"{table}_by_external_id",
            f"customers/external_customer_id/{{external_customer_id}}/{path}",
            object_name,
            Parent("customers", "external_customer_id", "path"),
            table=table,
            not_loaded=SAME_BY_EXTERNAL_ID,
        )
        for table, path, object_name in (
            ("credit_blocks", "credits", "credit_block"),
            ("credit_ledger_entries", "credits/ledger", "ledger_entry"),
            ("credit_top_ups", "credits/top_ups", "top_up"),
        )
    ),
)
"""Every list operation of Orb's API."""

LIMITED = {"/v1/events/volume": "analytics"} | {
    resource.path: "ledger" for resource in LISTS if resource.path.startswith("/v1/customers/{customer_id}/credits")
}
"""Paths -> the name of the limit that they share, which is lower than that of other reads."""
