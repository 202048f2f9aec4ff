"""Generates `shapes.json` from the `stripe` SDK: every table's nested fields, and which of them hold a person's data.

    python -m sources.stripe_api.generate.shapes            # write it
    python -m sources.stripe_api.generate.shapes --check    # exit 1 and print the differing lines if it is stale

The privacy settings (`sources.privacy`) check their paths against it. Run it after each upgrade of the SDK.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sources.catalogue import Table
from sources.generated import write_or_check
from sources.stripe_api.catalogue import CATALOGUE, TABLES
from sources.stripe_api.catalogue.fields import SHAPES
from sources.stripe_api.generate.sdk import Ref, Sdk, Type

COMMAND = "python -m sources.stripe_api.generate.shapes"

OF_A_PERSON = re.compile(
    r"(\w+_)?e?mail(_address)?|email_sent_to|(\w+_)?phone(_number|_last4)?"
    r"|(\w+_)?(first|last|maiden|given|account_holder|cardholder|sender|verified|payer|customer|matched|provided)"
    r"_name(_kana|_kanji)?|surname|full_name(_aliases)?|passenger_name|individual_name"
    r"|(\w+_)?(line_?[12]|city|postal_code|zip|town|raw_address)|billing_address|shipping_address|buyer_address"
    r"|verified_address|receiver_address|nationality|id_number|cashtag|buyer_id|payer_id|(sender_|refund_)?iban"
    r"|(\w+_)?ip(_address)?|user_agent|tax_id",
    re.ASCII,
)
"""Fields that hold a person's data wherever they are. Country and state are left out: they identify nobody."""

BESIDE_A_NAME = frozenset(("email", "phone", "phone_number", "address"))
"""A `name` is a person's if its object has one of these fields too; otherwise it names a product, a plan, a bank."""

OF_TAX_IDS = frozenset(("tax_ids", "customer_tax_ids"))
OF_A_BIRTHDAY = frozenset(("dob", "date_of_birth", "registered_date_of_birth"))

NOT_OF_PERSONS = frozenset(
    ("company", "company_details", "business_profile", "bank_address", "merchant_data", "ship_from_details")
)
"""Fields that contain only a company's data."""

TABLES_WITHOUT_PERSONS = frozenset(
    (
        "applications",
        "climate_orders",
        "climate_suppliers",
        "country_specs",
        "forwarding_requests",
        "products",
        "tax_locations",
        "tax_settings",
        "terminal_configurations",
        "terminal_locations",
        "terminal_readers",
        "v2_money_management_financial_addresses",
        "webhook_endpoints",
    )
)
"""Tables whose addresses and names belong to the account's own places and devices."""

OF_NOBODY = re.compile(
    r"\w*(_check|_source|_provided|_preferred_name|_zip_check|_ip_address_country)|destination_ip_address"
)
PERSONAL, OTHER, ANY_KEY, OBJECT = 1, 0, "*", "@"


def shape_of_table(sdk: Sdk, table: Table) -> dict[str, Any]:
    """A table's fields as a nested mapping; a leaf is 1 for a person's data, 0 for any other value.

    "*" stands for any key of a map. "@customer" is a whole object, or its id if it is not expanded; several names are
    alternatives. An array's fields are those of its items.
    """
    classes = sdk.object_classes()
    names = {ref: name for name, ref in classes.items()}
    shape: dict[str, Any] = {}
    for object_name in table.objects:
        shape |= _fields(sdk, names, classes[object_name], ())
    for field in (*table.hidden, *(embedded.field for embedded in table.embedded), "deleted"):
        shape.pop(field, None)
    if table.name in OF_TAX_IDS:
        shape["value"] = PERSONAL
    if table.name in TABLES_WITHOUT_PERSONS:
        return {name: _impersonal(below) for name, below in shape.items()}
    return shape


def shapes(sdk: Sdk) -> str:
    """The file's text: a line for each table."""
    lines = [f'"{name}": {json.dumps(shape_of_table(sdk, TABLES[name]))}' for name in sorted(TABLES)]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _fields(sdk: Sdk, names: Mapping[Ref, str], ref: Ref, above: tuple[Ref, ...]) -> dict[str, Any]:
    fields = sdk.fields(ref)
    found: dict[str, Any] = {}
    for name, field in sorted(fields.items()):
        shape = _shape(sdk, names, field.type, (*above, ref))
        if name in NOT_OF_PERSONS:
            shape = _impersonal(shape)
        elif name in OF_A_BIRTHDAY and isinstance(shape, dict):
            shape = dict.fromkeys(shape, PERSONAL)
        elif name in OF_TAX_IDS and isinstance(shape, dict):
            shape |= {"value": PERSONAL}
        elif shape == OTHER and _is_personal(name, fields):
            shape = PERSONAL
        found[name] = shape
    return found


def _is_personal(name: str, beside: Mapping[str, Any]) -> bool:
    if name in ("name", "business_name"):
        return not BESIDE_A_NAME.isdisjoint(beside)
    return name in OF_A_BIRTHDAY or (OF_A_PERSON.fullmatch(name) is not None and OF_NOBODY.fullmatch(name) is None)


def _shape(sdk: Sdk, names: Mapping[Ref, str], type: Type, above: tuple[Ref, ...]) -> Any:
    if type.kind in ("array", "list", "map"):
        item = _shape(sdk, names, type.item, above) if type.item else OTHER
        return item if type.kind == "array" else {"data" if type.kind == "list" else ANY_KEY: item}
    if objects := [names[ref] for ref in type.refs if CATALOGUE.tables_of_object(names.get(ref, ""))]:
        return OBJECT + " ".join(objects)
    fields: dict[str, Any] = {}
    for ref in type.refs if type.kind == "object" or type.kind == "any" else ():
        if ref not in above:
            fields |= _fields(sdk, names, ref, above)
    return fields or OTHER


def _impersonal(shape: Any) -> Any:
    if isinstance(shape, dict):
        return {name: _impersonal(below) for name, below in shape.items()}
    return OTHER if shape == PERSONAL else shape


def main(argv: Sequence[str] | None = None, path: Path = SHAPES) -> int:
    """Writes the shapes to a file, or checks the file with `--check`. Returns the exit code."""
    return write_or_check(argv, COMMAND, "The nested fields of every table.", path, shapes(Sdk()))


if __name__ == "__main__":
    sys.exit(main())
