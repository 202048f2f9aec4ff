"""Generates pages of objects, as bytes, with the size and shape of a busy Stripe account: customers, charges, invoices
with two lines.

A seed makes runs comparable. The fields are those of Stripe's API reference for version 2026-10-28.
"""

from __future__ import annotations

import random
import string
from collections.abc import Callable
from typing import Any

import orjson

Object = dict[str, Any]
_LETTERS = string.ascii_letters + string.digits


def pages(kind: str, count: int, *, seed: int = 1, size: int = 100) -> list[bytes]:
    """The bodies of so many list responses of one kind: "customers", "charges" or "invoices"."""
    source = random.Random(f"{seed}/{kind}")
    make = MAKERS[kind]
    listed = ([make(source, page * size + place) for place in range(size)] for page in range(count))
    return [orjson.dumps({"object": "list", "data": data, "has_more": True, "url": f"/v1/{kind}"}) for data in listed]


def _id(source: random.Random, prefix: str) -> str:
    return f"{prefix}_1P{''.join(source.choices(_LETTERS, k=22))}"


def _address(source: random.Random) -> Object:
    number = source.randrange(1, 900)
    return {
        "city": source.choice(["München", "Lyon", "Leeds", "Portland"]),
        "country": source.choice(["DE", "FR", "GB", "US"]),
        "line1": f"{number} Station Road",
        "line2": None,
        "postal_code": str(source.randrange(10000, 99999)),
        "state": None,
    }


def _customer(source: random.Random, place: int) -> Object:
    address = _address(source)
    return {
        "id": _id(source, "cus"),
        "object": "customer",
        "address": address,
        "balance": source.choice([0, 0, 0, -1250]),
        "business_name": None,
        "created": 1_760_000_000 - place * 37,
        "currency": "eur",
        "customer_account": None,
        "default_source": None,
        "delinquent": source.random() < 0.05,
        "description": f"Customer number {place} of the web shop, imported from the old system",
        "discount": None,
        "email": f"person.{place}@example.com",
        "individual_name": None,
        "invoice_prefix": "".join(source.choices(string.ascii_uppercase, k=8)),
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": _id(source, "pm"),
            "footer": None,
            "rendering_options": {"amount_tax_display": "include_inclusive_tax", "template": None},
        },
        "livemode": True,
        "metadata": {f"shop_attribute_{n}": "".join(source.choices(_LETTERS, k=36)) for n in range(12)},
        "name": f"Person {place}",
        "next_invoice_sequence": source.randrange(1, 40),
        "phone": "+4930901820",
        "preferred_locales": ["de", "en"],
        "shipping": {"address": address, "name": f"Person {place}", "phone": "+4930901820"},
        "tax_exempt": "none",
        "test_clock": None,
    }


def _charge(source: random.Random, place: int) -> Object:
    amount, charge = source.randrange(500, 90_000), _id(source, "ch")
    return {
        "id": charge,
        "object": "charge",
        "amount": amount,
        "amount_captured": amount,
        "amount_refunded": 0,
        "application": None,
        "application_fee": None,
        "application_fee_amount": None,
        "balance_transaction": _id(source, "txn"),
        "billing_details": {
            "address": _address(source),
            "email": f"person.{place}@example.com",
            "name": f"Person {place}",
            "phone": None,
            "tax_id": None,
        },
        "calculated_statement_descriptor": "EXAMPLE SHOP",
        "captured": True,
        "created": 1_760_000_000 - place * 11,
        "currency": "eur",
        "customer": _id(source, "cus"),
        "description": f"Subscription update, invoice {place}",
        "disputed": False,
        "failure_balance_transaction": None,
        "failure_code": None,
        "failure_message": None,
        "fraud_details": {},
        "livemode": True,
        "metadata": {"order_id": str(place), "shop": "web", "campaign": "".join(source.choices(_LETTERS, k=20))},
        "on_behalf_of": None,
        "outcome": {
            "advice_code": None,
            "network_advice_code": None,
            "network_decline_code": None,
            "network_status": "approved_by_network",
            "reason": None,
            "risk_level": "normal",
            "risk_score": source.randrange(60),
            "seller_message": "Payment complete.",
            "type": "authorized",
        },
        "paid": True,
        "payment_intent": _id(source, "pi"),
        "payment_method": _id(source, "pm"),
        "payment_method_details": {
            "card": {
                "amount_authorized": amount,
                "authorization_code": f"{source.randrange(10**6):06}",
                "brand": "visa",
                "checks": {"address_line1_check": "pass", "address_postal_code_check": "pass", "cvc_check": None},
                "country": "DE",
                "exp_month": source.randrange(1, 13),
                "exp_year": 2029,
                "extended_authorization": {"status": "disabled"},
                "fingerprint": "".join(source.choices(_LETTERS, k=16)),
                "funding": "credit",
                "incremental_authorization": {"status": "unavailable"},
                "installments": None,
                "last4": f"{source.randrange(10**4):04}",
                "mandate": None,
                "multicapture": {"status": "unavailable"},
                "network": "visa",
                "network_token": {"used": False},
                "network_transaction_id": str(source.randrange(10**14, 10**15)),
                "overcapture": {"maximum_amount_capturable": amount, "status": "unavailable"},
                "regulated_status": "unregulated",
                "three_d_secure": None,
                "wallet": None,
            },
            "type": "card",
        },
        "radar_options": {},
        "receipt_email": None,
        "receipt_number": None,
        "receipt_url": f"https://pay.stripe.com/receipts/payment/{''.join(source.choices(_LETTERS, k=110))}",
        "refunded": False,
        "review": None,
        "shipping": None,
        "source": None,
        "source_transfer": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": "succeeded",
        "transfer_data": None,
        "transfer_group": None,
    }


