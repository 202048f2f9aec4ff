"""Orb's tables: keys, witnesses, embedded lists, paths of single objects. Data only.

Neither an object nor its id shows the object's type. An embedded list is a plain array, which is always whole.
"""

from __future__ import annotations

from sources.catalogue import Embedded, Expanded, Table

BELOW_PARENT = ("id", "_parent_id")
"""The key of objects whose ids are unique only below their parent."""


def _table(
    name: str,
    object_name: str,
    *,
    witness: str = "created_at",
    retrieve: str | None = None,
    embedded: dict[str, str] | None = None,
    expanded: tuple[Expanded, ...] = (),
    key: tuple[str, ...] = ("id",),
    parent: str | None = None,
    parent_field: str | None = None,
    kept: dict[str, str] | None = None,
) -> Table:
    """A table. `embedded` are arrays inside its objects: field -> table. `kept` are columns that the objects do not
    show.
    """
    return Table(
        name,
        (object_name,),
        key=key,
        parent=parent,
        parent_field=parent_field,
        embedded=tuple(Embedded(field, table, path="") for field, table in (embedded or {}).items()),
        expanded=expanded,
        retrieve=f"/v1/{retrieve}" if retrieve else None,
        kept=tuple((kept or {}).items()),
        witness=witness,
        moments="iso",
    )


TABLES = (
    _table("customers", "customer", retrieve="customers/{id}"),
    _table(
        "subscriptions",
        "subscription",
        retrieve="subscriptions/{id}",
        embedded={
            "price_intervals": "subscription_price_intervals",
            "adjustment_intervals": "subscription_adjustment_intervals",
        },
    ),
    _table("invoices", "invoice", retrieve="invoices/{id}", embedded={"line_items": "invoice_line_items"}),
    _table(
        "credit_notes", "credit_note", retrieve="credit_notes/{id}", embedded={"line_items": "credit_note_line_items"}
    ),
    # Several plans can show one price: the plan keeps the ids, and a price belongs to no plan.
    _table("plans", "plan", retrieve="plans/{id}", expanded=(Expanded("prices", "prices"),)),
    _table("prices", "price", retrieve="prices/{id}"),
    _table("items", "item", retrieve="items/{id}"),
    _table("billable_metrics", "billable_metric", witness="name", retrieve="metrics/{id}"),
    _table("coupons", "coupon", witness="redemption_code", retrieve="coupons/{id}"),
    _table(
        "dimensional_price_groups", "dimensional_price_group", witness="name", retrieve="dimensional_price_groups/{id}"
    ),
    _table("event_backfills", "backfill", retrieve="events/backfills/{id}"),
    _table("license_types", "license_type", witness="name", retrieve="license_types/{id}"),
    _table("subscription_changes", "subscription_change", witness="status", retrieve="subscription_changes/{id}"),
    _table("webhook_endpoints", "webhook_endpoint", retrieve="webhook_endpoints/{id}"),
    _table("webhook_events", "webhook_event", retrieve="webhook_events/{id}"),
    # --- from webhooks alone: no list has them
    _table("payment_methods", "payment_method"),
    _table("transactions", "transaction"),
    _table("alert_events", "alert_event"),
    # --- inside other objects
    _table(
        "subscription_price_intervals",
        "price_interval",
        witness="start_date",
        key=BELOW_PARENT,
        parent="subscriptions",
    ),
    _table(
        "subscription_adjustment_intervals",
        "adjustment_interval",
        witness="start_date",
        key=BELOW_PARENT,
        parent="subscriptions",
    ),
    _table("invoice_line_items", "invoice_line_item", witness="name", key=BELOW_PARENT, parent="invoices"),
    _table("credit_note_line_items", "credit_note_line_item", witness="name", key=BELOW_PARENT, parent="credit_notes"),
    # --- a request for each parent
    _table("alerts", "alert", retrieve="alerts/{id}"),
    _table("customer_balance_transactions", "balance_transaction", parent="customers"),
    _table(
        "credit_blocks",
        "credit_block",
        witness="status",
        parent="customers",
        retrieve="credit_blocks/{id}",
        kept={"currency": "The currency or pricing unit, by which the customer's blocks are listed."},
    ),
    _table("credit_ledger_entries", "ledger_entry", parent="customers"),
    _table("credit_top_ups", "top_up", witness="amount", parent="customers"),
    _table(
        "licenses",
        "license",
        witness="status",
        parent="subscriptions",
        parent_field="subscription_id",
        retrieve="licenses/{id}",
    ),
    _table("subscription_schedules", "subscription_schedule", key=("start_date", "_parent_id"), parent="subscriptions"),
    _table(
        "plan_migrations",
        "plan_migration",
        witness="status",
        parent="plans",
        parent_field="plan_id",
        retrieve="plans/{_parent_id}/migrations/{id}",
    ),
    _table("event_volumes", "event_volume", witness="count", key=("timeframe_start",)),
)
"""Every table that Orb's objects can fill."""
