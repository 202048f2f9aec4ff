"""What becomes of people's data: the settings, the treatment of values, and the fields that hold a person's data."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from sources.errors import BadConfiguration
from sources.orb_api.catalogue import CATALOGUE as ORBS
from sources.privacy import HASHED, Forgotten, Privacy, digest_of
from sources.privacy_rules import privacy_of
from sources.stripe_api.catalogue import CATALOGUE, RESOURCES, TABLES
from sources.stripe_api.catalogue.fields import SHAPES, shape_of
from sources.stripe_api.generate import shapes
from sources.stripe_api.generate.sdk import Sdk

SALT = "salt of the tests, long enough"


def privacy(salt: str | None = SALT, **paths: str) -> Privacy:
    """By settings such as `customers__email="hash"`."""
    return privacy_of(CATALOGUE, {tuple(name.split("__")): value for name, value in paths.items()}, salt)


def test_the_same_value_has_the_same_hash_in_every_table_and_another_with_another_salt() -> None:
    rules = {"customers__email": "hash", "invoices__customer_email": "hash", "charges__billing_details__email": "hash"}
    one = privacy(**rules)
    (customer,) = one.rows("customers", [{"id": "cus_1", "email": "ada@example.com"}])
    (invoice,) = one.rows("invoices", [{"id": "in_1", "customer_email": "ada@example.com"}])
    (charge,) = one.rows("charges", [{"id": "ch_1", "billing_details": {"email": "ada@example.com", "name": "Ada"}}])
    hashed = customer["email"]
    assert HASHED.fullmatch(hashed)
    assert invoice["customer_email"] == charge["billing_details"]["email"] == hashed
    assert charge["billing_details"]["name"] == "Ada"
    other = privacy("another salt of the tests", **rules)
    assert other.rows("customers", [{"id": "cus_1", "email": "ada@example.com"}])[0]["email"] != hashed
    assert one.rows("customers", [customer]) == [customer], "a second time changes nothing: replay reads what is kept"


def test_paths_go_through_arrays_maps_and_lists_and_nothing_given_is_changed() -> None:
    row = {
        "id": "cus_1",
        "metadata": {"ssn": "1", "plan": "pro"},
        "invoice_settings": {"custom_fields": [{"name": "PO", "value": "x"}, {"name": "CC", "value": None}]},
        "shipping": {"address": {"line1": "1 Road", "country": "DE"}},
    }
    before = json.dumps(row)
    one = privacy(
        customers__metadata__ssn="drop",
        customers__invoice_settings__custom_fields__value="hash",
        customers__shipping__address="hash",
    )
    (treated,) = one.rows("customers", [row])
    assert treated["metadata"] == {"ssn": None, "plan": "pro"}
    values = [each["value"] for each in treated["invoice_settings"]["custom_fields"]]
    assert HASHED.fullmatch(values[0])
    assert values[1] is None
    assert all(map(HASHED.fullmatch, treated["shipping"]["address"].values()))
    assert json.dumps(row) == before


def test_the_preset_covers_copies_expanded_objects_and_embedded_rows() -> None:
    one = privacy(people="hash", customers__name="keep", customers__phone="drop")
    person = {"id": "cus_1", "object": "customer", "email": "ada@example.com", "name": "Ada", "phone": "1"}
    (charge,) = one.rows("charges", [{"id": "ch_1", "object": "charge", "customer": person}])
    assert charge["customer"]["name"] == "Ada"
    assert charge["customer"]["phone"] is None
    assert HASHED.fullmatch(charge["customer"]["email"])
    method = {"id": "pm_1", "object": "payment_method", "billing_details": {"email": "ada@example.com"}}
    (intent,) = one.rows("payment_intents", [{"id": "pi_1", "last_payment_error": {"payment_method": method}}])
    kept = intent["last_payment_error"]["payment_method"]["billing_details"]["email"]
    assert kept == charge["customer"]["email"]
    card = {"id": "card_1", "object": "card", "name": "Ada", "address_line1": "1 Road"}
    (customer,) = one.rows("customers", [{**person, "sources": {"object": "list", "data": [card]}}])
    assert HASHED.fullmatch(customer["sources"]["data"][0]["address_line1"])


def test_an_event_is_kept_as_its_object_is() -> None:
    one = privacy(
        customers__email="hash", invoice_line_items__description="drop", events__request__idempotency_key="drop"
    )
    shown = {"id": "cus_1", "object": "customer", "email": "new@example.com"}
    data = {"object": shown, "previous_attributes": {"email": "old@example.com"}}
    kept = one.event({"id": "evt_1", "object": "event", "type": "customer.updated", "data": data})
    assert "@example.com" not in json.dumps(kept)
    line = {"id": "il_1", "object": "line_item", "description": "For Ada"}
    invoice = {"id": "in_1", "object": "invoice", "lines": {"object": "list", "data": [line]}}
    kept = one.event({"id": "evt_2", "object": "event", "data": {"object": invoice}})
    assert "Ada" not in json.dumps(kept)
    unknown = {"id": "x_1", "object": "of_no_table", "email": "a@example.com", "name": "Ada"}
    kept = one.event({"id": "evt_3", "object": "event", "data": {"object": unknown}})
    assert kept["data"] == {"object": {"id": "x_1", "object": "of_no_table"}}
    assert one.event({"id": "evt_4", "object": "event", "data": {"email": "a@b.c"}})["data"] is None
    thin = {"id": "evt_5", "object": "v2.core.event", "related_object": {"id": "acct_1"}}
    assert one.event(thin) == thin
    request = {"id": "req_1", "idempotency_key": "ada@example.com"}
    (stored,) = one.rows("events", [{"id": "evt_1", "object": "event", "data": data, "request": request}])
    assert stored["request"] == {"id": "req_1", "idempotency_key": None}
    assert "@example.com" not in json.dumps(stored)


def test_an_event_of_orbs_is_kept_as_its_object_and_its_row_in_the_log_are() -> None:
    rules = {
        ("people",): "drop",
        ("customers", "external_customer_id"): "hash",
        ("invoice_line_items", "grouping"): "drop",
    }
    treated = privacy_of(ORBS, rules, SALT)
    customer = {"id": "a", "name": "Jenny", "external_customer_id": "jenny@example.com", "balance": "1.00"}
    told = {"id": "e", "type": "customer.edited", "created_at": "2027-01-01T00:00:00Z", "customer": customer}
    kept = treated.event(told | {"properties": {"previous_attributes": {"name": "Jen", "external_customer_id": "b"}}})
    assert kept["customer"] | {"external_customer_id": "-"} == customer | {"name": None, "external_customer_id": "-"}
    assert HASHED.fullmatch(kept["customer"]["external_customer_id"])
    before = kept["properties"]["previous_attributes"]
    assert (before["name"], bool(HASHED.fullmatch(before["external_customer_id"]))) == (None, True)
    line = {"id": "l", "grouping": "For Jenny"}
    invoice = {"id": "i", "billing_address": {"line1": "Street 1", "country": "DE"}, "line_items": [line]}
    shown = treated.event(told | {"type": "invoice.brand_new", "invoice": invoice})["invoice"]
    address = {"line1": None, "country": "DE"}
    assert shown == invoice | {"billing_address": address, "line_items": [line | {"grouping": None}]}
    unknown = treated.event({"id": "e", "type": "person.seen", "created_at": "x", "person": {"name": "Jenny"}})
    assert unknown == {"id": "e", "type": "person.seen", "created_at": "x"}
    assert treated.event(kept) == kept
    assert Privacy(ORBS).event(told) is told


def test_forgotten_persons_lose_their_data_in_everything_that_names_them() -> None:
    forgotten = Forgotten({digest_of("cus_1"), digest_of("ch_1")}, {"cus", "ch"})
    one = privacy(customers__name="keep").with_forgotten(forgotten)
    person = {"id": "cus_1", "object": "customer", "email": "a@b.c", "name": "Ada", "metadata": {"x": "Ada"}}
    (row,) = one.rows("customers", [{**person, "balance": 5, "currency": "eur"}])
    erased = {"email": None, "name": None, "metadata": None}
    assert row == {"id": "cus_1", "object": "customer", "balance": 5, "currency": "eur", **erased}
    dispute = {"id": "dp_1", "object": "dispute", "charge": "ch_1", "evidence": {"customer_name": "Ada"}, "amount": 1}
    assert one.rows("disputes", [dispute])[0]["evidence"]["customer_name"] is None
    invoice = {"id": "in_1", "object": "invoice", "customer": "cus_2", "customer_email": "b@b.c", "charge": "ch_1"}
    assert one.rows("invoices", [invoice])[0]["customer_email"] == "b@b.c", "it belongs to somebody else"
    kept = one.event({"id": "evt_1", "data": {"object": person, "previous_attributes": {"email": "old@b.c"}}})
    assert "b.c" not in json.dumps(kept)
    assert one.rows("customers", [{**person, "id": "cus_2"}])[0]["email"] == "a@b.c"


@pytest.mark.parametrize("how", ["hash", "drop", "keep"])
def test_a_forgotten_persons_fields_are_dropped_whatever_rules_say_of_them(how: str) -> None:
    """The hash of an address finds its person, with the salt."""
    rules = {"customers__email": how, "customers__metadata__birthday": how, "charges__billing_details__email": how}
    one = privacy(**rules).with_forgotten(Forgotten({digest_of("cus_1")}, {"cus"}))
    row = {"id": "cus_1", "object": "customer", "email": "grace@example.com", "metadata": {"birthday": "9 December"}}
    (stored,) = one.rows("customers", [row])
    assert (stored["email"], stored["metadata"]) == (None, None)
    assert one.erased("customers", {**row, "email": f"hash:{32 * 'a'}"})["email"] is None
    charge = {"id": "ch_1", "object": "charge", "customer": "cus_1", "billing_details": {"email": "grace@example.com"}}
    assert one.rows("charges", [charge])[0]["billing_details"] == {"email": None}


@pytest.mark.parametrize(
    ("paths", "salt", "said"),
    [
        ({"customer__email": "hash"}, SALT, r"no table 'customer'. Did you mean customers\?"),
        ({"customers__emial": "hash"}, SALT, r"no field customers.'emial'. Did you mean email\?"),
        ({"charges__billing_details__emails": "hash"}, SALT, r"no field charges.billing_details.'emails'. .* email\?"),
        ({"charges__customer__email": "hash"}, SALT, r"goes through customer, which is a whole object .*: customer"),
        ({"customers": "hash"}, SALT, r"names a table. Name a field"),
        ({"customers__id": "hash"}, SALT, r"is not possible: rows are found, ordered and joined by customers.id"),
        ({"invoices__customer": "drop"}, SALT, r"joined by invoices.customer"),
        ({"customers__created": "drop"}, SALT, r"ordered and joined by customers.created"),
        ({"customers__balance": "hash"}, SALT, r"holds no text. Set it to drop"),
        (
            {"customers__email": "sk_live_1"},
            SALT,
            r"privacy.customers.email has an invalid value. Set it to hash, drop",
        ),
        ({"people": "hash"}, None, r"there is no salt.*PRIVACY__SALT_FILE"),
        ({"people": "hash"}, "short", r"fewer than 16 characters"),
    ],
)
def test_what_cannot_be_is_refused_with_the_nearest_name(paths: dict[str, str], salt: str | None, said: str) -> None:
    with pytest.raises(BadConfiguration) as refused:
        privacy(salt, **paths)
    assert re.search(said, str(refused.value))
    assert "sk_live_1" not in str(refused.value)


# --- the fields -------------------------------------------------------------------------------------------------------


def leaves(shape: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, field in shape.items():
        if isinstance(field, dict):
            yield from leaves(field, (*above, name))
        else:
            yield (*above, name), field


@pytest.mark.timeout(240)
def test_the_shapes_are_those_of_the_installed_sdk() -> None:
    assert SHAPES.read_text("utf-8") == shapes.shapes(Sdk()), f"run {shapes.COMMAND}"


def test_every_table_and_every_column_has_a_shape() -> None:
    filled = {parent.fills for resource in RESOURCES.values() for parent in resource.parents}  # by us, not by Stripe
    shapes = {f"{table}.{name}" for table in TABLES for name in shape_of(table)}
    assert shapes == {f"{table}.{name}" for table in TABLES for name in CATALOGUE.fields(table)} - filled


NOT_A_PERSONS = {
    "accounts.business_profile.support_email",
    "accounts.business_profile.support_phone",
    "accounts.business_profile.support_address",
    "accounts.company",
    "terminal_locations.phone",
    "terminal_locations.address",
    "tax_settings.head_office",
    "tax_locations.address",
    "climate_",
    "forwarding_requests",
    "v2_money_management_financial_addresses",
}
"""Fields whose names sound like a person's, and that hold the account's or another company's."""


