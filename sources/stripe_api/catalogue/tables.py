"""The catalogue's lines for tables of objects that belong to nobody but the account: one line a table. Data only.

A table is named after the plural of its `object` in snake case. Tables without a list operation get their rows from
events and single objects. Embedded lists that are not here stay in their object's row: `NOT_EMBEDDED` says why.
"""

from __future__ import annotations

from sources.catalogue import Embedded, Params, Table


def table(
    name: str,
    object_name: str,
    path: str | None,
    *embedded: Embedded,
    key: tuple[str, ...] = ("id",),
    retrieve: str | None = None,
    shown_on_request: tuple[str, ...] = (),
    hidden: tuple[str, ...] = (),
    chosen_id: bool = False,
) -> Table:
    """Objects that are retrieved below `path` by their id, or at another place, or nowhere."""
    at = retrieve or (f"{path}/{{id}}" if path else None)
    return Table(
        name,
        (object_name,),
        key,
        embedded=embedded,
        retrieve=at,
        shown_on_request=shown_on_request,
        hidden=hidden,
        chosen_id=chosen_id,
    )


def singleton(name: str, object_name: str, retrieve: str) -> Table:
    """An object without id that an account has one of."""
    return Table(name, (object_name,), (), retrieve=retrieve)


def embedded(field: str, table: str, path: str, params: Params = ()) -> Embedded:
    """A list that is always there."""
    return Embedded(field, table, path, False, params)


def expanded(field: str, table: str, path: str) -> Embedded:
    """A list that is there when the request asks to expand it."""
    return Embedded(field, table, path, True)


