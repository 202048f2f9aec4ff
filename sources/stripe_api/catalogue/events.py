"""Stripe's event types as data: each one's table, which ones delete the object, which are ignored and why.

`tests/webhook_sink/test_event_types.py` holds the list against the installed SDK. Types that Stripe adds later need no
line here: the payload's own `object` names the table. Knows no HTTP, no column and no database.

    TYPES["customer.subscription.updated"]     # EventType(table="subscriptions", deletes=False, ignored=None)
    table_of_event("customer.source.updated", {"object": "card", ...})         # "payment_sources"
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from sources.catalogue import EventType
from sources.stripe_api.catalogue import TABLES, table_of


@dataclass(frozen=True, slots=True)
class Family:
    """Types that share beginning and table: `stem`.`change` for each of the changes, which blanks separate."""

    stem: str
    table: str
    changes: str


FAMILIES = (
    Family("account.application", "applications", "authorized deauthorized"),
    Family("account.external_account", "external_accounts", "created deleted updated"),
    Family("account", "accounts", "updated"),
    Family("application_fee", "application_fees", "created refunded"),
    Family("application_fee.refund", "fee_refunds", "updated"),
    Family("apps.install", "apps_installs", "created deleted updated"),
    Family("balance", "balances", "available"),
    Family("balance_settings", "balance_settings", "updated"),
    Family("billing.alert", "billing_alerts", "triggered"),
    Family("billing.credit_balance_transaction", "billing_credit_balance_transactions", "created"),
    Family("billing.credit_grant", "billing_credit_grants", "created updated"),
    Family("billing.meter", "billing_meters", "created deactivated reactivated updated"),
    Family("billing_portal.configuration", "billing_portal_configurations", "created updated"),
    Family("billing_portal.session", "billing_portal_sessions", "created"),
    Family("capability", "capabilities", "updated"),
    Family("cash_balance", "cash_balances", "funds_available"),
    Family("charge", "charges", "captured expired failed pending refunded succeeded updated"),
    Family("charge.dispute", "disputes", "closed created funds_reinstated funds_withdrawn updated"),
    Family("charge.refund", "refunds", "updated"),
    Family("checkout.session", "checkout_sessions", "async_payment_failed async_payment_succeeded completed expired"),
    Family("climate.order", "climate_orders", "canceled created delayed delivered product_substituted"),
    Family("climate.product", "climate_products", "created pricing_updated"),
    Family("coupon", "coupons", "created deleted updated"),
    Family("credit_note", "credit_notes", "created updated voided"),
    Family("customer", "customers", "created deleted updated"),
    Family("customer.discount", "discounts", "created deleted updated"),
    Family("customer.source", "payment_sources", "created deleted expiring updated"),
    Family(
        "customer.subscription",
        "subscriptions",
        "created deleted paused pending_update_applied pending_update_expired resumed trial_will_end updated",
    ),
    Family("customer.tax_id", "tax_ids", "created deleted updated"),
    Family("customer_cash_balance_transaction", "customer_cash_balance_transactions", "created"),
    Family("entitlements.active_entitlement_summary", "entitlements_active_entitlement_summaries", "updated"),
    Family("file", "files", "created"),
    Family(
        "financial_connections.account",
        "financial_connections_accounts",
        "account_numbers_updated created deactivated disconnected "
        "expected_deactivation_date_updated reactivated refreshed_balance refreshed_ownership "
        "refreshed_transactions supported_payment_method_types_updated "
        "upcoming_account_number_expiry upcoming_deactivation",
    ),
    Family(
        "financial_connections.authorization",
        "financial_connections_authorizations",
        "expected_deactivation_date_updated upcoming_deactivation",
    ),
    Family(
        "identity.verification_session",
        "identity_verification_sessions",
        "canceled created processing redacted requires_input verified",
    ),
    Family(
        "invoice",
        "invoices",
        "created deleted finalization_failed finalized marked_uncollectible overdue overpaid paid "
        "payment_action_required payment_attempt_required payment_failed payment_succeeded sent "
        "upcoming updated voided will_be_due",
    ),
    Family("invoice_payment", "invoice_payments", "paid"),
    Family("invoiceitem", "invoiceitems", "created deleted"),
    Family("issuing_authorization", "issuing_authorizations", "created request updated"),
    Family("issuing_card", "issuing_cards", "created updated"),
    Family("issuing_cardholder", "issuing_cardholders", "created updated"),
    Family("issuing_dispute", "issuing_disputes", "closed created funds_reinstated funds_rescinded submitted updated"),
    Family(
        "issuing_personalization_design", "issuing_personalization_designs", "activated deactivated rejected updated"
    ),
    Family("issuing_token", "issuing_tokens", "created updated"),
    Family("issuing_transaction", "issuing_transactions", "created purchase_details_receipt_updated updated"),
    Family("mandate", "mandates", "updated"),
    Family(
        "payment_intent",
        "payment_intents",
        "amount_capturable_updated canceled created partially_funded payment_failed processing "
        "requires_action succeeded",
    ),
    Family("payment_link", "payment_links", "created updated"),
    Family("payment_method", "payment_methods", "attached automatically_updated detached updated"),
    Family("payout", "payouts", "canceled created failed paid reconciliation_completed updated"),
    Family("person", "persons", "created deleted updated"),
    Family("plan", "plans", "created deleted updated"),
    Family("price", "prices", "created deleted updated"),
    Family("product", "products", "created deleted updated"),
    Family("promotion_code", "promotion_codes", "created updated"),
    Family("quote", "quotes", "accepted canceled created finalized"),
    Family("radar.early_fraud_warning", "radar_early_fraud_warnings", "created updated"),
    Family("refund", "refunds", "created failed updated"),
    Family("reporting.report_run", "reporting_report_runs", "failed succeeded"),
    Family("reporting.report_type", "reporting_report_types", "updated"),
    Family("reserve.hold", "reserve_holds", "created updated"),
    Family("reserve.plan", "reserve_plans", "created disabled expired updated"),
    Family("reserve.release", "reserve_releases", "created"),
    Family("review", "reviews", "closed opened"),
    Family("setup_intent", "setup_intents", "canceled created requires_action setup_failed succeeded"),
    Family("sigma.scheduled_query_run", "scheduled_query_runs", "created"),
    Family("source", "payment_sources", "canceled chargeable failed mandate_notification refund_attributes_required"),
    Family("source.transaction", "source_transactions", "created updated"),
    Family(
        "subscription_schedule",
        "subscription_schedules",
        "aborted canceled completed created expiring released updated",
    ),
    Family("tax.settings", "tax_settings", "updated"),
    Family("tax_rate", "tax_rates", "created updated"),
    Family("terminal.reader", "terminal_readers", "action_failed action_succeeded action_updated"),
    Family("test_helpers.test_clock", "test_helpers_test_clocks", "advancing created deleted internal_failure ready"),
    Family(
        "three_d_secure.authentication",
        "three_d_secure_authentications",
        "canceled challenge_started errored failed requires_challenge requires_submission succeeded",
    ),
    Family("topup", "topups", "canceled created failed reversed succeeded"),
    Family("transfer", "transfers", "created reversed updated"),
    Family("treasury.credit_reversal", "treasury_credit_reversals", "created posted"),
    Family("treasury.debit_reversal", "treasury_debit_reversals", "completed created initial_credit_granted"),
    Family("treasury.financial_account", "treasury_financial_accounts", "closed created features_status_updated"),
    Family("treasury.inbound_transfer", "treasury_inbound_transfers", "canceled created failed succeeded"),
    Family(
        "treasury.outbound_payment",
        "treasury_outbound_payments",
        "canceled created expected_arrival_date_updated failed posted returned tracking_details_updated",
    ),
    Family(
        "treasury.outbound_transfer",
        "treasury_outbound_transfers",
        "canceled created expected_arrival_date_updated failed posted returned tracking_details_updated",
    ),
    Family("treasury.received_credit", "treasury_received_credits", "created failed succeeded"),
    Family("treasury.received_debit", "treasury_received_debits", "created"),
)

IGNORED: Mapping[str, str] = MappingProxyType(
    {"invoice.upcoming": "it previews an invoice that does not exist yet and has no id"}
)
"""Types whose object is no state of anything, and why."""

LIVE_ON = frozenset({"customer.subscription.deleted"})
"""Types named "deleted" whose object lives on: an ended subscription stays in Stripe with the status `canceled`."""

ENDINGS = frozenset({"account.application.deauthorized"})
"""Types not named "deleted" whose object is gone for the account."""

WRAPPED: Mapping[str, str] = MappingProxyType({"billing.alert_triggered": "alert"})
"""Objects of events that are no objects of the API but carry one, and the field that has it."""


def _types() -> Iterator[tuple[str, EventType]]:
    for family in FAMILIES:
        for change in family.changes.split():
            name = f"{family.stem}.{change}"
            yield name, EventType(family.table, is_deletion(name), IGNORED.get(name))


def is_deletion(event_type: str) -> bool:
    """Whether a type, known or not, says that its object is gone."""
    name = event_type.removeprefix("v1.")
    return (name.endswith(".deleted") and name not in LIVE_ON) or name in ENDINGS


def unwrapped(obj: Mapping[str, Any]) -> Mapping[str, Any]:
    """The API's object that an event's object stands for: itself, or the one that it carries."""
    carried = obj.get(WRAPPED.get(str(obj.get("object")), ""))
    return carried if isinstance(carried, Mapping) else obj


def table_of_event(event_type: str, obj: Mapping[str, Any]) -> str | None:
    """The table of an event's object; None where no table can hold it.

    The object's own name and parent decide; where they leave it open (a card that shows no
    customer), its type does.
    """
    known = TYPES.get(event_type.removeprefix("v1."))
    if known is not None and obj.get("object") in TABLES[known.table].objects:
        return known.table
    return table_of(obj)


TYPES: Mapping[str, EventType] = MappingProxyType(dict(_types()))
"""Every snapshot event type of the SDK."""
