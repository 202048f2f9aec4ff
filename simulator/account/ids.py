"""Ids in Stripe's format: a prefix and random letters and digits, the same for the same seed."""

from __future__ import annotations

import random
from base64 import b64encode
from typing import Any

PREFIXES = {
    "application": "ca_", "billing_portal.session": "bps_",
    "account": "acct_", "apple_pay_domain": "apwc_", "application_fee": "fee_", "apps.install": "ainst_",
    "apps.secret": "appsecret_", "balance_transaction": "txn_", "bank_account": "ba_", "billing.alert": "alrt_",
    "billing.credit_balance_transaction": "cbtxn_", "billing.credit_grant": "credgr_",
    "billing.feedback_option": "bfo_", "billing.meter": "mtr_", "billing.meter_event_summary": "mtrusg_",
    "billing_portal.configuration": "bpc_", "card": "card_", "charge": "ch_", "checkout.session": "cs_",
    "climate.order": "climorder_", "climate.product": "climsku_", "climate.supplier": "climsup_",
    "credit_note": "cn_", "credit_note_line_item": "cnli_", "customer": "cus_",
    "customer_balance_transaction": "cbtxn_", "customer_cash_balance_transaction": "ccsbtxn_", "discount": "di_",
    "dispute": "du_", "entitlements.active_entitlement": "ent_", "entitlements.feature": "feat_", "event": "evt_",
    "fee_refund": "fr_", "file": "file_", "file_link": "link_", "financial_connections.account": "fca_",
    "financial_connections.account_owner": "fcaown_", "financial_connections.transaction": "fctxn_",
    "forwarding.request": "fwdreq_", "identity.verification_report": "vr_", "identity.verification_session": "vs_",
    "invoice": "in_", "invoice_payment": "inpay_", "invoice_rendering_template": "inrtem_", "invoiceitem": "ii_",
    "issuing.authorization": "iauth_", "issuing.card": "ic_", "issuing.cardholder": "ich_", "issuing.dispute": "idp_",
    "issuing.personalization_design": "ipcd_", "issuing.physical_bundle": "ics_", "issuing.token": "intok_",
    "issuing.transaction": "ipi_", "item": "li_", "line_item": "il_", "mandate": "mandate_",
    "payment_intent": "pi_", "payment_link": "plink_", "payment_method": "pm_",
    "payment_method_configuration": "pmc_", "payment_method_domain": "pmd_", "payment_record": "pr_",
    "payment_attempt_record": "par_", "payment_intent_amount_details_line_item": "uli_", "payout": "po_",
    "person": "person_", "plan": "plan_", "price": "price_", "product": "prod_", "product_feature": "prodft_",
    "product_catalog.trial_offer": "pto_", "promotion_code": "promo_", "quote": "qt_",
    "radar.early_fraud_warning": "issfr_", "radar.value_list": "rsl_", "radar.value_list_item": "rsli_",
    "refund": "re_", "reporting.report_run": "frr_", "review": "prv_", "scheduled_query_run": "sqr_",
    "setup_attempt": "setatt_", "setup_intent": "seti_", "shipping_rate": "shr_", "source": "src_",
    "source_transaction": "srctxn_", "subscription": "sub_", "subscription_item": "si_",
    "subscription_schedule": "sub_sched_", "tax.calculation": "taxcalc_", "tax.calculation_line_item": "tax_li_",
    "tax.location": "taxloc_", "tax.registration": "taxreg_", "tax.transaction": "tax_",
    "tax.transaction_line_item": "tax_li_", "tax_code": "txcd_", "tax_id": "txi_", "tax_rate": "txr_",
    "terminal.configuration": "tmc_", "terminal.location": "tml_", "terminal.reader": "tmr_",
    "test_helpers.test_clock": "clock_", "three_d_secure.authentication": "tdsa_", "topup": "tu_",
    "transfer": "tr_", "transfer_reversal": "trr_", "treasury.credit_reversal": "credrev_",
    "treasury.debit_reversal": "debrev_", "treasury.financial_account": "fa_", "treasury.inbound_transfer": "ibt_",
    "treasury.outbound_payment": "obp_", "treasury.outbound_transfer": "obt_", "treasury.received_credit": "rc_",
    "treasury.received_debit": "rd_", "treasury.transaction": "trxn_", "treasury.transaction_entry": "trxne_",
    "webhook_endpoint": "we_", "v2.commerce.product_catalog_import": "pcimprt_", "v2.core.account": "acct_",
    "v2.core.account_person": "person_", "v2.core.event": "evt_", "v2.core.event_destination": "ed_",
    "v2.core.vault.gb_bank_account": "gbba_", "v2.core.vault.us_bank_account": "usba_",
    "v2.money_management.adjustment": "adj_", "v2.money_management.financial_account": "fa_",
    "v2.money_management.financial_address": "finaddr_", "v2.money_management.inbound_transfer": "ibt_",
    "v2.money_management.outbound_payment": "obp_", "v2.money_management.outbound_setup_intent": "obsi_",
    "v2.money_management.payout_intent": "poi_", "v2.money_management.payout_method": "pom_",
    "v2.money_management.received_credit": "rc_", "v2.money_management.transaction": "trxn_",
    "v2.money_management.transaction_entry": "trxne_",
}  # fmt: skip
_TIDY = bytes.maketrans(b"+/", b"Qz")


class Ids:
    """A stream of ids; streams with the same seed yield the same ids."""

    def __init__(self, seed: int | str) -> None:
        self._random = random.Random(f"ids/{seed}")
        self._bytes = self._random.randbytes

    def of(self, object_name: str) -> str:
        """A new id for an object of this kind."""
        return self.new(PREFIXES.get(object_name) or object_name.rpartition(".")[2] + "_")

    def new(self, prefix: str, length: int = 24) -> str:
        """A new id: the prefix and `length` letters and digits."""
        return prefix + b64encode(self._bytes(length)).translate(_TIDY)[:length].decode()

    def place(self) -> object:
        """The position in the stream, for `go_to`."""
        return self._random.getstate()

    def go_to(self, place: Any) -> None:
        """Continues from a position of this or another stream."""
        self._random.setstate(place)
