"""What is Orb's own in its catalogue and snapshot; `test_sdk_contract.py` has what holds for every provider."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest

from sources.catalogue import Resource
from sources.columns.coerce import canonical, fit
from sources.errors import UnknownResource
from sources.orb_api.catalogue import CATALOGUE
from sources.orb_api.catalogue.events import ALERTS, SUBJECTS
from sources.orb_api.generate.sdk import Shape, event_models, members, shapes
from sources.orb_api.generate.snapshot import DOCUMENTED, column_type, model_of

RESOURCES, TABLES = CATALOGUE.resources, CATALOGUE.tables


@pytest.mark.parametrize(
    ("name", "annotation", "expected"),
    [
        ("name", str, "text"),
        ("amount_due", str, "decimal"),
        ("minimum_amount", str | None, "decimal"),
        ("credits_applied", str, "decimal"),
        ("amount_type", str, "text"),
        ("quantity", float, "double"),
        ("enabled", bool, "bool"),
        ("times_redeemed", int, "bigint"),
        ("metadata", dict[str, str], "json"),
        ("discount", object, "json"),
    ],
)
def test_a_field_has_the_type_that_its_annotation_and_name_say(name: str, annotation: object, expected: str) -> None:
    assert column_type(name, Shape(members(annotation))) == expected


@pytest.mark.parametrize("resource", RESOURCES.values(), ids=lambda each: each.name)
def test_passes_ask_for_every_status_that_an_object_can_have(resource: Resource) -> None:
    passes = [params for each in RESOURCES.values() if each.path == resource.path for params in each.passes]
    asked = {value for params in passes for name, value in params if name.removesuffix("[]") == "status"} - {"all"}
    if asked:
        assert asked == {
            argument for each in shapes(model_of(resource.table))["status"].annotations for argument in each.__args__
        }


def test_event_types_that_are_ignored_have_no_table_and_one_deletes() -> None:
    assert len(CATALOGUE.types) == 82
    assert set(CATALOGUE.types) >= ALERTS
    for name, kind in CATALOGUE.types.items():
        assert (kind.table in TABLES) != (kind.ignored is not None), name
    assert [name for name, kind in CATALOGUE.types.items() if kind.deletes] == ["payment_method.deleted"]


def test_an_event_has_its_object_where_its_first_word_says() -> None:
    for name, model in event_models().items():
        if CATALOGUE.types[name].ignored is None:
            field, table = SUBJECTS[name.partition(".")[0]]
            found = shapes(model)[field]
            shown = {shape for each in found.annotations for shape in shapes(each)}
            assert shown & set(CATALOGUE.fields(table)) >= {"id"}, name
            assert CATALOGUE.types[name].table == table


@pytest.mark.parametrize(
    "text", ["2025-03-01T12:00:00+00:00", "2025-03-01T14:00:00+02:00", "2025-03-01T12:00:00.000000Z"]
)
def test_a_moment_with_an_offset_is_stored_in_utc(text: str) -> None:
    assert fit("timestamp", text, iso=True) == (datetime(2025, 3, 1, 12, tzinfo=UTC), None, False)
    assert fit("timestamp", text) == (text, "text", False)
    assert canonical("timestamp", text, iso=True) == "2025-03-01T12:00:00.000Z"


def test_lists_below_parents_are_read_only_if_they_are_named() -> None:
    assert {resource.kind for resource in CATALOGUE.select()} == {"root"}
    assert "event_volumes" not in {resource.name for resource in CATALOGUE.select()}
    assert {resource.kind for resource in CATALOGUE.select(["all"])} == {"root", "child"}
    assert [resource.name for resource in CATALOGUE.select(["credit_blocks", "ledger_entry"])] == [
        "credit_blocks",
        "credit_ledger_entries",
    ]
    with pytest.raises(UnknownResource, match="'invoice_summaries' is never loaded: It shows the same objects"):
        CATALOGUE.select(["invoice_summaries"])
    with pytest.raises(UnknownResource, match="did you mean 'invoices'"):
        CATALOGUE.select(["invoces"])
    assert [resource.name for resource in CATALOGUE.select(["invoice", "webhook_events"])] == [
        "invoices",
        "webhook_events",
    ]


PERSONAL_FIELD = re.compile(
    r"(\w+_)?e?mails?|(\w+_)?phone|line[12]|city|postal_code|(billing|shipping)_address|\w*tax_id"
)


def personal_paths(model: object, depth: int = 3) -> set[tuple[str, ...]]:
    """Paths below which the SDK's models have fields whose names are those of people's data."""
    found: set[tuple[str, ...]] = set()
    for name, shape in shapes(model).items():
        if PERSONAL_FIELD.fullmatch(name):
            found.add((name,))
        elif depth:
            for below in (annotation for annotation in shape.annotations if hasattr(annotation, "model_fields")):
                found |= {(name, *path) for path in personal_paths(below, depth - 1)}
    return found


@pytest.mark.parametrize("name", sorted(TABLES.keys() - {*DOCUMENTED, "alert_events"}))
def test_the_fields_of_people_are_declared(name: str) -> None:
    def is_declared(path: tuple[str, ...], shape: object) -> bool:
        return (
            shape == 1
            or not path
            or (isinstance(shape, dict) and path[0] in shape and is_declared(path[1:], shape[path[0]]))
        )

    shape = dict(CATALOGUE.shape_of(name))
    assert shape.keys() <= CATALOGUE.fields(name).keys()
    assert [path for path in personal_paths(model_of(name)) if not is_declared(path, shape)] == []
