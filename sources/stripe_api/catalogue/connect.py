"""Connect: accounts and what belongs to them, application fees, apps, money that moves between accounts. Data only."""

from __future__ import annotations

from sources.catalogue import Gate
from sources.stripe_api.declaration import declare, for_each, listed, singleton, without_table

CONNECT = Gate("Connect")
APPS = Gate("Connect or Apps")
EXCHANGE_RATES = Gate("exchange rates (discontinued)", ("Unrecognized request URL",))
ACCOUNT = for_each("accounts", "account")

OBJECTS = (
    # --- Accounts
    declare(
        "account",
        listed("/v1/accounts", created="unix", gate=CONNECT),
        singleton("/v1/account", core=True),
        embeds={"external_accounts": "external_accounts"},
        ids="acct_",
        events="updated",
    ),
    declare(
        "capability",
        listed("/v1/accounts/{account}/capabilities", ACCOUNT, created_field=None, one_page=True, gate=CONNECT),
        key="id account",
        events="updated",
    ),
    declare(
        "bank_account card",
        listed("/v1/accounts/{account}/external_accounts", ACCOUNT, created_field=None, gate=CONNECT),
        table="external_accounts",
        events={"account.external_account": "created deleted updated"},
    ),
    declare(
        "person",
        listed("/v1/accounts/{account}/persons", ACCOUNT, gate=CONNECT),
        ids="person_",
        events="created deleted updated",
    ),
    # --- Application fees and apps
    declare(
        "application_fee",
        listed("/v1/application_fees", created="unix", gate=APPS),
        embeds={"refunds": "fee_refunds"},
        ids="fee_",
        events="created refunded",
    ),
    declare(
        "fee_refund",
        listed("/v1/application_fees/{id}/refunds", for_each("application_fees", "id")),
        parent_field="fee",
        ids="fr_",
        events={"application_fee.refund": "updated"},
    ),
    declare(
        "application", ids="ca_", events={"account.application": "authorized deauthorized"}, deleted_by="deauthorized"
    ),
    declare(
        "apps.install",
        listed("/v1/apps/installs", created="unix", gate=APPS),
        ids="ainst_",
        events="created deleted updated",
    ),
    declare(
        "apps.secret",
        # Secrets of single users (scope[type]=user) need the ids of the users, which no list shows.
        listed("/v1/apps/secrets", passes=("scope[type]=account",), gate=APPS),
        retrieve=None,
        ids="appsecret_",
    ),
    declare("apple_pay_domain", listed("/v1/apple_pay/domains", gate=APPS), ids="apwc_"),
    # --- Transfers, top-ups and reserves
    declare(
        "transfer",
        listed("/v1/transfers", created="unix"),
        embeds={"reversals": "transfer_reversals"},
        ids="tr_",
        events="created reversed updated",
    ),
    declare(
        "transfer_reversal",
        listed("/v1/transfers/{id}/reversals", for_each("transfers", "id")),
        parent_field="transfer",
        ids="trr_",
    ),
    declare(
        "topup", listed("/v1/topups", created="unix"), ids="tu_", events="canceled created failed reversed succeeded"
    ),
    declare("reserve.hold", events="created updated"),
    declare("reserve.plan", events="created disabled expired updated"),
    declare("reserve.release", events="created"),
    # --- Countries and exchange rates
    declare("country_spec", listed("/v1/country_specs", created_field=None)),
    declare(
        "exchange_rate",
        listed("/v1/exchange_rates", created_field=None, gate=EXCHANGE_RATES, deprecated=True),
        ids="rate_",
    ),
    # --- Objects without a table
    without_table("connect_collection_transfer", "Stripe has no request that reads it", ids="connct_"),
)