def test_no_field_that_sounds_like_a_persons_is_left_out_of_the_preset() -> None:
    sounds = re.compile(r"(.*_)?(email|phone|first_name|last_name|surname|cardholder_name|account_holder_name|line1)")
    left = [
        ".".join((table, *path))
        for table in TABLES
        for path, field in leaves(shape_of(table))
        if sounds.fullmatch(path[-1]) and field == 0
    ]
    known = (
        "company.",
        "merchant_data.",
        "bank_address.",
        "company_details.",
        "ship_from_details.",
        "business_profile.",
    )
    unknown = [
        path for path in left if not path.startswith(tuple(NOT_A_PERSONS)) and not any(map(path.__contains__, known))
    ]
    assert unknown == []


STANDARD = (
    "customers.email customers.name customers.phone customers.address.line1 customers.shipping.name"
    " invoices.customer_email invoices.customer_name invoices.customer_phone invoices.customer_address.line1"
    " invoices.customer_shipping.name charges.billing_details.email charges.billing_details.name charges.receipt_email"
    " charges.shipping.phone checkout_sessions.customer_details.email checkout_sessions.customer_email"
    " payment_intents.receipt_email payment_intents.shipping.name payment_methods.billing_details.email"
    " disputes.evidence.customer_name disputes.evidence.customer_email_address persons.first_name persons.dob.day"
    " issuing_cardholders.email reviews.ip_address tax_ids.verification.verified_name refunds.instructions_email"
)


def test_the_preset_has_the_fields_that_everybody_knows_of() -> None:
    people = {".".join((table, *path)) for table in TABLES for path, field in leaves(shape_of(table)) if field == 1}
    assert set(STANDARD.split()) <= people
    things = "products.name coupons.name plans.nickname subscriptions.id prices.nickname payment_methods.card.last4"
    assert people.isdisjoint(things.split())
