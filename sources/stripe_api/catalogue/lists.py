"""The catalogue's lines for root lists of API v1 and for singletons: one line an endpoint. Data only.

Paths and parameters are those of the installed SDK (a test compares all of them). Refusals are quoted from public
reports of accounts that lack the product.
"""

from __future__ import annotations

from sources.catalogue import Created, Gate, Pagination, Params, Resource

CONNECT = Gate("Connect")
APPS = Gate("Connect or Apps")
ISSUING = Gate("Issuing", ("Your account is not set up to use Issuing",))
IDENTITY = Gate("Identity", ("Your account is not set up to use Identity",))
TREASURY = Gate("Treasury", ("Unrecognized request URL (GET: /v1/treasury/", "Have you onboarded to Treasury?"))
FORWARDING = Gate("Forwarding", ("Your account is not authorized to send Forwarding requests",))
SIGMA = Gate("Sigma, live mode only", ("This API surface is not enabled for testmode usage",))
TEST_MODE = Gate("test mode only", ("This endpoint is only available in testmode",))
PAYMENT_RECORDS = Gate("Payment Records", ("Unrecognized request URL",))
EXCHANGE_RATES = Gate("exchange rates (discontinued)", ("Unrecognized request URL",))
THREE_D_SECURE = Gate("standalone 3D Secure")


def root(
    name: str,
    path: str,
    object_name: str,
    *passes: Params,
    created: Created = "none",
    newest_first: bool = True,
    created_field: str | None = "created",
    pagination: Pagination = "cursor",
    limit: int | None = 100,
    core: bool = False,
    gate: Gate | None = None,
    rate: float | None = None,
    deprecated: bool = False,
) -> Resource:
    """A v1 list that needs no parent. It fills the table of its own name."""
    return Resource(
        name=name,
        path=path,
        table=name,
        objects=(object_name,),
        kind="root",
        created=created,
        pagination=pagination,
        limit=limit,
        passes=passes or ((),),
        newest_first=newest_first and created_field is not None,
        created_field=created_field,
        groups=("core", "default") if core else ("default",),
        gate=gate.product if gate else None,
        denied=gate.denied if gate else (),
        rate=rate,
        deprecated=deprecated,
    )


def singleton(name: str, path: str, table: str, object_name: str, *, core: bool = False) -> Resource:
    """An object that an account has one of: the path gives it, not a list."""
    groups = ("core", "default") if core else ("default",)
    return Resource(name, path, table, (object_name,), "singleton", pagination="single", limit=None, groups=groups)


SINGLETONS = (
    singleton("account", "/v1/account", "accounts", "account", core=True),
    singleton("balance", "/v1/balance", "balances", "balance", core=True),
    singleton("balance_settings", "/v1/balance_settings", "balance_settings", "balance_settings"),
    singleton("tax_settings", "/v1/tax/settings", "tax_settings", "tax.settings"),
)

