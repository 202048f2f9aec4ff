"""Tax: ids, codes and rates, and what Stripe Tax calculates. Data only."""

from __future__ import annotations

from sources.stripe_api.catalogue.payments import CUSTOMER
from sources.stripe_api.declaration import declare, for_each, line_items, listed, singleton

OBJECTS = (
    # --- Ids, codes, rates and registrations
    declare(
        "tax_id",
        # The account's own ids. Customers contain theirs.
        listed("/v1/tax_ids", core=True),
        listed("/v1/customers/{customer}/tax_ids", CUSTOMER, name="customer_tax_ids"),
        parent="customers",
        parent_field="customer",
        ids="atxi_ txi_",
        events={"customer.tax_id": "created deleted updated"},
    ),
    declare("tax_code", listed("/v1/tax_codes", created_field=None), ids="txcd_"),
    declare("tax_rate", listed("/v1/tax_rates", created="unix", core=True), ids="txr_", events="created updated"),
    declare("tax.registration", listed("/v1/tax/registrations", passes=("status=all",)), ids="taxreg_"),
    declare("tax.settings", singleton("/v1/tax/settings"), table="tax_settings", events="updated"),
    declare("tax.location", listed("/v1/tax/locations", created_field=None, passes=("type=performance",))),
    # --- Stripe Tax
    # No list shows calculations and transactions: their tables have only those that were loaded by id.
    declare(
        "tax.calculation",
        retrieve="/v1/tax/calculations/{id}",
        expands={"line_items": "tax_calculation_line_items"},
        ids="taxcalc_",
    ),
    line_items(
        "tax.calculation_line_item",
        "/v1/tax/calculations/{calculation}/line_items",
        for_each("tax_calculations", "calculation"),
        ids="tax_li_",
    ),
    declare(
        "tax.transaction",
        retrieve="/v1/tax/transactions/{id}",
        expands={"line_items": "tax_transaction_line_items"},
        ids="tax_",
    ),
    line_items(
        "tax.transaction_line_item",
        "/v1/tax/transactions/{transaction}/line_items",
        for_each("tax_transactions", "transaction"),
        ids="tax_li_",
    ),
)
