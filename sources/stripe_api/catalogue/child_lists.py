"""The catalogue's lines for lists that cost a request for each parent: one line an endpoint. Data only.

Most of their rows also arrive embedded in the parent (see `tables.py`); these lists are for those who ask for them.
"""

from __future__ import annotations

from sources.catalogue import Created, Gate, Pagination, Params, Parent, Resource
from sources.stripe_api.catalogue.lists import CONNECT, ISSUING, PAYMENT_RECORDS, TREASURY
from sources.stripe_api.catalogue.v2 import ACCOUNTS


def child(
    name: str,
    path: str,
    object_names: str | tuple[str, ...],
    *parents: Parent,
    table: str | None = None,
    created: Created = "none",
    newest_first: bool = True,
    created_field: str | None = "created",
    pagination: Pagination = "cursor",
    limit: int | None = 100,
    passes: tuple[Params, ...] = ((),),
    range_params: tuple[str, str] | None = None,
    gate: Gate | None = None,
    not_loaded: str | None = None,
) -> Resource:
    """A list that needs a parent in its path or in a query parameter."""
    return Resource(
        name=name,
        path=path,
        table=table or name,
        objects=(object_names,) if isinstance(object_names, str) else object_names,
        kind="child",
        created=created,
        pagination=pagination,
        limit=limit,
        passes=passes,
        parents=parents,
        range_params=range_params,
        newest_first=newest_first and created_field is not None and pagination != "v2",
        created_field=created_field,
        gate=gate.product if gate else None,
        denied=gate.denied if gate else (),
        not_loaded=not_loaded,
    )


def items(name: str, path: str, object_name: str, parent: Parent, not_loaded: str | None = None) -> Resource:
    """A list of line items, which carry no time of their creation."""
    return child(name, path, object_name, parent, created_field=None, not_loaded=not_loaded)


def treasury(name: str, path: str, object_name: str, created: Created = "none") -> Resource:
    """A list of one financial account of Treasury."""
    account = Parent("treasury_financial_accounts", "financial_account", "query")
    return child(name, path, object_name, account, created=created, gate=TREASURY)


CUSTOMER = Parent("customers", "customer", "path")
CUSTOMER_QUERY = Parent("customers", "customer", "query")