ROOTS = (
    root("accounts", "/v1/accounts", "account", created="unix", gate=CONNECT),
    root("apple_pay_domains", "/v1/apple_pay/domains", "apple_pay_domain", gate=APPS),
    root("application_fees", "/v1/application_fees", "application_fee", created="unix", gate=APPS),
    root("apps_installs", "/v1/apps/installs", "apps.install", created="unix", gate=APPS),
    # Secrets of single users (scope[type]=user) need the ids of the users, which no list gives.
    root("apps_secrets", "/v1/apps/secrets", "apps.secret", (("scope[type]", "account"),), gate=APPS),
    root("balance_transactions", "/v1/balance_transactions", "balance_transaction", created="unix", core=True),
    root("billing_alerts", "/v1/billing/alerts", "billing.alert", created_field=None, core=True),
    root("billing_credit_grants", "/v1/billing/credit_grants", "billing.credit_grant", core=True),
    root("billing_feedback_options", "/v1/billing/feedback_options", "billing.feedback_option", created_field=None),
    root("billing_meters", "/v1/billing/meters", "billing.meter", core=True),
    root("billing_portal_configurations", "/v1/billing_portal/configurations", "billing_portal.configuration"),
    root("charges", "/v1/charges", "charge", created="unix", core=True),
    root("checkout_sessions", "/v1/checkout/sessions", "checkout.session", created="unix", core=True),
    root("climate_orders", "/v1/climate/orders", "climate.order"),
    # Stripe's own catalogue, in an order of its own.
    root("climate_products", "/v1/climate/products", "climate.product", newest_first=False),
    root("climate_suppliers", "/v1/climate/suppliers", "climate.supplier", created_field=None),
    root("country_specs", "/v1/country_specs", "country_spec", created_field=None),
    root("coupons", "/v1/coupons", "coupon", created="unix", core=True),
    root("credit_notes", "/v1/credit_notes", "credit_note", created="unix", core=True),
    root("customers", "/v1/customers", "customer", created="unix", core=True),
    root("disputes", "/v1/disputes", "dispute", created="unix", core=True),
    root("entitlements_features", "/v1/entitlements/features", "entitlements.feature", created_field=None),
    root("events", "/v1/events", "event", created="unix"),
    root(
        "exchange_rates",
        "/v1/exchange_rates",
        "exchange_rate",
        created_field=None,
        gate=EXCHANGE_RATES,
        deprecated=True,
    ),
    root("file_links", "/v1/file_links", "file_link", created="unix"),
    root("files", "/v1/files", "file", created="unix", rate=20),
    root("financial_connections_accounts", "/v1/financial_connections/accounts", "financial_connections.account"),
    root("forwarding_requests", "/v1/forwarding/requests", "forwarding.request", created="unix", gate=FORWARDING),
    root(
        "identity_verification_reports",
        "/v1/identity/verification_reports",
        "identity.verification_report",
        created="unix",
        gate=IDENTITY,
    ),
    root(
        "identity_verification_sessions",
        "/v1/identity/verification_sessions",
        "identity.verification_session",
        created="unix",
        gate=IDENTITY,
    ),
    root("invoice_payments", "/v1/invoice_payments", "invoice_payment", created="unix", core=True),
    root("invoice_rendering_templates", "/v1/invoice_rendering_templates", "invoice_rendering_template"),
    root("invoiceitems", "/v1/invoiceitems", "invoiceitem", created="unix", created_field="date", core=True),
    root("invoices", "/v1/invoices", "invoice", created="unix", core=True),
    root("issuing_authorizations", "/v1/issuing/authorizations", "issuing.authorization", created="unix", gate=ISSUING),
    root("issuing_cardholders", "/v1/issuing/cardholders", "issuing.cardholder", created="unix", gate=ISSUING),
    root("issuing_cards", "/v1/issuing/cards", "issuing.card", created="unix", gate=ISSUING),
    root("issuing_disputes", "/v1/issuing/disputes", "issuing.dispute", created="unix", gate=ISSUING),
    root(
        "issuing_personalization_designs",
        "/v1/issuing/personalization_designs",
        "issuing.personalization_design",
        gate=ISSUING,
    ),
    root(
        "issuing_physical_bundles",
        "/v1/issuing/physical_bundles",
        "issuing.physical_bundle",
        created_field=None,
        gate=ISSUING,
    ),
    root("issuing_transactions", "/v1/issuing/transactions", "issuing.transaction", created="unix", gate=ISSUING),
    root("payment_intents", "/v1/payment_intents", "payment_intent", created="unix", core=True),
    root("payment_links", "/v1/payment_links", "payment_link", created_field=None, core=True),
    root(
        "payment_method_configurations",
        "/v1/payment_method_configurations",
        "payment_method_configuration",
        created_field=None,
    ),
    root("payment_method_domains", "/v1/payment_method_domains", "payment_method_domain"),
    # Unfiltered, the list has all types but `custom`.
    root("payment_methods", "/v1/payment_methods", "payment_method", (), (("type", "custom"),), core=True),
    root("payment_records", "/v1/payment_records", "payment_record", gate=PAYMENT_RECORDS),
    root("payouts", "/v1/payouts", "payout", created="unix", core=True),
    root("plans", "/v1/plans", "plan", created="unix", core=True),
    # Unfiltered, the list has active prices only. Inline prices (made by `price_data`) are in no list.
    root("prices", "/v1/prices", "price", (("active", "true"),), (("active", "false"),), created="unix", core=True),
    root(
        "product_catalog_trial_offers",
        "/v1/product_catalog/trial_offers",
        "product_catalog.trial_offer",
        created="unix",
        created_field=None,
    ),
    root("products", "/v1/products", "product", created="unix", core=True),
    root("promotion_codes", "/v1/promotion_codes", "promotion_code", created="unix", core=True),
    root("quotes", "/v1/quotes", "quote", core=True),
    root("radar_early_fraud_warnings", "/v1/radar/early_fraud_warnings", "radar.early_fraud_warning", created="unix"),
    root("radar_value_lists", "/v1/radar/value_lists", "radar.value_list", created="unix"),
    root("refunds", "/v1/refunds", "refund", created="unix", core=True),
    root("reporting_report_runs", "/v1/reporting/report_runs", "reporting.report_run", created="unix"),
    root(
        "reporting_report_types",
        "/v1/reporting/report_types",
        "reporting.report_type",
        created_field=None,
        pagination="single",
        limit=None,
    ),
    # Only open reviews are listed; closed ones come by event or by id.
    root("reviews", "/v1/reviews", "review", created="unix"),
    root("scheduled_query_runs", "/v1/sigma/scheduled_query_runs", "scheduled_query_run", gate=SIGMA),
    root("setup_intents", "/v1/setup_intents", "setup_intent", created="unix", core=True),
    root("shipping_rates", "/v1/shipping_rates", "shipping_rate", created="unix", core=True),
    root("subscription_schedules", "/v1/subscription_schedules", "subscription_schedule", created="unix", core=True),
    # Unfiltered, the list has no canceled subscriptions.
    root("subscriptions", "/v1/subscriptions", "subscription", (("status", "all"),), created="unix", core=True),
    root("tax_codes", "/v1/tax_codes", "tax_code", created_field=None),
    # The account's own tax ids; those of customers arrive with the customers.
    root("tax_ids", "/v1/tax_ids", "tax_id", core=True),
    root("tax_locations", "/v1/tax/locations", "tax.location", (("type", "performance"),), created_field=None),
    root("tax_rates", "/v1/tax_rates", "tax_rate", created="unix", core=True),
    root("tax_registrations", "/v1/tax/registrations", "tax.registration", (("status", "all"),)),
    root("terminal_configurations", "/v1/terminal/configurations", "terminal.configuration", created_field=None),
    root("terminal_locations", "/v1/terminal/locations", "terminal.location", created_field=None),
    root("terminal_readers", "/v1/terminal/readers", "terminal.reader", created_field=None),
    root("test_helpers_test_clocks", "/v1/test_helpers/test_clocks", "test_helpers.test_clock", gate=TEST_MODE),
    root(
        "three_d_secure_authentications",
        "/v1/three_d_secure/authentications",
        "three_d_secure.authentication",
        created="unix",
        gate=THREE_D_SECURE,
    ),
    root("topups", "/v1/topups", "topup", created="unix"),
    root("transfers", "/v1/transfers", "transfer", created="unix"),
    root(
        "treasury_financial_accounts",
        "/v1/treasury/financial_accounts",
        "treasury.financial_account",
        created="unix",
        gate=TREASURY,
    ),
    root("webhook_endpoints", "/v1/webhook_endpoints", "webhook_endpoint"),
)
