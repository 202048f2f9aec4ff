"""What Orb's event types mean: the table of each type's object, or why the type is ignored.

Data only. The first word of a type decides which field of the event has the object, so a type that Orb adds later needs
no line here if its first word is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from sources.catalogue import EventType

SUBJECTS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "backfill": ("backfill", "event_backfills"),
        "billable_metric": ("billable_metric", "billable_metrics"),
        "credit_block": ("block", "credit_blocks"),
        "credit_note": ("credit_note", "credit_notes"),
        "customer": ("customer", "customers"),
        "invoice": ("invoice", "invoices"),
        "payment_method": ("payment_method", "payment_methods"),
        "plan": ("plan", "plans"),
        "price": ("price", "prices"),
        "sales_order": ("invoice", "invoices"),
        "subscription": ("subscription", "subscriptions"),
        "transaction": ("transaction", "transactions"),
    }
)
"""The first word of an event type -> the event's field that has the object, and the object's table."""


def subject_of(type: str) -> tuple[str, str]:
    """The field of an event that has its object, and the object's table; both "" if the type names no object."""
    return SUBJECTS.get(type.partition(".")[0], ("", ""))


_ACCOUNTING = "accounting_sync_failed accounting_sync_succeeded"
_WORDS: Mapping[str, str] = {
    "backfill": "reflected reverted",
    "billable_metric": "edited",
    "credit_block": _ACCOUNTING,
    "credit_note": f"{_ACCOUNTING} issued marked_as_void",
    "customer": f"{_ACCOUNTING} balance_transaction_created created credit_balance_depleted credit_balance_dropped"
    " credit_balance_recovered credit_ledger_incremented edited",
    "invoice": f"{_ACCOUNTING} automation_schedule_step_executed dunning_schedule_created dunning_schedule_ended"
    " dunning_schedule_reset dunning_schedule_step_executed edited invoice_date_elapsed issue_failed issued"
    " issued_summary manually_marked_as_paid manually_marked_as_void payment_failed payment_processing"
    " payment_succeeded sync_failed sync_succeded sync_succeeded undo_mark_as_paid",
    "payment_method": "created deleted",
    "plan": "created default_version_set edited version_created",
    "price": "edited",
    "sales_order": _ACCOUNTING,
    "subscription": f"{_ACCOUNTING} alert_disabled cancellation_scheduled cancellation_unscheduled cost_exceeded"
    " created edited ended fixed_fee_quantity_updated grouped_cost_exceeded invoicing_threshold_exceeded"
    " license_allocation_reset license_balance_threshold_reached plan_change_scheduled plan_changed"
    " plan_version_change_scheduled plan_version_changed spend_exceeded started trial_ended usage_exceeded",
    "transaction": _ACCOUNTING,
}
"""The first word of the types -> their last words. `invoice.sync_succeded` is an older spelling that still arrives."""

_IGNORED: Mapping[str, str] = {
    "data_exports.transfer_error": "it reports an export of data, which no table holds",
    "data_exports.transfer_success": "it reports an export of data, which no table holds",
    "event.unmatched_event": "it is about usage events, which no table holds",
    "ingestion.unmatched_customer_ids": "it is about usage events, which no table holds",
    "invoice.cost_data_exported": "it reports an export of data, and changes nothing in the invoice",
    "invoice_due_date_recalculation.canceled": "it is about a job of Orb's, which no table holds",
    "invoice_due_date_recalculation.completed": "it is about a job of Orb's, which no table holds",
    "invoice_due_date_recalculation.started": "it is about a job of Orb's, which no table holds",
    "metric.events_dropped_by_watermark": "it is about usage events, which no table holds",
    "resource_event.test": "it is a test of the webhook",
}
"""Types that change no row, and why."""

TYPES: Mapping[str, EventType] = MappingProxyType(
    {
        f"{first}.{word}": EventType(SUBJECTS[first][1], deletes=word == "deleted")
        for first, words in _WORDS.items()
        for word in words.split()
    }
    | {name: EventType("", ignored=reason) for name, reason in _IGNORED.items()}
)
"""Every event type of the SDK, and the older spelling of one of them."""

ALERTS = frozenset(
    f"{first}.{word}"
    for first, words in {
        "customer": "credit_balance_depleted credit_balance_dropped credit_balance_recovered",
        "subscription": "alert_disabled cost_exceeded grouped_cost_exceeded invoicing_threshold_exceeded"
        " license_balance_threshold_reached spend_exceeded usage_exceeded",
    }.items()
    for word in words.split()
)
"""Types whose event is a row of `alert_events`."""
