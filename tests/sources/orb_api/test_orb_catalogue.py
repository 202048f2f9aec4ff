"""Orb's catalogue and snapshot, held against the installed `orb-billing` SDK."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sources.catalogue import Resource
from sources.columns.coerce import canonical, fit
from sources.errors import UnknownResource
from sources.generated import difference
from sources.orb_api.catalogue import CATALOGUE
from sources.orb_api.catalogue.events import ALERTS, SUBJECTS
from sources.orb_api.catalogue.fields import SNAPSHOT, required_of
from sources.orb_api.generate.sdk import Operation, Shape, event_models, members, operations, shapes
from sources.orb_api.generate.snapshot import COMMAND, DOCUMENTED, column_type, main, model_of, snapshot

OLD_SPELLING = "invoice.sync_succeded"
RESOURCES, TABLES = CATALOGUE.resources, CATALOGUE.tables


@pytest.fixture(scope="module")
def gets() -> list[Operation]:
    return operations()


def of_path(gets: list[Operation], path: str) -> Operation:
    return next(each for each in gets if each.path == path)


def test_snapshot_is_what_the_installed_sdk_says() -> None:
    stale = difference(SNAPSHOT.read_text(encoding="utf-8"), snapshot())
    assert not stale, "\n".join(["snapshot.json is stale: run", COMMAND, *stale[:40]])


def test_a_stale_snapshot_is_named_and_written_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "snapshot.json"
    path.write_text(SNAPSHOT.read_text("utf-8").replace('"archived_at": "timestamp"', '"archived_at": "text"', 1))
    assert main(["--check"], path) == 1
    said = capsys.readouterr().err
    assert '+   "archived_at": "timestamp",' in said
    assert said.endswith(f"snapshot.json is stale: run {COMMAND}\n")
    assert main([], path) == 0
    assert path.read_bytes() == SNAPSHOT.read_bytes()


def test_no_run_imports_the_sdk() -> None:
    imported = (
        "import sys, sources.orb_api.catalogue; sys.exit(not {'orb', 'httpx', 'pydantic'}.isdisjoint(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", imported], check=False).returncode == 0


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


def test_every_list_of_the_sdk_is_declared(gets: list[Operation]) -> None:
    declared = {resource.path for resource in RESOURCES.values()}
    assert {each.path for each in gets if each.is_list} - declared == set()
    assert declared - {each.path for each in gets} == {"/v1/webhook_events"}
    assert len(declared) == 31


@pytest.mark.parametrize("resource", RESOURCES.values(), ids=lambda each: each.name)
def test_a_list_is_asked_for_only_what_it_takes(gets: list[Operation], resource: Resource) -> None:
    if resource.table in DOCUMENTED:
        return
    known = of_path(gets, resource.path)
    parents = {parent.param for parent in resource.parents}
    assert set(re.findall(r"{(\w+)}", resource.path)) == {
        parent.param for parent in resource.parents if parent.where == "path"
    }
    asked = {name for params in resource.passes for name, _ in params} | {"limit", "cursor"}
    asked |= {parent.param for parent in resource.parents if parent.where == "query"}
    if resource.created != "none":
        asked |= {f"{resource.created_field}[{bound}]" for bound in ("gte", "gt", "lte", "lt")}
    assert {name.removesuffix("[]") for name in asked} - known.parameters == set()
    if resource.not_loaded is None:
        assert known.required - parents == set()


@pytest.mark.parametrize("resource", RESOURCES.values(), ids=lambda each: each.name)
def test_passes_ask_for_every_status_that_an_object_can_have(resource: Resource) -> None:
    passes = [params for each in RESOURCES.values() if each.path == resource.path for params in each.passes]
    asked = {value for params in passes for name, value in params if name.removesuffix("[]") == "status"} - {"all"}
    if asked:
        assert asked == {
            argument for each in shapes(model_of(resource.table))["status"].annotations for argument in each.__args__
        }


@pytest.mark.parametrize("name", TABLES)
def test_a_tables_key_and_witness_are_in_every_whole_object(name: str) -> None:
    table = TABLES[name]
    own = {"_parent_id"} if table.parent is not None else set()
    assert {*table.key, table.witness} - required_of(name) <= own
    assert table.witness not in table.key
    assert ("_parent_id" in table.key) <= (table.parent is not None)
    for place in (*table.embedded, *table.expanded):
        assert place.field in required_of(name)
        assert place.table in TABLES


@pytest.mark.parametrize("name", [name for name, table in TABLES.items() if table.retrieve])
def test_a_single_object_is_read_where_the_sdk_reads_it(gets: list[Operation], name: str) -> None:
    if name in DOCUMENTED:
        return
    retrieve = re.sub(r"{\w+}", "{}", TABLES[name].retrieve or "")
    assert retrieve in {re.sub(r"{\w+}", "{}", each.path) for each in gets if not each.is_list}


def test_every_list_fills_a_table_and_every_table_is_filled_by_something() -> None:
    listed = {resource.table for resource in RESOURCES.values()}
    embedded = {place.table for table in TABLES.values() for place in (*table.embedded, *table.expanded)}
    told = {kind.table for kind in CATALOGUE.types.values()} | {"alert_events"}
    assert listed - set(TABLES) == set()
    assert set(TABLES) - listed - embedded == {"payment_methods", "transactions", "alert_events"}
    assert set(TABLES) - listed - embedded - told == set()


def test_every_event_type_of_the_sdk_is_mapped_or_ignored_with_a_reason() -> None:
    assert set(CATALOGUE.types) - {OLD_SPELLING} == set(event_models())
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
