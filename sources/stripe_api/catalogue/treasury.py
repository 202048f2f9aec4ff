"""Treasury: financial accounts and the money that moves in them. Data only."""

from __future__ import annotations

from functools import partial

from sources.catalogue import Gate
from sources.stripe_api.declaration import declare, for_each, listed

TREASURY = Gate("Treasury", ("Unrecognized request URL (GET: /v1/treasury/", "Have you onboarded to Treasury?"))
ACCOUNT = for_each("treasury_financial_accounts", "financial_account")
treasury = partial(listed, gate=TREASURY)

OBJECTS = (
    declare(
        "treasury.financial_account",
        treasury("/v1/treasury/financial_accounts", created="unix"),
        ids="fa_",
        events="closed created features_status_updated",
    ),
    declare(
        "treasury.credit_reversal",
        treasury("/v1/treasury/credit_reversals", ACCOUNT),
        ids="credrev_",
        events="created posted",
    ),
    declare(
        "treasury.debit_reversal",
        treasury("/v1/treasury/debit_reversals", ACCOUNT),
        ids="debrev_",
        events="completed created initial_credit_granted",
    ),
    declare(
        "treasury.inbound_transfer",
        treasury("/v1/treasury/inbound_transfers", ACCOUNT),
        ids="ibt_",
        events="canceled created failed succeeded",
    ),
    declare(
        "treasury.outbound_payment",
        treasury("/v1/treasury/outbound_payments", ACCOUNT, created="unix"),
        ids="obp_",
        events="canceled created expected_arrival_date_updated failed posted returned tracking_details_updated",
    ),
    declare(
        "treasury.outbound_transfer",
        treasury("/v1/treasury/outbound_transfers", ACCOUNT),
        ids="obt_",
        events="canceled created expected_arrival_date_updated failed posted returned tracking_details_updated",
    ),
    declare(
        "treasury.received_credit",
        treasury("/v1/treasury/received_credits", ACCOUNT),
        ids="rc_",
        events="created failed succeeded",
    ),
    declare("treasury.received_debit", treasury("/v1/treasury/received_debits", ACCOUNT), ids="rd_", events="created"),
    declare(
        "treasury.transaction",
        treasury("/v1/treasury/transactions", ACCOUNT, created="unix"),
        not_embedded={"entries": "Stripe does not expand it in lists; the list of entries contains them"},
        ids="trxn_",
    ),
    declare(
        "treasury.transaction_entry",
        treasury("/v1/treasury/transaction_entries", ACCOUNT, created="unix"),
        ids="trxne_",
    ),
)
