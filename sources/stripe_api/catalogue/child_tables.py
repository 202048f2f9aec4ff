"""The catalogue's lines for tables of objects that belong to another object: one line a table. Data only.

Line items carry their parent in the table's name. Lists that show the same objects under another path fill the same
table: cards and bank accounts are external accounts of an account, or payment sources of a customer.
"""

from __future__ import annotations

from sources.catalogue import Table

BELOW_PARENT = ("id", "_parent_id")
"""The key of objects whose id Stripe never uses alone, so that it may repeat below another parent."""


def child(
    name: str,
    object_names: str | tuple[str, ...],
    parent: str,
    parent_field: str | None = None,
    path: str | None = None,
    *,
    key: tuple[str, ...] = ("id",),
    unique_id: str | None = None,
) -> Table:
    """Objects of a parent, which `parent_field` names where Stripe shows it; retrieved below `path` by their id."""
    objects = (object_names,) if isinstance(object_names, str) else object_names
    retrieve = f"{path}/{{id}}" if path else None
    return Table(name, objects, key, parent, parent_field, retrieve=retrieve, unique_id=unique_id)


def items(name: str, object_name: str, parent: str, parent_field: str | None = None) -> Table:
    """Objects that come in their parent's list alone: Stripe reads none of them by its id."""
    return child(name, object_name, parent, parent_field, key=BELOW_PARENT)


def treasury(name: str, object_name: str, path: str) -> Table:
    """Objects of one financial account of Treasury."""
    return child(name, object_name, "treasury_financial_accounts", "financial_account", path)


CHILD_TABLES = (
    child(
        "billing_credit_balance_transactions",
        "billing.credit_balance_transaction",
        "customers",
        None,
        "/v1/billing/credit_balance_transactions",
    ),
    child(
        "billing_meter_event_summaries",
        "billing.meter_event_summary",
        "customers",
        key=("meter", "_parent_id", "start_time", "end_time"),
    ),
    child(
        "capabilities",
        "capability",
        "accounts",
        "account",
        "/v1/accounts/{_parent_id}/capabilities",
        key=("id", "account"),
    ),
    items("checkout_session_line_items", "item", "checkout_sessions"),
    items("credit_note_line_items", "credit_note_line_item", "credit_notes"),
    child(
        "customer_balance_transactions",
        "customer_balance_transaction",
        "customers",
        "customer",
        "/v1/customers/{_parent_id}/balance_transactions",
    ),
    child(
        "customer_cash_balance_transactions",
        "customer_cash_balance_transaction",
        "customers",
        "customer",
        "/v1/customers/{_parent_id}/cash_balance_transactions",
    ),
    child(
        "entitlements_active_entitlements",
        "entitlements.active_entitlement",
        "customers",
        None,
        "/v1/entitlements/active_entitlements",
    ),
    child(
        "external_accounts",
        ("bank_account", "card"),
        "accounts",
        "account",
        "/v1/accounts/{_parent_id}/external_accounts",
    ),
    child("fee_refunds", "fee_refund", "application_fees", "fee", "/v1/application_fees/{_parent_id}/refunds"),
    child("file_links", "file_link", "files", "file", "/v1/file_links"),
    items(
        "financial_connections_account_owners", "financial_connections.account_owner", "financial_connections_accounts"
    ),
    child(
        "financial_connections_transactions",
        "financial_connections.transaction",
        "financial_connections_accounts",
        "account",
        "/v1/financial_connections/transactions",
    ),
    # Before 2019-12-03 a line had the id of its subscription or invoice item: one for the lines of several invoices.
    child("invoice_line_items", "line_item", "invoices", "invoice", key=BELOW_PARENT, unique_id="unique_id"),
    child("issuing_tokens", "issuing.token", "issuing_cards", "card", "/v1/issuing/tokens"),
    child(
        "payment_attempt_records",
        "payment_attempt_record",
        "payment_records",
        "payment_record",
        "/v1/payment_attempt_records",
    ),
    items("payment_intent_amount_details_line_items", "payment_intent_amount_details_line_item", "payment_intents"),
    items("payment_link_line_items", "item", "payment_links"),
    child(
        "payment_sources",
        ("source", "bank_account", "card"),
        "customers",
        "customer",
        "/v1/customers/{_parent_id}/sources",
    ),
    child("persons", "person", "accounts", "account", "/v1/accounts/{_parent_id}/persons"),
    child(
        "product_features",
        "product_feature",
        "products",
        None,
        "/v1/products/{_parent_id}/features",
        key=BELOW_PARENT,
    ),
    items("quote_computed_upfront_line_items", "item", "quotes"),
    items("quote_line_items", "item", "quotes"),
    child(
        "radar_value_list_items",
        "radar.value_list_item",
        "radar_value_lists",
        "value_list",
        "/v1/radar/value_list_items",
    ),
    child("setup_attempts", "setup_attempt", "setup_intents", "setup_intent"),
    items("source_transactions", "source_transaction", "payment_sources", "source"),
    child("subscription_items", "subscription_item", "subscriptions", "subscription", "/v1/subscription_items"),
    items("tax_calculation_line_items", "tax.calculation_line_item", "tax_calculations"),
    child("tax_ids", "tax_id", "customers", "customer", "/v1/tax_ids"),
    items("tax_transaction_line_items", "tax.transaction_line_item", "tax_transactions"),
    child("transfer_reversals", "transfer_reversal", "transfers", "transfer", "/v1/transfers/{_parent_id}/reversals"),
    treasury("treasury_credit_reversals", "treasury.credit_reversal", "/v1/treasury/credit_reversals"),
    treasury("treasury_debit_reversals", "treasury.debit_reversal", "/v1/treasury/debit_reversals"),
    treasury("treasury_inbound_transfers", "treasury.inbound_transfer", "/v1/treasury/inbound_transfers"),
    treasury("treasury_outbound_payments", "treasury.outbound_payment", "/v1/treasury/outbound_payments"),
    treasury("treasury_outbound_transfers", "treasury.outbound_transfer", "/v1/treasury/outbound_transfers"),
    treasury("treasury_received_credits", "treasury.received_credit", "/v1/treasury/received_credits"),
    treasury("treasury_received_debits", "treasury.received_debit", "/v1/treasury/received_debits"),
    treasury("treasury_transaction_entries", "treasury.transaction_entry", "/v1/treasury/transaction_entries"),
    treasury("treasury_transactions", "treasury.transaction", "/v1/treasury/transactions"),
    child(
        "v2_core_account_persons",
        "v2.core.account_person",
        "v2_core_accounts",
        "account",
        "/v2/core/accounts/{_parent_id}/persons",
    ),
)
