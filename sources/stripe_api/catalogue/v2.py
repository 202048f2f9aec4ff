"""API v2, whose lists promise no order. Data only."""

from __future__ import annotations

from functools import partial

from sources.catalogue import Gate
from sources.stripe_api.declaration import EVENTS_KEPT, declare, for_each, listed

ACCOUNTS = Gate("Accounts v2", ("Accounts v2 is not enabled for your", "isn't available in test mode"))
listed_v2 = partial(listed, gate=Gate("API v2"))
money = partial(listed_v2, gate=Gate("money management (API v2)"))

OBJECTS = (
    # --- Core and commerce
    declare(
        "v2.core.account",
        # Unfiltered, the list has no closed accounts.
        listed_v2("/v2/core/accounts", passes=("closed=false", "closed=true"), gate=ACCOUNTS),
        ids="acct_",
    ),
    declare(
        "v2.core.account_person",
        listed_v2("/v2/core/accounts/{account_id}/persons", for_each("v2_core_accounts", "account_id"), gate=ACCOUNTS),
        parent_field="account",
        ids="person_",
    ),
    declare("v2.core.event", listed_v2("/v2/core/events", created="iso", shown_for=EVENTS_KEPT), ids="evt_"),
    declare("v2.core.event_destination", listed_v2("/v2/core/event_destinations"), ids="ed_"),
    declare("v2.core.vault.gb_bank_account", money("/v2/core/vault/gb_bank_accounts"), ids="gbba_"),
    declare("v2.core.vault.us_bank_account", money("/v2/core/vault/us_bank_accounts"), ids="usba_"),
    declare(
        "v2.commerce.product_catalog_import", listed_v2("/v2/commerce/product_catalog/imports", created="iso_flat")
    ),
    # --- Money management
    declare("v2.money_management.adjustment", money("/v2/money_management/adjustments", created="iso")),
    declare(
        "v2.money_management.financial_account",
        # Unfiltered, the list has no closed financial accounts.
        money(
            "/v2/money_management/financial_accounts",
            passes=("statuses[0]=open&statuses[1]=pending&statuses[2]=closed",),
        ),
        ids="fa_",
    ),
    declare("v2.money_management.financial_address", money("/v2/money_management/financial_addresses")),
    declare(
        "v2.money_management.inbound_transfer",
        money("/v2/money_management/inbound_transfers", created="iso"),
        ids="ibt_",
    ),
    declare(
        "v2.money_management.outbound_payment",
        money("/v2/money_management/outbound_payments", created="iso"),
        ids="obp_",
    ),
    declare("v2.money_management.outbound_setup_intent", money("/v2/money_management/outbound_setup_intents")),
    declare("v2.money_management.payout_intent", money("/v2/money_management/payout_intents")),
    declare("v2.money_management.payout_method", money("/v2/money_management/payout_methods")),
    declare(
        "v2.money_management.received_credit", money("/v2/money_management/received_credits", created="iso"), ids="rc_"
    ),
    declare("v2.money_management.transaction", money("/v2/money_management/transactions", created="iso"), ids="trxn_"),
    declare(
        "v2.money_management.transaction_entry",
        money("/v2/money_management/transaction_entries", created="iso"),
        ids="trxne_",
    ),
)
