"""Reading the SDK's source: annotations, classes, services."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from sources.stripe_api.generate.sdk import Ref, Sdk, Type
from sources.stripe_api.generate.sdk_annotations import type_of
from sources.stripe_api.generate.sdk_operations import operations, parameters


@pytest.fixture(scope="module")
def sdk() -> Sdk:
    return Sdk()


def _resolve(name: str) -> Ref | None:
    return Ref("stripe._charge", name) if name[0].isupper() else None


CHARGE = Ref("stripe._charge", "Charge")


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        ("int", Type("integer")),
        ("Optional[str]", Type("string", nullable=True)),
        ("Optional[Decimal]", Type("decimal", nullable=True)),
        ("NotRequired['Charge|int']", Type("any", refs=(CHARGE,))),
        ("NotRequired[bool]", Type("boolean")),
        ("Literal['a', 'b']", Type("string", literals=("a", "b"))),
        ("Optional[Literal[True]]", Type("boolean", nullable=True)),
        ("Union[Literal['a'], str]", Type("string", literals=("a",))),
        ("Charge", Type("object", refs=(CHARGE,))),
        ("ExpandableField['Charge']", Type("expandable", refs=(CHARGE,))),
        ("List[str]", Type("array", item=Type("string"))),
        ("ListObject['Charge']", Type("list", refs=(CHARGE,), item=Type("object", refs=(CHARGE,)))),
        ("Dict[str, int]", Type("map", item=Type("integer"))),
        ("UntypedStripeObject[str]", Type("map", item=Type("string"))),
        ("unknown", Type("any")),
    ],
)
def test_annotation_means_a_type(annotation: str, expected: Type) -> None:
    assert type_of(ast.parse(annotation, mode="eval").body, _resolve) == expected


def test_fields_have_types_documentation_and_nested_shapes(sdk: Sdk) -> None:
    invoice = sdk.fields(sdk.object_classes()["invoice"])
    assert invoice["lines"].type.refs == (Ref("stripe._invoice_line_item", "InvoiceLineItem"),)
    assert invoice["due_date"].doc.startswith("The date on which payment for this invoice is due.")
    assert invoice["automatic_tax"].type.refs == (Ref("stripe._invoice", "Invoice.AutomaticTax"),)
    nested = sdk.fields(invoice["automatic_tax"].type.refs[0])
    assert nested["enabled"].type == Type("boolean")
    assert nested["status"].type.literals == ("complete", "failed", "requires_location_inputs")


def test_every_object_class_can_be_read(sdk: Sdk) -> None:
    unknown = {
        (name, field.name)
        for name, ref in sdk.object_classes().items()
        for field in sdk.fields(ref).values()
        if field.type.kind == "any"
    }
    assert unknown == set()


def test_alias_of_an_import_is_followed(sdk: Sdk) -> None:
    sources = sdk.fields(sdk.object_classes()["balance_transaction"])["source"].type.refs
    assert Ref("stripe._dispute", "Dispute") in sources


def test_operations_have_paths_methods_and_parameters(sdk: Sdk) -> None:
    by_name = {operation.name: operation for operation in operations(sdk)}
    sources = by_name["v1.customers.payment_sources.list"]
    assert (sources.http, sources.path, sources.page) == ("get", "/v1/customers/{customer}/sources", "list")
    assert parameters(sdk, sources)["limit"].type == Type("integer")
    assert not parameters(sdk, sources)["limit"].required
    assert by_name["v1.charges.search"].page == "search"
    assert by_name["v1.charges.create"].http == "post"
    assert parameters(sdk, by_name["v1.setup_attempts.list"])["setup_intent"].required
    assert not any(name.endswith("_async") for name in by_name)


def test_another_folder_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "_version.py").write_text('VERSION = "1.2.3"\n')
    (tmp_path / "_thing.py").write_text(
        "class Base:\n    id: str\n    'The id.'\n"
        "class Thing(Base):\n    class Part:\n        size: int\n    part: Part\n"
    )
    sdk = Sdk(tmp_path)
    fields = sdk.fields(Ref("stripe._thing", "Thing"))
    assert sdk.version == "1.2.3"
    assert fields["id"].doc == "The id."
    assert fields["part"].type.refs == (Ref("stripe._thing", "Thing.Part"),)
    with pytest.raises(KeyError):
        sdk.fields(Ref("stripe._thing", "Other"))
