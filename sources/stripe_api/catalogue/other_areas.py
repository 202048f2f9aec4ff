"""Areas with few objects each: Climate, Financial Connections, Identity, Radar, Reporting and others. Data only."""

from __future__ import annotations

from sources.catalogue import Gate
from sources.stripe_api.declaration import BELOW_PARENT, declare, for_each, listed, without_table

FORWARDING = Gate("Forwarding", ("Your account is not authorized to send Forwarding requests",))
IDENTITY = Gate("Identity", ("Your account is not set up to use Identity",))
SIGMA = Gate("Sigma, live mode only", ("This API surface is not enabled for testmode usage",))

OBJECTS = (
    # --- Climate
    declare(
        "climate.order",
        listed("/v1/climate/orders"),
        ids="climorder_",
        events="canceled created delayed delivered product_substituted",
    ),
    declare(
        "climate.product",
        # Stripe's own products, which are not in order of creation.
        listed("/v1/climate/products", newest_first=False),
        ids="climsku_",
        events="created pricing_updated",
    ),
    declare("climate.supplier", listed("/v1/climate/suppliers", created_field=None), ids="climsup_"),
    # --- Financial Connections
    declare(
        "financial_connections.account",
        listed("/v1/financial_connections/accounts"),
        ids="fca_",
        events="account_numbers_updated created deactivated disconnected expected_deactivation_date_updated "
        "reactivated refreshed_balance refreshed_ownership refreshed_transactions "
        "supported_payment_method_types_updated upcoming_account_number_expiry upcoming_deactivation",
    ),
    declare(
        "financial_connections.account_owner",
        listed(
            "/v1/financial_connections/accounts/{account}/owners",
            # `ownership` is an id that the account shows once its ownership has been refreshed.
            for_each("financial_connections_accounts", "account", also=(("ownership", "ownership"),)),
            created_field=None,
        ),
        key=BELOW_PARENT,
        parent_field=None,
        retrieve=None,
        ids="fcaown_",
    ),
    declare(
        "financial_connections.transaction",
        listed(
            "/v1/financial_connections/transactions",
            for_each("financial_connections_accounts", "account"),
            created_field=None,
        ),
        ids="fctxn_",
    ),
    declare("financial_connections.authorization", events="expected_deactivation_date_updated upcoming_deactivation"),
    without_table(
        "financial_connections.account_ownership",
        "it contains only the list of owners",
        not_embedded={"owners": "the object has no table; the owners have their own list"},
    ),
    without_table(
        "financial_connections.session",
        "it only guides a person through linking accounts",
        ids="fcsess_",
        not_embedded={"accounts": "the object has no table; the list of accounts contains them"},
    ),
    # --- Forwarding and Identity
    declare("forwarding.request", listed("/v1/forwarding/requests", created="unix", gate=FORWARDING), ids="fwdreq_"),
    declare(
        "identity.verification_report",
        listed("/v1/identity/verification_reports", created="unix", gate=IDENTITY),
        ids="vr_",
    ),
    declare(
        "identity.verification_session",
        listed("/v1/identity/verification_sessions", created="unix", gate=IDENTITY),
        hidden="verified_outputs",
        ids="vs_",
        events="canceled created processing redacted requires_input verified",
    ),
    # --- Radar
    declare(
        "radar.early_fraud_warning",
        listed("/v1/radar/early_fraud_warnings", created="unix"),
        ids="issfr_",
        events="created updated",
    ),
    declare(
        "radar.value_list",
        listed("/v1/radar/value_lists", created="unix"),
        embeds={"list_items": "radar_value_list_items"},
        ids="rsl_",
    ),
    declare(
        "radar.value_list_item",
        listed("/v1/radar/value_list_items", for_each("radar_value_lists", "value_list"), created="unix"),
        ids="rsli_",
    ),
    # --- Reporting and Sigma
    declare(
        "reporting.report_run",
        listed("/v1/reporting/report_runs", created="unix"),
        ids="frr_",
        events="failed succeeded",
    ),
    declare(
        "reporting.report_type",
        listed("/v1/reporting/report_types", created_field=None, one_page=True),
        events="updated",
    ),
    declare(
        "scheduled_query_run",
        listed("/v1/sigma/scheduled_query_runs", gate=SIGMA),
        ids="sqr_",
        events={"sigma.scheduled_query_run": "created"},
    ),
    without_table("sigma.sigma_api_query", "Stripe has no request that reads it", ids="qry_"),
    # --- Terminal and webhooks
    declare("terminal.configuration", listed("/v1/terminal/configurations", created_field=None), ids="tmc_"),
    declare("terminal.location", listed("/v1/terminal/locations", created_field=None), ids="tml_"),
    declare(
        "terminal.reader",
        listed("/v1/terminal/readers", created_field=None),
        ids="tmr_",
        events="action_failed action_succeeded action_updated",
    ),
    declare("webhook_endpoint", listed("/v1/webhook_endpoints"), ids="we_"),
)
