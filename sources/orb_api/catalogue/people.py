"""The fields of Orb's objects that hold a person's data, by table. Data only.

`tests/sources/orb_api/test_orb_catalogue.py` searches the SDK for further ones. Country and state are left out because
they identify nobody. Free texts and the external ids that people choose are left out too.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from sources.privacy import PERSONAL

_ADDRESS = dict.fromkeys(("city", "line1", "line2", "postal_code"), PERSONAL) | dict.fromkeys(("country", "state"), 0)
_TAX_ID = {"country": 0, "type": 0, "value": PERSONAL}
_CUSTOMER = {
    "name": PERSONAL,
    "email": PERSONAL,
    "additional_emails": PERSONAL,
    "billing_address": _ADDRESS,
    "shipping_address": _ADDRESS,
    "tax_id": _TAX_ID,
}
_INVOICE = {"billing_address": _ADDRESS, "shipping_address": _ADDRESS, "customer_tax_id": _TAX_ID}
_SUBSCRIPTION = {"customer": _CUSTOMER}
_BEFORE = {"previous_attributes": _CUSTOMER | _INVOICE | _SUBSCRIPTION}

SHAPES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "customers": _CUSTOMER,
        "subscriptions": _SUBSCRIPTION,
        "invoices": _INVOICE,
        "credit_ledger_entries": {"created_invoices": _INVOICE},
        "webhook_events": {
            "payload": {
                "customer": _CUSTOMER,
                "invoice": _INVOICE,
                "subscription": _SUBSCRIPTION,
                "properties": _BEFORE,
            }
        },
        "alert_events": {"properties": _BEFORE},
    }
)
"""table -> its fields that hold a person's data, as `Catalogue.shape_of` has them."""


def shape_of(table: str) -> Mapping[str, Any]:
    """The fields of a table that hold a person's data."""
    return SHAPES.get(table, {})