TABLES = (
    table(
        "accounts",
        "account",
        "/v1/accounts",
        embedded("external_accounts", "external_accounts", "/v1/accounts/{id}/external_accounts"),
    ),
    table("apple_pay_domains", "apple_pay_domain", "/v1/apple_pay/domains"),
    table(
        "application_fees",
        "application_fee",
        "/v1/application_fees",
        embedded("refunds", "fee_refunds", "/v1/application_fees/{id}/refunds"),
    ),
    table("applications", "application", None),
    table("apps_installs", "apps.install", "/v1/apps/installs"),
    table("apps_secrets", "apps.secret", None),
    singleton("balance_settings", "balance_settings", "/v1/balance_settings"),
    table("balance_transactions", "balance_transaction", "/v1/balance_transactions"),
    singleton("balances", "balance", "/v1/balance"),
    table("billing_alerts", "billing.alert", "/v1/billing/alerts"),
    table("billing_credit_grants", "billing.credit_grant", "/v1/billing/credit_grants"),
    table("billing_feedback_options", "billing.feedback_option", "/v1/billing/feedback_options"),
    table("billing_meters", "billing.meter", "/v1/billing/meters"),
    table("billing_portal_configurations", "billing_portal.configuration", "/v1/billing_portal/configurations"),
    table("billing_portal_sessions", "billing_portal.session", None),
    table("cash_balances", "cash_balance", None, retrieve="/v1/customers/{customer}/cash_balance", key=("customer",)),
    table("charges", "charge", "/v1/charges", hidden=("refunds",)),
    table(
        "checkout_sessions",
        "checkout.session",
        "/v1/checkout/sessions",
        expanded("line_items", "checkout_session_line_items", "/v1/checkout/sessions/{id}/line_items"),
    ),
    table("climate_orders", "climate.order", "/v1/climate/orders"),
    table("climate_products", "climate.product", "/v1/climate/products"),
    table("climate_suppliers", "climate.supplier", "/v1/climate/suppliers"),
    table("country_specs", "country_spec", "/v1/country_specs"),
    table("coupons", "coupon", "/v1/coupons", shown_on_request=("applies_to", "currency_options"), chosen_id=True),
    table(
        "credit_notes",
        "credit_note",
        "/v1/credit_notes",
        embedded("lines", "credit_note_line_items", "/v1/credit_notes/{id}/lines"),
    ),
    table(
        "customers",
        "customer",
        "/v1/customers",
        expanded("sources", "payment_sources", "/v1/customers/{id}/sources"),
        expanded("tax_ids", "tax_ids", "/v1/customers/{id}/tax_ids"),
        hidden=("cash_balance", "invoice_credit_balance", "subscriptions", "tax"),
    ),
    table("discounts", "discount", None),
    table("disputes", "dispute", "/v1/disputes"),
    table(
        "entitlements_active_entitlement_summaries",
        "entitlements.active_entitlement_summary",
        None,
        embedded(
            "entitlements",
            "entitlements_active_entitlements",
            "/v1/entitlements/active_entitlements",
            (("customer", "{id}"),),
        ),
        key=("customer",),
    ),
    table("entitlements_features", "entitlements.feature", "/v1/entitlements/features"),
    table("events", "event", "/v1/events"),
    table("exchange_rates", "exchange_rate", "/v1/exchange_rates"),
    table("files", "file", "/v1/files", embedded("links", "file_links", "/v1/file_links", (("file", "{id}"),))),
    table("financial_connections_accounts", "financial_connections.account", "/v1/financial_connections/accounts"),
    table("financial_connections_authorizations", "financial_connections.authorization", None),
    table("forwarding_requests", "forwarding.request", "/v1/forwarding/requests"),
    table("identity_verification_reports", "identity.verification_report", "/v1/identity/verification_reports"),
    table(
        "identity_verification_sessions",
        "identity.verification_session",
        "/v1/identity/verification_sessions",
        hidden=("verified_outputs",),
    ),
    table("invoice_payments", "invoice_payment", "/v1/invoice_payments"),
    table("invoice_rendering_templates", "invoice_rendering_template", "/v1/invoice_rendering_templates"),
    table("invoiceitems", "invoiceitem", "/v1/invoiceitems"),
    table(
        "invoices",
        "invoice",
        "/v1/invoices",
        embedded("lines", "invoice_line_items", "/v1/invoices/{id}/lines"),
        hidden=("confirmation_secret", "payments"),
    ),
    table("issuing_authorizations", "issuing.authorization", "/v1/issuing/authorizations"),
    table("issuing_cardholders", "issuing.cardholder", "/v1/issuing/cardholders"),
    table("issuing_cards", "issuing.card", "/v1/issuing/cards", hidden=("number", "cvc")),
    table("issuing_disputes", "issuing.dispute", "/v1/issuing/disputes"),
    table("issuing_personalization_designs", "issuing.personalization_design", "/v1/issuing/personalization_designs"),
    table("issuing_physical_bundles", "issuing.physical_bundle", "/v1/issuing/physical_bundles"),
    table("issuing_transactions", "issuing.transaction", "/v1/issuing/transactions"),
    table("mandates", "mandate", "/v1/mandates"),
    table(
        "payment_intents",
        "payment_intent",
        "/v1/payment_intents",
        expanded(
            "amount_details.line_items",
            "payment_intent_amount_details_line_items",
            "/v1/payment_intents/{id}/amount_details_line_items",
        ),
    ),
    table(
        "payment_links",
        "payment_link",
        "/v1/payment_links",
        expanded("line_items", "payment_link_line_items", "/v1/payment_links/{id}/line_items"),
    ),
    table("payment_method_configurations", "payment_method_configuration", "/v1/payment_method_configurations"),
    table("payment_method_domains", "payment_method_domain", "/v1/payment_method_domains"),
    table("payment_methods", "payment_method", "/v1/payment_methods"),
    table("payment_records", "payment_record", "/v1/payment_records"),
    table("payouts", "payout", "/v1/payouts"),
    table("plans", "plan", "/v1/plans", shown_on_request=("tiers",), chosen_id=True),
    # Stripe shows a plan as a price of the same id too.
    table("prices", "price", "/v1/prices", shown_on_request=("currency_options", "tiers"), chosen_id=True),
    table("product_catalog_trial_offers", "product_catalog.trial_offer", "/v1/product_catalog/trial_offers"),
    table("products", "product", "/v1/products", chosen_id=True),
    table("promotion_codes", "promotion_code", "/v1/promotion_codes"),
    table(
        "quotes",
        "quote",
        "/v1/quotes",
        expanded("line_items", "quote_line_items", "/v1/quotes/{id}/line_items"),
        expanded(
            "computed.upfront.line_items",
            "quote_computed_upfront_line_items",
            "/v1/quotes/{id}/computed_upfront_line_items",
        ),
    ),
    table("radar_early_fraud_warnings", "radar.early_fraud_warning", "/v1/radar/early_fraud_warnings"),
    table(
        "radar_value_lists",
        "radar.value_list",
        "/v1/radar/value_lists",
        embedded("list_items", "radar_value_list_items", "/v1/radar/value_list_items", (("value_list", "{id}"),)),
    ),
    table("refunds", "refund", "/v1/refunds"),
    table("reporting_report_runs", "reporting.report_run", "/v1/reporting/report_runs"),
    table("reporting_report_types", "reporting.report_type", "/v1/reporting/report_types"),
    table("reserve_holds", "reserve.hold", None),
    table("reserve_plans", "reserve.plan", None),
    table("reserve_releases", "reserve.release", None),
    table("reviews", "review", "/v1/reviews"),
    table("scheduled_query_runs", "scheduled_query_run", "/v1/sigma/scheduled_query_runs"),
    table("setup_intents", "setup_intent", "/v1/setup_intents"),
    table("shipping_rates", "shipping_rate", "/v1/shipping_rates"),
    table("subscription_schedules", "subscription_schedule", "/v1/subscription_schedules"),
    table(
        "subscriptions",
        "subscription",
        "/v1/subscriptions",
        embedded("items", "subscription_items", "/v1/subscription_items", (("subscription", "{id}"),)),
    ),
    table(
        "tax_calculations",
        "tax.calculation",
        "/v1/tax/calculations",
        expanded("line_items", "tax_calculation_line_items", "/v1/tax/calculations/{id}/line_items"),
    ),
    table("tax_codes", "tax_code", "/v1/tax_codes"),
    table("tax_locations", "tax.location", "/v1/tax/locations"),
    table("tax_rates", "tax_rate", "/v1/tax_rates"),
    table("tax_registrations", "tax.registration", "/v1/tax/registrations"),
    singleton("tax_settings", "tax.settings", "/v1/tax/settings"),
    table(
        "tax_transactions",
        "tax.transaction",
        "/v1/tax/transactions",
        expanded("line_items", "tax_transaction_line_items", "/v1/tax/transactions/{id}/line_items"),
    ),
    table("terminal_configurations", "terminal.configuration", "/v1/terminal/configurations"),
    table("terminal_locations", "terminal.location", "/v1/terminal/locations"),
    table("terminal_readers", "terminal.reader", "/v1/terminal/readers"),
    table("test_helpers_test_clocks", "test_helpers.test_clock", "/v1/test_helpers/test_clocks"),
    table("three_d_secure_authentications", "three_d_secure.authentication", "/v1/three_d_secure/authentications"),
    table("topups", "topup", "/v1/topups"),
    table(
        "transfers",
        "transfer",
        "/v1/transfers",
        embedded("reversals", "transfer_reversals", "/v1/transfers/{id}/reversals"),
    ),
    table("treasury_financial_accounts", "treasury.financial_account", "/v1/treasury/financial_accounts"),
    table(
        "v2_commerce_product_catalog_imports",
        "v2.commerce.product_catalog_import",
        "/v2/commerce/product_catalog/imports",
    ),
    table("v2_core_accounts", "v2.core.account", "/v2/core/accounts"),
    table("v2_core_event_destinations", "v2.core.event_destination", "/v2/core/event_destinations"),
    table("v2_core_events", "v2.core.event", "/v2/core/events"),
    table("v2_core_vault_gb_bank_accounts", "v2.core.vault.gb_bank_account", "/v2/core/vault/gb_bank_accounts"),
    table("v2_core_vault_us_bank_accounts", "v2.core.vault.us_bank_account", "/v2/core/vault/us_bank_accounts"),
    table("v2_money_management_adjustments", "v2.money_management.adjustment", "/v2/money_management/adjustments"),
    table(
        "v2_money_management_financial_accounts",
        "v2.money_management.financial_account",
        "/v2/money_management/financial_accounts",
    ),
    table(
        "v2_money_management_financial_addresses",
        "v2.money_management.financial_address",
        "/v2/money_management/financial_addresses",
    ),
    table(
        "v2_money_management_inbound_transfers",
        "v2.money_management.inbound_transfer",
        "/v2/money_management/inbound_transfers",
    ),
    table(
        "v2_money_management_outbound_payments",
        "v2.money_management.outbound_payment",
        "/v2/money_management/outbound_payments",
    ),
    table(
        "v2_money_management_outbound_setup_intents",
        "v2.money_management.outbound_setup_intent",
        "/v2/money_management/outbound_setup_intents",
    ),
    table(
        "v2_money_management_payout_intents", "v2.money_management.payout_intent", "/v2/money_management/payout_intents"
    ),
    table(
        "v2_money_management_payout_methods", "v2.money_management.payout_method", "/v2/money_management/payout_methods"
    ),
    table(
        "v2_money_management_received_credits",
        "v2.money_management.received_credit",
        "/v2/money_management/received_credits",
    ),
    table(
        "v2_money_management_transaction_entries",
        "v2.money_management.transaction_entry",
        "/v2/money_management/transaction_entries",
    ),
    table("v2_money_management_transactions", "v2.money_management.transaction", "/v2/money_management/transactions"),
    table("webhook_endpoints", "webhook_endpoint", "/v1/webhook_endpoints"),
)

NOT_EMBEDDED = {
    ("charge", "refunds"): "the list of refunds gives them",
    ("customer", "subscriptions"): "the list of subscriptions gives them",
    ("invoice", "payments"): "the list of invoice payments gives them",
    ("financial_connections.account_ownership", "owners"): "the object has no table; the owners' own list gives them",
    ("financial_connections.session", "accounts"): "the object has no table; the list of accounts gives them",
    ("treasury.transaction", "entries"): "Stripe expands it in no list; the list of entries gives them",
}
"""Lists inside objects, by `object` and field, that fill no table from there, and why."""
