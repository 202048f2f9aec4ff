"""Issuing: the cards that an account issues, their holders, and what is paid with them. Data only."""

from __future__ import annotations

from functools import partial

from sources.catalogue import Gate
from sources.stripe_api.declaration import declare, for_each, listed, without_table

issuing = partial(listed, gate=Gate("Issuing", ("Your account is not set up to use Issuing",)))

OBJECTS = (
    declare(
        "issuing.authorization",
        issuing("/v1/issuing/authorizations", created="unix"),
        ids="iauth_",
        events={"issuing_authorization": "created request updated"},
    ),
    declare(
        "issuing.cardholder",
        issuing("/v1/issuing/cardholders", created="unix"),
        ids="ich_",
        events={"issuing_cardholder": "created updated"},
    ),
    declare(
        "issuing.card",
        issuing("/v1/issuing/cards", created="unix"),
        hidden="number cvc",
        ids="ic_",
        events={"issuing_card": "created updated"},
    ),
    declare(
        "issuing.dispute",
        issuing("/v1/issuing/disputes", created="unix"),
        ids="idp_",
        events={"issuing_dispute": "closed created funds_reinstated funds_rescinded submitted updated"},
    ),
    declare(
        "issuing.personalization_design",
        issuing("/v1/issuing/personalization_designs"),
        ids="ipcd_",
        events={"issuing_personalization_design": "activated deactivated rejected updated"},
    ),
    declare("issuing.physical_bundle", issuing("/v1/issuing/physical_bundles", created_field=None), ids="ics_"),
    declare(
        "issuing.token",
        issuing("/v1/issuing/tokens", for_each("issuing_cards", "card"), created="unix"),
        ids="intok_",
        events={"issuing_token": "created updated"},
    ),
    declare(
        "issuing.transaction",
        issuing("/v1/issuing/transactions", created="unix"),
        ids="ipi_",
        events={"issuing_transaction": "created purchase_details_receipt_updated updated"},
    ),
    without_table("issuing.settlement", "Stripe has no request that reads it", ids="ise_"),
)
