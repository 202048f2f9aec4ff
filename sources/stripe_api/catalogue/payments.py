"""Payments: charges, refunds, disputes, payouts, customers, payment methods, Checkout, events and files. Data only."""

from __future__ import annotations

from sources.catalogue import Gate
from sources.stripe_api.declaration import (
    BELOW_PARENT,
    EVENTS_KEPT,
    declare,
    for_each,
    line_items,
    listed,
    singleton,
    without_table,
)

CUSTOMER = for_each("customers", "customer")
# The texts of refusals, here and in the other areas, come from public reports of accounts that lack the product.
PAYMENT_RECORDS = Gate("Payment Records", ("Unrecognized request URL",))
THREE_D_SECURE = Gate("standalone 3D Secure")

OBJECTS = (
    # --- Balance
    declare("balance", singleton("/v1/balance", core=True), events="available"),
    declare("balance_settings", singleton("/v1/balance_settings"), table="balance_settings", events="updated"),
    declare(
        "balance_transaction",
        listed("/v1/balance_transactions", created="unix", core=True),
        # Only this list shows which payout contains a transaction. Stripe refuses it for payouts that people requested.
        listed(
            "/v1/balance_transactions",
            for_each("payouts", "payout", when="automatic", fills="balance_transactions.payout"),
            name="payout_balance_transactions",
            created="unix",
        ),
        parent=None,
        parent_field=None,
        kept={"payout": "The automatic payout that contains the transaction, from the payout's own list."},
        ids="txn_",
    ),
    # --- Charges, refunds, disputes and payouts
    declare(
        "charge",
        listed("/v1/charges", created="unix", core=True),
        hidden="refunds",
        not_embedded={"refunds": "the list of refunds contains them"},
        ids="ch_ py_",
        events="captured expired failed pending refunded succeeded updated",
        created_by="failed pending succeeded",
    ),
    declare(
        "refund",
        listed("/v1/refunds", created="unix", core=True),
        ids="pyr_ re_",
        events={"refund": "created failed updated", "charge.refund": "updated"},
    ),
    declare(
        "dispute",
        listed("/v1/disputes", created="unix", core=True),
        ids="dp_ du_ pdp_",
        events={"charge.dispute": "closed created funds_reinstated funds_withdrawn updated"},
    ),
    # Only open reviews are listed; closed ones come by event or by id.
    declare("review", listed("/v1/reviews", created="unix"), ids="prv_", events="closed opened"),
    declare("mandate", retrieve="/v1/mandates/{id}", ids="mandate_", events="updated"),
    declare(
        "payout",
        listed("/v1/payouts", created="unix", core=True),
        ids="po_",
        events="canceled created failed paid reconciliation_completed updated",
    ),
    # --- Intents
    declare(
        "payment_intent",
        listed("/v1/payment_intents", created="unix", core=True),
        expands={"amount_details.line_items": "payment_intent_amount_details_line_items"},
        ids="pi_",
        events="amount_capturable_updated canceled created partially_funded payment_failed processing "
        "requires_action succeeded",
    ),
    line_items(
        "payment_intent_amount_details_line_item",
        "/v1/payment_intents/{intent}/amount_details_line_items",
        for_each("payment_intents", "intent"),
    ),
    declare(
        "setup_intent",
        listed("/v1/setup_intents", created="unix", core=True),
        ids="seti_",
        events="canceled created requires_action setup_failed succeeded",
    ),
    declare(
        "setup_attempt",
        listed("/v1/setup_attempts", for_each("setup_intents", "setup_intent"), created="unix"),
        retrieve=None,
        ids="setatt_",
    ),
    # --- Payment Records
    declare("payment_record", listed("/v1/payment_records", gate=PAYMENT_RECORDS)),
    declare(
        "payment_attempt_record",
        listed("/v1/payment_attempt_records", for_each("payment_records", "payment_record"), gate=PAYMENT_RECORDS),
    ),
    # --- Customers and their cash balances
    declare(
        "customer",
        listed("/v1/customers", created="unix", core=True),
        expands={"sources": "payment_sources", "tax_ids": "tax_ids"},
        hidden="cash_balance invoice_credit_balance subscriptions tax",
        not_embedded={"subscriptions": "the list of subscriptions contains them"},
        ids="cus_ gcus_",
        events="created deleted updated",
    ),
    declare("cash_balance", key="customer", retrieve="/v1/customers/{customer}/cash_balance", events="funds_available"),
    declare(
        "customer_cash_balance_transaction",
        listed("/v1/customers/{customer}/cash_balance_transactions", CUSTOMER),
        ids="ccsbtxn_",
        events="created",
    ),
    # --- Means of payment
    declare(
        "payment_method",
        # Unfiltered, the list has all types but `custom`.
        listed("/v1/payment_methods", passes=("", "type=custom"), core=True),
        listed("/v1/customers/{customer}/payment_methods", CUSTOMER, name="customer_payment_methods"),
        ids="pm_",
        events="attached automatically_updated detached updated",
        created_by="attached",  # no list shows a payment method without a customer
    ),
    declare(
        "payment_method_configuration", listed("/v1/payment_method_configurations", created_field=None), ids="pmc_"
    ),
    declare("payment_method_domain", listed("/v1/payment_method_domains"), ids="pmd_"),
    declare(
        "source bank_account card",
        listed("/v1/customers/{customer}/sources", CUSTOMER, created_field=None),
        table="payment_sources",
        ids={"source": "aliacc_ src_", "bank_account": "ba_", "card": "card_"},
        events={
            "source": "canceled chargeable failed mandate_notification refund_attributes_required",
            "customer.source": "created deleted expiring updated",
        },
    ),
    declare(
        "source_transaction",
        listed("/v1/sources/{source}/source_transactions", for_each("payment_sources", "source", prefix="src_")),
        key=BELOW_PARENT,
        retrieve=None,
        ids="srctxn_",
        events={"source.transaction": "created updated"},
    ),
    # --- Checkout and payment links
    declare(
        "checkout.session",
        listed("/v1/checkout/sessions", created="unix", core=True),
        expands={"line_items": "checkout_session_line_items"},
        ids="cs_",
        events="async_payment_failed async_payment_succeeded completed expired",
    ),
    line_items(
        "item",
        "/v1/checkout/sessions/{session}/line_items",
        for_each("checkout_sessions", "session"),
        table="checkout_session_line_items",
        ids="li_",
    ),
    declare(
        "payment_link",
        listed("/v1/payment_links", created_field=None, core=True),
        expands={"line_items": "payment_link_line_items"},
        ids="plink_",
        events="created updated",
    ),
    line_items(
        "item",
        "/v1/payment_links/{payment_link}/line_items",
        for_each("payment_links", "payment_link"),
        table="payment_link_line_items",
    ),
    declare(
        "three_d_secure.authentication",
        listed("/v1/three_d_secure/authentications", created="unix", gate=THREE_D_SECURE),
        events="canceled challenge_started errored failed requires_challenge requires_submission succeeded",
    ),
    # --- Events and files
    declare("event", listed("/v1/events", created="unix", shown_for=EVENTS_KEPT), ids="evt_"),
    declare(
        "file",
        listed("/v1/files", created="unix", rate=20),
        embeds={"links": "file_links"},
        ids="file_",
        events="created",
    ),
    declare("file_link", listed("/v1/file_links", created="unix"), parent="files", parent_field="file", ids="link_"),
    # --- Objects without a table
    without_table("token", "it represents data that a person entered, and can be used only once", ids="btok_ ct_ tok_"),
    without_table(
        "confirmation_token", "it represents data that a person entered, and can be used only once", ids="ctoken_"
    ),
    without_table("ephemeral_key", "it is a key that expires, and Stripe never shows it again", ids="ephkey_"),
    without_table("source_mandate_notification", "Stripe has no request that reads it", ids="srcmn_"),
)
