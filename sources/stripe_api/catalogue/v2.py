"""The catalogue's lines for root lists of API v2: one line an endpoint. Data only."""

from __future__ import annotations

from sources.catalogue import Created, Gate, Params, Resource

ACCOUNTS = Gate("Accounts v2", ("Accounts v2 is not enabled for your", "isn't available in test mode"))
V2 = Gate("API v2")
MONEY = Gate("money management (API v2)")


def root_v2(path: str, object_name: str, gate: Gate, *passes: Params, created: Created = "none") -> Resource:
    """A v2 list: no order is promised, and pages are smaller (20 is asked for, the server may grant less).

    It fills the table of its own name, which is its path with underscores.
    """
    name = path.strip("/").replace("/", "_")
    return Resource(
        name=name,
        path=path,
        table=name,
        objects=(object_name,),
        kind="root",
        created=created,
        pagination="v2",
        limit=20,
        passes=passes or ((),),
        created_field="created",
        groups=("default",),
        gate=gate.product,
        denied=gate.denied,
    )


ROOTS_V2 = (
    root_v2("/v2/commerce/product_catalog/imports", "v2.commerce.product_catalog_import", V2, created="iso_flat"),
    # Unfiltered, the list has no closed accounts.
    root_v2("/v2/core/accounts", "v2.core.account", ACCOUNTS, (("closed", "false"),), (("closed", "true"),)),
    root_v2("/v2/core/event_destinations", "v2.core.event_destination", V2),
    root_v2("/v2/core/events", "v2.core.event", V2, created="iso"),
    root_v2("/v2/core/vault/gb_bank_accounts", "v2.core.vault.gb_bank_account", MONEY),
    root_v2("/v2/core/vault/us_bank_accounts", "v2.core.vault.us_bank_account", MONEY),
    root_v2("/v2/money_management/adjustments", "v2.money_management.adjustment", MONEY, created="iso"),
    # Unfiltered, the list has no closed financial accounts.
    root_v2(
        "/v2/money_management/financial_accounts",
        "v2.money_management.financial_account",
        MONEY,
        (("statuses[0]", "open"), ("statuses[1]", "pending"), ("statuses[2]", "closed")),
    ),
    root_v2("/v2/money_management/financial_addresses", "v2.money_management.financial_address", MONEY),
    root_v2("/v2/money_management/inbound_transfers", "v2.money_management.inbound_transfer", MONEY, created="iso"),
    root_v2("/v2/money_management/outbound_payments", "v2.money_management.outbound_payment", MONEY, created="iso"),
    root_v2("/v2/money_management/outbound_setup_intents", "v2.money_management.outbound_setup_intent", MONEY),
    root_v2("/v2/money_management/payout_intents", "v2.money_management.payout_intent", MONEY),
    root_v2("/v2/money_management/payout_methods", "v2.money_management.payout_method", MONEY),
    root_v2("/v2/money_management/received_credits", "v2.money_management.received_credit", MONEY, created="iso"),
    root_v2("/v2/money_management/transaction_entries", "v2.money_management.transaction_entry", MONEY, created="iso"),
    root_v2("/v2/money_management/transactions", "v2.money_management.transaction", MONEY, created="iso"),
)