CHILDREN = (
    child(
        "billing_credit_balance_transactions",
        "/v1/billing/credit_balance_transactions",
        "billing.credit_balance_transaction",
        # Optional by the documentation; without a customer the API answers 400.
        CUSTOMER_QUERY,
    ),
    child(
        "billing_meter_event_summaries",
        "/v1/billing/meters/{id}/event_summaries",
        "billing.meter_event_summary",
        Parent("billing_meters", "id", "path"),
        CUSTOMER_QUERY,
        created_field=None,
        # Days, so that a summary keeps its bounds whatever range a run asks for: both bounds are midnights, UTC.
        passes=((("value_grouping_window", "day"),),),
        range_params=("start_time", "end_time"),
    ),
    child(
        "capabilities",
        "/v1/accounts/{account}/capabilities",
        "capability",
        Parent("accounts", "account", "path"),
        created_field=None,
        pagination="single",
        limit=None,
        gate=CONNECT,
    ),
    items(
        "checkout_session_line_items",
        "/v1/checkout/sessions/{session}/line_items",
        "item",
        Parent("checkout_sessions", "session", "path"),
    ),
    items(
        "credit_note_line_items",
        "/v1/credit_notes/{credit_note}/lines",
        "credit_note_line_item",
        Parent("credit_notes", "credit_note", "path"),
    ),
    child(
        "credit_note_preview_lines",
        "/v1/credit_notes/preview/lines",
        "credit_note_line_item",
        Parent("invoices", "invoice", "query"),
        table="credit_note_line_items",
        created_field=None,
        not_loaded="it previews a credit note that does not exist",
    ),
    child(
        "customer_balance_transactions",
        "/v1/customers/{customer}/balance_transactions",
        "customer_balance_transaction",
        CUSTOMER,
        created="unix",
    ),
    child(
        "customer_cash_balance_transactions",
        "/v1/customers/{customer}/cash_balance_transactions",
        "customer_cash_balance_transaction",
        CUSTOMER,
    ),
    child(
        "customer_payment_methods",
        "/v1/customers/{customer}/payment_methods",
        "payment_method",
        CUSTOMER,
        table="payment_methods",
    ),
    child("customer_tax_ids", "/v1/customers/{customer}/tax_ids", "tax_id", CUSTOMER, table="tax_ids"),
    child(
        "entitlements_active_entitlements",
        "/v1/entitlements/active_entitlements",
        "entitlements.active_entitlement",
        CUSTOMER_QUERY,
        created_field=None,
    ),
    child(
        "external_accounts",
        "/v1/accounts/{account}/external_accounts",
        ("bank_account", "card"),
        Parent("accounts", "account", "path"),
        created_field=None,
        gate=CONNECT,
    ),
    child("fee_refunds", "/v1/application_fees/{id}/refunds", "fee_refund", Parent("application_fees", "id", "path")),
    child(
        "financial_connections_account_owners",
        "/v1/financial_connections/accounts/{account}/owners",
        "financial_connections.account_owner",
        # `ownership` is an id that the account shows once its ownership has been refreshed.
        Parent("financial_connections_accounts", "account", "path", also=(("ownership", "ownership"),)),
        created_field=None,
    ),
    child(
        "financial_connections_transactions",
        "/v1/financial_connections/transactions",
        "financial_connections.transaction",
        Parent("financial_connections_accounts", "account", "query"),
        created_field=None,
    ),
    items("invoice_line_items", "/v1/invoices/{invoice}/lines", "line_item", Parent("invoices", "invoice", "path")),
    child(
        "issuing_tokens",
        "/v1/issuing/tokens",
        "issuing.token",
        Parent("issuing_cards", "card", "query"),
        created="unix",
        gate=ISSUING,
    ),
    child(
        "payment_attempt_records",
        "/v1/payment_attempt_records",
        "payment_attempt_record",
        Parent("payment_records", "payment_record", "query"),
        gate=PAYMENT_RECORDS,
    ),
    items(
        "payment_intent_amount_details_line_items",
        "/v1/payment_intents/{intent}/amount_details_line_items",
        "payment_intent_amount_details_line_item",
        Parent("payment_intents", "intent", "path"),
    ),
    items(
        "payment_link_line_items",
        "/v1/payment_links/{payment_link}/line_items",
        "item",
        Parent("payment_links", "payment_link", "path"),
    ),
    child(
        "payment_sources",
        "/v1/customers/{customer}/sources",
        ("source", "bank_account", "card"),
        CUSTOMER,
        created_field=None,
    ),
    child("persons", "/v1/accounts/{account}/persons", "person", Parent("accounts", "account", "path"), gate=CONNECT),
    child(
        "product_features",
        "/v1/products/{product}/features",
        "product_feature",
        Parent("products", "product", "path"),
        created_field=None,
    ),
    items(
        "quote_computed_upfront_line_items",
        "/v1/quotes/{quote}/computed_upfront_line_items",
        "item",
        Parent("quotes", "quote", "path"),
    ),
    items("quote_line_items", "/v1/quotes/{quote}/line_items", "item", Parent("quotes", "quote", "path")),
    child(
        "radar_value_list_items",
        "/v1/radar/value_list_items",
        "radar.value_list_item",
        Parent("radar_value_lists", "value_list", "query"),
        created="unix",
    ),
    child(
        "setup_attempts",
        "/v1/setup_attempts",
        "setup_attempt",
        Parent("setup_intents", "setup_intent", "query"),
        created="unix",
    ),
    child(
        "source_transactions",
        "/v1/sources/{source}/source_transactions",
        "source_transaction",
        Parent("payment_sources", "source", "path", prefix="src_"),
    ),
    child(
        "subscription_items",
        "/v1/subscription_items",
        "subscription_item",
        Parent("subscriptions", "subscription", "query"),
        newest_first=False,
    ),
    # Calculations and transactions of Stripe Tax are in no list: their tables have the ones that were loaded by id.
    items(
        "tax_calculation_line_items",
        "/v1/tax/calculations/{calculation}/line_items",
        "tax.calculation_line_item",
        Parent("tax_calculations", "calculation", "path"),
    ),
    items(
        "tax_transaction_line_items",
        "/v1/tax/transactions/{transaction}/line_items",
        "tax.transaction_line_item",
        Parent("tax_transactions", "transaction", "path"),
    ),
    child("transfer_reversals", "/v1/transfers/{id}/reversals", "transfer_reversal", Parent("transfers", "id", "path")),
    treasury("treasury_credit_reversals", "/v1/treasury/credit_reversals", "treasury.credit_reversal"),
    treasury("treasury_debit_reversals", "/v1/treasury/debit_reversals", "treasury.debit_reversal"),
    treasury("treasury_inbound_transfers", "/v1/treasury/inbound_transfers", "treasury.inbound_transfer"),
    treasury("treasury_outbound_payments", "/v1/treasury/outbound_payments", "treasury.outbound_payment", "unix"),
    treasury("treasury_outbound_transfers", "/v1/treasury/outbound_transfers", "treasury.outbound_transfer"),
    treasury("treasury_received_credits", "/v1/treasury/received_credits", "treasury.received_credit"),
    treasury("treasury_received_debits", "/v1/treasury/received_debits", "treasury.received_debit"),
    treasury("treasury_transaction_entries", "/v1/treasury/transaction_entries", "treasury.transaction_entry", "unix"),
    treasury("treasury_transactions", "/v1/treasury/transactions", "treasury.transaction", "unix"),
    child(
        "v2_core_account_persons",
        "/v2/core/accounts/{account_id}/persons",
        "v2.core.account_person",
        Parent("v2_core_accounts", "account_id", "path"),
        pagination="v2",
        limit=20,
        gate=ACCOUNTS,
    ),
)