def _line(source: random.Random, invoice: str, number: int, amount: int, created: int) -> Object:
    return {
        "id": _id(source, "il"),
        "object": "line_item",
        "amount": amount,
        "currency": "eur",
        "description": f"{number} × Team plan (at €{amount / 100:.2f} / month)",
        "discount_amounts": [],
        "discountable": True,
        "discounts": [],
        "invoice": invoice,
        "livemode": True,
        "metadata": {},
        "parent": {
            "invoice_item_details": None,
            "subscription_item_details": {
                "invoice_item": None,
                "proration": False,
                "proration_details": {"credited_items": None},
                "subscription": _id(source, "sub"),
                "subscription_item": _id(source, "si"),
            },
            "type": "subscription_item_details",
        },
        "period": {"end": created + 2_592_000, "start": created},
        "pretax_credit_amounts": [],
        "pricing": {
            "price_details": {"price": _id(source, "price"), "product": _id(source, "prod")},
            "type": "price_details",
            "unit_amount_decimal": str(amount),
        },
        "quantity": number,
        "subtotal": amount,
        "taxes": [],
    }


def _invoice(source: random.Random, place: int) -> Object:
    invoice, amount, created = _id(source, "in"), source.randrange(900, 90_000), 1_760_000_000 - place * 19
    hosted = f"https://invoice.stripe.com/i/acct_1P/{''.join(source.choices(_LETTERS, k=90))}"
    nothing = (
        "account_tax_ids application automatically_finalizes_at confirmation_secret custom_fields "
        "customer_account customer_phone customer_shipping default_payment_method default_source description "
        "due_date footer from_invoice last_finalization_error latest_revision next_payment_attempt on_behalf_of "
        "receipt_number rendering shipping_cost shipping_details statement_descriptor test_clock "
    )
    return {
        "id": invoice,
        "object": "invoice",
        "account_country": "DE",
        "account_name": "Example Shop",
        "amount_due": amount,
        "amount_overpaid": 0,
        "amount_paid": amount,
        "amount_remaining": 0,
        "amount_shipping": 0,
        "attempt_count": 1,
        "attempted": True,
        "auto_advance": False,
        "automatic_tax": {
            "disabled_reason": None,
            "enabled": False,
            "liability": None,
            "provider": None,
            "status": None,
        },
        "billing_reason": "subscription_cycle",
        "collection_method": "charge_automatically",
        "created": created,
        "currency": "eur",
        "customer": _id(source, "cus"),
        "customer_address": _address(source),
        "customer_email": f"person.{place}@example.com",
        "customer_name": f"Person {place}",
        "customer_tax_exempt": "none",
        "customer_tax_ids": [],
        "default_tax_rates": [],
        "discounts": [],
        "effective_at": created,
        "ending_balance": 0,
        "hosted_invoice_url": f"{hosted}?s=ap",
        "invoice_pdf": f"{hosted}/pdf?s=ap",
        "issuer": {"type": "self"},
        "lines": {
            "object": "list",
            "data": [_line(source, invoice, number, amount, created) for number in (1, 2)],
            "has_more": False,
            "total_count": 2,
            "url": f"/v1/invoices/{invoice}/lines",
        },
        "livemode": True,
        "metadata": {},
        "number": f"A1B2C3D4-{place:06}",
        "parent": {
            "quote_details": None,
            "subscription_details": {"metadata": {"shop": "web"}, "subscription": _id(source, "sub")},
            "type": "subscription_details",
        },
        "payment_settings": {"default_mandate": None, "payment_method_options": None, "payment_method_types": None},
        "period_end": created,
        "period_start": created - 2_592_000,
        "post_payment_credit_notes_amount": 0,
        "pre_payment_credit_notes_amount": 0,
        "starting_balance": 0,
        "status": "paid",
        "status_transitions": {
            "finalized_at": created + 3600,
            "marked_uncollectible_at": None,
            "paid_at": created + 3605,
            "voided_at": None,
        },
        "subtotal": amount,
        "subtotal_excluding_tax": amount,
        "total": amount,
        "total_discount_amounts": [],
        "total_excluding_tax": amount,
        "total_pretax_credit_amounts": [],
        "total_taxes": [],
        "webhooks_delivered_at": created,
        **dict.fromkeys(nothing.split()),
    }


MAKERS: dict[str, Callable[[random.Random, int], Object]] = {
    "customers": _customer,
    "charges": _charge,
    "invoices": _invoice,
}
