"""What an id says about its object: Stripe's prefixes as data, matched longest first. Knows no HTTP and no database.

Prefixes are not documented as a whole; these are those of Stripe's own fixtures and documentation. An id may say
nothing at all: coupons, plans and products can have ids that users chose, and some lists have ids of their own kind
("US" of the country specs). Several objects can share a prefix, so that only the API can tell.

    tables_of_id("sub_sched_1")     # ("subscription_schedules",): not "sub_"
    tables_of_id("SPRING25")        # None
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from sources.errors import shape
from sources.stripe_api.catalogue import TABLES, tables_of_object

OBJECTS_BY_PREFIX: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "acct_": (
            "account",
            "v2.core.account",
        ),
        "ainst_": ("apps.install",),
        "aliacc_": ("source",),
        "alrt_": ("billing.alert",),
        "appsecret_": ("apps.secret",),
        "apwc_": ("apple_pay_domain",),
        "atxi_": ("tax_id",),
        "ba_": ("bank_account",),
        "bfo_": ("billing.feedback_option",),
        "bpc_": ("billing_portal.configuration",),
        "bps_": ("billing_portal.session",),
        "btok_": ("token",),
        "ca_": ("application",),
        "card_": ("card",),
        "cbtxn_": (
            "customer_balance_transaction",
            "billing.credit_balance_transaction",
        ),
        "ccsbtxn_": ("customer_cash_balance_transaction",),
        "ch_": ("charge",),
        "climorder_": ("climate.order",),
        "climsku_": ("climate.product",),
        "climsup_": ("climate.supplier",),
        "clock_": ("test_helpers.test_clock",),
        "cn_": ("credit_note",),
        "cnli_": ("credit_note_line_item",),
        "connct_": ("connect_collection_transfer",),
        "credgr_": ("billing.credit_grant",),
        "credrev_": ("treasury.credit_reversal",),
        "cs_": ("checkout.session",),
        "ct_": ("token",),
        "ctoken_": ("confirmation_token",),
        "cus_": ("customer",),
        "debrev_": ("treasury.debit_reversal",),
        "di_": ("discount",),
        "dp_": ("dispute",),
        "du_": ("dispute",),
        "ed_": ("v2.core.event_destination",),
        "ent_": ("entitlements.active_entitlement",),
        "ephkey_": ("ephemeral_key",),
        "evt_": (
            "event",
            "v2.core.event",
        ),
        "fa_": (
            "treasury.financial_account",
            "v2.money_management.financial_account",
        ),
        "fca_": ("financial_connections.account",),
        "fcaown_": ("financial_connections.account_owner",),
        "fcsess_": ("financial_connections.session",),
        "fctxn_": ("financial_connections.transaction",),
        "feat_": ("entitlements.feature",),
        "fee_": ("application_fee",),
        "file_": ("file",),
        "fr_": ("fee_refund",),
        "frr_": ("reporting.report_run",),
        "fwdreq_": ("forwarding.request",),
        "gbba_": ("v2.core.vault.gb_bank_account",),
        "gcus_": ("customer",),
        "iauth_": ("issuing.authorization",),
        "ibt_": (
            "treasury.inbound_transfer",
            "v2.money_management.inbound_transfer",
        ),
        "ic_": ("issuing.card",),
        "ich_": ("issuing.cardholder",),
        "ics_": ("issuing.physical_bundle",),
        "idp_": ("issuing.dispute",),
        "ii_": ("invoiceitem",),
        "il_": ("line_item",),
        "il_tmp_": ("line_item",),
        "in_": ("invoice",),
        "inpay_": ("invoice_payment",),
        "inrtem_": ("invoice_rendering_template",),
        "intok_": ("issuing.token",),
        "ipcd_": ("issuing.personalization_design",),
        "ipi_": ("issuing.transaction",),
        "ise_": ("issuing.settlement",),
        "issfr_": ("radar.early_fraud_warning",),
        "li_": ("item",),
        "link_": ("file_link",),
        "mandate_": ("mandate",),
        "meter_": ("billing.meter",),
        "mtr_": ("billing.meter",),
        "mtrusg_": ("billing.meter_event_summary",),
        "obp_": (
            "treasury.outbound_payment",
            "v2.money_management.outbound_payment",
        ),
        "obt_": ("treasury.outbound_transfer",),
        "pdp_": ("dispute",),
        "person_": (
            "person",
            "v2.core.account_person",
        ),
        "pi_": ("payment_intent",),
        "plan_": ("plan",),
        "plink_": ("payment_link",),
        "pm_": ("payment_method",),
        "pmc_": ("payment_method_configuration",),
        "pmd_": ("payment_method_domain",),
        "po_": ("payout",),
        "price_": ("price",),
        "prod_": ("product",),
        "promo_": ("promotion_code",),
        "prv_": ("review",),
        "py_": ("charge",),
        "pyr_": ("refund",),
        "qry_": ("sigma.sigma_api_query",),
        "qt_": ("quote",),
        "rate_": ("exchange_rate",),
        "rc_": (
            "treasury.received_credit",
            "v2.money_management.received_credit",
        ),
        "rd_": ("treasury.received_debit",),
        "re_": ("refund",),
        "rsl_": ("radar.value_list",),
        "rsli_": ("radar.value_list_item",),
        "setatt_": ("setup_attempt",),
        "seti_": ("setup_intent",),
        "shr_": ("shipping_rate",),
        "si_": ("subscription_item",),
        "sli_": ("line_item",),
        "sqr_": ("scheduled_query_run",),
        "src_": ("source",),
        "srcmn_": ("source_mandate_notification",),
        "srctxn_": ("source_transaction",),
        "sub_": ("subscription",),
        "sub_sched_": ("subscription_schedule",),
        "tax_": ("tax.transaction",),
        "tax_li_": (
            "tax.calculation_line_item",
            "tax.transaction_line_item",
        ),
        "taxcalc_": ("tax.calculation",),
        "taxreg_": ("tax.registration",),
        "tmc_": ("terminal.configuration",),
        "tml_": ("terminal.location",),
        "tmr_": ("terminal.reader",),
        "tok_": ("token",),
        "tr_": ("transfer",),
        "trr_": ("transfer_reversal",),
        "trxn_": (
            "treasury.transaction",
            "v2.money_management.transaction",
        ),
        "trxne_": (
            "treasury.transaction_entry",
            "v2.money_management.transaction_entry",
        ),
        "tu_": ("topup",),
        "txcd_": ("tax_code",),
        "txi_": ("tax_id",),
        "txn_": ("balance_transaction",),
        "txr_": ("tax_rate",),
        "usba_": ("v2.core.vault.us_bank_account",),
        "vr_": ("identity.verification_report",),
        "vs_": ("identity.verification_session",),
        "we_": ("webhook_endpoint",),
    }
)
"""Prefix -> the `object` values that have such ids, the likeliest first; some are in no table."""

CHOSEN_BY_USERS = tuple(name for name, table in TABLES.items() if table.chosen_id and name != "prices")
"""Tables whose ids can be of the user's choosing: where an id without a known prefix is looked for. A price that has
such an id is a plan as well, which is found here."""

_LONGEST_FIRST = tuple(sorted(OBJECTS_BY_PREFIX, key=len, reverse=True))


def prefix_of(id: str) -> str | None:
    """The longest known prefix that an id begins with; None where there is none, or nothing behind it."""
    return next((prefix for prefix in _LONGEST_FIRST if id.startswith(prefix) and len(id) > len(prefix)), None)


def shown_id(id: str) -> str:
    """An id as a message may repeat it: quoted where it begins as Stripe's do, else only its shape."""
    return repr(id) if prefix_of(id) and re.fullmatch(r"[\w/-]{1,100}", id, re.ASCII) else shape(id)


def tables_of_id(id: str) -> tuple[str, ...] | None:
    """The tables that can hold the object with this id, none for objects that no table holds.

    None where the id says nothing.
    """
    prefix = prefix_of(id)
    if prefix is None:
        return None
    return tuple(dict.fromkeys(table for name in OBJECTS_BY_PREFIX[prefix] for table in tables_of_object(name)))


def tables_named(name: str) -> tuple[str, ...]:
    """The tables that somebody means by a table's name or by an `object` value: "coupons", "coupon"."""
    return (name,) if name in TABLES else tables_of_object(name)
