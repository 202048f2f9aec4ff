"""Billing: products and prices, subscriptions, invoices, quotes, usage, the portal, entitlements. Data only."""

from __future__ import annotations

from sources.catalogue import Gate
from sources.stripe_api.catalogue.payments import CUSTOMER
from sources.stripe_api.declaration import BELOW_PARENT, declare, for_each, line_items, listed

TEST_MODE = Gate("test mode only", ("This endpoint is only available in testmode",))
# Discounts have no list and no request of their own: the discounted objects contain them, and events show them.
DISCOUNTS = {"discounts": "discounts"}

OBJECTS = (
    # --- Products, prices and discounts
    declare(
        "product",
        listed("/v1/products", created="unix", core=True),
        chosen_id=True,
        ids="prod_",
        events="created deleted updated",
    ),
    declare(
        "product_feature",
        listed("/v1/products/{product}/features", for_each("products", "product"), created_field=None),
        key=BELOW_PARENT,
        parent_field=None,
    ),
    # Stripe shows a plan as a price of the same id too.
    declare(
        "price",
        # Unfiltered, the list has active prices only. Inline prices (made by `price_data`) are in no list.
        listed("/v1/prices", created="unix", passes=("active=true", "active=false"), core=True),
        shown_on_request="currency_options tiers",
        chosen_id=True,
        ids="price_",
        events="created deleted updated",
    ),
    declare(
        "plan",
        listed("/v1/plans", created="unix", core=True),
        shown_on_request="tiers",
        chosen_id=True,
        ids="plan_",
        events="created deleted updated",
    ),
    declare(
        "product_catalog.trial_offer", listed("/v1/product_catalog/trial_offers", created="unix", created_field=None)
    ),
    declare(
        "coupon",
        listed("/v1/coupons", created="unix", core=True),
        shown_on_request="applies_to currency_options",
        chosen_id=True,
        events="created deleted updated",
    ),
    declare(
        "promotion_code",
        listed("/v1/promotion_codes", created="unix", core=True),
        ids="promo_",
        events="created updated",
    ),
    declare("discount", ids="di_", events={"customer.discount": "created deleted updated"}),
    declare("shipping_rate", listed("/v1/shipping_rates", created="unix", core=True), ids="shr_"),
    # --- Subscriptions
    declare(
        "subscription",
        # Unfiltered, the list has no canceled subscriptions.
        listed("/v1/subscriptions", created="unix", passes=("status=all",), core=True),
        embeds={"items": "subscription_items"},
        expands_ids=DISCOUNTS,
        ids="sub_",
        events={
            "customer.subscription": "created deleted paused pending_update_applied pending_update_expired resumed "
            "trial_will_end updated"
        },
        deleted_by="",  # an ended subscription stays in Stripe with the status `canceled`
    ),
    declare(
        "subscription_item",
        listed("/v1/subscription_items", for_each("subscriptions", "subscription"), newest_first=False),
        expands_ids=DISCOUNTS,
        ids="si_",
    ),
    declare(
        "subscription_schedule",
        listed("/v1/subscription_schedules", created="unix", core=True),
        ids="sub_sched_",
        events="aborted canceled completed created expiring released updated",
    ),
    # --- Invoices
    declare(
        "invoice",
        listed("/v1/invoices", created="unix", core=True),
        embeds={"lines": "invoice_line_items"},
        expands_ids=DISCOUNTS,
        hidden="confirmation_secret payments",
        not_embedded={"payments": "the list of invoice payments contains them"},
        ids="in_",
        events="created deleted finalization_failed finalized marked_uncollectible overdue overpaid paid "
        "payment_action_required payment_attempt_required payment_failed payment_succeeded sent upcoming "
        "updated voided will_be_due",
        ignored={"upcoming": "it previews an invoice that does not exist yet and has no id"},
    ),
    declare(
        "line_item",
        listed("/v1/invoices/{invoice}/lines", for_each("invoices", "invoice"), created_field=None),
        table="invoice_line_items",
        key=BELOW_PARENT,
        expands_ids=DISCOUNTS,
        retrieve=None,
        # Before API version 2019-12-03 a line had the id of its subscription or invoice item, so lines of several
        # invoices shared it.
        unique_id="unique_id",
        ids="il_ il_tmp_ sli_",
    ),
    declare(
        "invoiceitem",
        listed("/v1/invoiceitems", created="unix", created_field="date", core=True),
        expands_ids=DISCOUNTS,
        ids="ii_",
        events="created deleted",
    ),
    declare("invoice_payment", listed("/v1/invoice_payments", created="unix", core=True), ids="inpay_", events="paid"),
    declare("invoice_rendering_template", listed("/v1/invoice_rendering_templates"), ids="inrtem_"),
    # --- Credit notes and customer balances
    declare(
        "credit_note",
        listed("/v1/credit_notes", created="unix", core=True),
        embeds={"lines": "credit_note_line_items"},
        ids="cn_",
        events="created updated voided",
    ),
    line_items(
        "credit_note_line_item",
        "/v1/credit_notes/{credit_note}/lines",
        for_each("credit_notes", "credit_note"),
        listed(
            "/v1/credit_notes/preview/lines",
            for_each("invoices", "invoice"),
            name="credit_note_preview_lines",
            created_field=None,
            not_loaded="it previews a credit note that does not exist",
        ),
        ids="cnli_",
    ),
    declare(
        "customer_balance_transaction",
        listed("/v1/customers/{customer}/balance_transactions", CUSTOMER, created="unix"),
        ids="cbtxn_",
    ),
    # --- Quotes
    declare(
        "quote",
        listed("/v1/quotes", core=True),
        expands={"line_items": "quote_line_items", "computed.upfront.line_items": "quote_computed_upfront_line_items"},
        ids="qt_",
        events="accepted canceled created finalized",
    ),
    line_items("item", "/v1/quotes/{quote}/line_items", for_each("quotes", "quote"), table="quote_line_items"),
    line_items(
        "item",
        "/v1/quotes/{quote}/computed_upfront_line_items",
        for_each("quotes", "quote"),
        table="quote_computed_upfront_line_items",
    ),
    # --- Usage and credits
    declare(
        "billing.alert",
        listed("/v1/billing/alerts", created_field=None, core=True),
        ids="alrt_",
        events="triggered",
        carried_by={"billing.alert_triggered": "alert"},
    ),
    declare(
        "billing.credit_balance_transaction",
        # The documentation says that the customer is optional, but without it the API answers 400.
        listed("/v1/billing/credit_balance_transactions", CUSTOMER),
        parent_field=None,
        ids="cbtxn_",
        events="created",
    ),
    declare(
        "billing.credit_grant", listed("/v1/billing/credit_grants", core=True), ids="credgr_", events="created updated"
    ),
    declare("billing.feedback_option", listed("/v1/billing/feedback_options", created_field=None), ids="bfo_"),
    declare(
        "billing.meter",
        listed("/v1/billing/meters", core=True),
        ids="meter_ mtr_",
        events="created deactivated reactivated updated",
    ),
    declare(
        "billing.meter_event_summary",
        listed(
            "/v1/billing/meters/{id}/event_summaries",
            for_each("billing_meters", "id"),
            CUSTOMER,
            created_field=None,
            # By day, so that a summary keeps its bounds whichever range a run requests: both bounds are at midnight
            # UTC.
            passes=("value_grouping_window=day",),
            range_params=("start_time", "end_time"),
        ),
        key="meter _parent_id start_time end_time",
        parent_field=None,
        retrieve=None,
        ids="mtrusg_",
    ),
    # --- Customer portal
    declare(
        "billing_portal.configuration",
        listed("/v1/billing_portal/configurations"),
        ids="bpc_",
        events="created updated",
    ),
    declare("billing_portal.session", ids="bps_", events="created"),
    # --- Entitlements
    declare("entitlements.feature", listed("/v1/entitlements/features", created_field=None), ids="feat_"),
    declare(
        "entitlements.active_entitlement",
        listed("/v1/entitlements/active_entitlements", CUSTOMER, created_field=None),
        parent_field=None,
        ids="ent_",
    ),
    declare(
        "entitlements.active_entitlement_summary",
        key="customer",
        embeds={"entitlements": "entitlements_active_entitlements"},
        events="updated",
    ),
    # --- Test clocks
    declare(
        "test_helpers.test_clock",
        listed("/v1/test_helpers/test_clocks", gate=TEST_MODE),
        ids="clock_",
        events="advancing created deleted internal_failure ready",
    ),
)
