"""Each provider's catalogue, events and snapshot against its installed SDK: what either of them lacks fails here."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from sources.catalogue import Resource, Table
from sources.generated import difference, write_or_check
from tests.sources.installed_sdks import SDKS, InstalledSdk, blank

EACH = pytest.mark.parametrize("sdk", SDKS, ids=lambda sdk: sdk.name)


def of_each(named: Callable[[InstalledSdk], Sequence[Any]], argument: str) -> pytest.MarkDecorator:
    """A test for each resource or table of every provider."""
    cases = [pytest.param(sdk, case, id=f"{sdk.name}-{case.name}") for sdk in SDKS for case in named(sdk)]
    return pytest.mark.parametrize(("sdk", argument), cases)


def lists_of(sdk: InstalledSdk) -> list[Resource]:
    return [each for each in sdk.catalogue.resources.values() if each.kind != "singleton"]


EACH_LIST = of_each(lists_of, "resource")
EACH_TABLE = of_each(lambda sdk: list(sdk.catalogue.tables.values()), "table")


# --- the snapshot -----------------------------------------------------------------------------------------------------


@EACH
def test_snapshot_is_what_the_installed_sdk_says(sdk: InstalledSdk) -> None:
    stale = difference(sdk.snapshot.read_text(encoding="utf-8"), sdk.current())
    assert not stale, "\n".join(["snapshot.json is stale: run", sdk.command, *stale[:40]])


@EACH
def test_stale_snapshot_is_named_and_written_anew(
    sdk: InstalledSdk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, committed = tmp_path / "snapshot.json", sdk.snapshot.read_text(encoding="utf-8")
    line = next(line for line in committed.splitlines() if line.endswith('"timestamp",'))
    path.write_text(stale := committed.replace(line, line.replace("timestamp", "text"), 1), encoding="utf-8")
    assert sdk.generate(["--check"], path) == 1
    assert path.read_text(encoding="utf-8") == stale
    said = capsys.readouterr().err
    assert f"+{line}" in said.splitlines()
    assert said.endswith(f"snapshot.json is stale: run {sdk.command}\n")
    assert sdk.generate([], path) == 0
    assert path.read_text(encoding="utf-8") == committed
    assert sdk.generate(["--check"], path) == 0
    assert capsys.readouterr().err == ""


def test_check_of_a_file_that_is_missing_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "snapshot.json"
    assert write_or_check(["--check"], "python -m generate", "", path, '{"tables": {}}\n') == 1
    assert not path.exists()
    assert capsys.readouterr().err.endswith("snapshot.json is stale: run python -m generate\n")


@EACH
def test_no_run_imports_the_sdk(sdk: InstalledSdk) -> None:
    provider = f"sources.{sdk.name}_api.provider"
    imported = f"import sys, {provider}; print(*({set(sdk.modules)!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", imported], check=True, capture_output=True, text=True)
    assert done.stdout == "\n"


# --- lists ------------------------------------------------------------------------------------------------------------


@EACH
def test_every_list_of_the_sdk_is_declared_and_no_other(sdk: InstalledSdk) -> None:
    declared = {each.path for each in lists_of(sdk)}
    assert declared - set(sdk.documented) == set(sdk.lists())
    assert len(declared) == sdk.count


@EACH_LIST
def test_list_is_asked_for_all_that_it_requires_and_nothing_that_it_does_not_take(
    sdk: InstalledSdk, resource: Resource
) -> None:
    assert set(re.findall(r"{(\w+)}", resource.path)) == {
        parent.param for parent in resource.parents if parent.where == "path"
    }
    if resource.path in sdk.documented:
        return
    known = sdk.lists()[resource.path]
    sent = {re.sub(r"\[\d*\]$", "", name) for params in resource.passes for name, _ in params}
    sent |= {parent.param for parent in resource.parents if parent.where == "query"}
    sent |= {name for parent in resource.parents for name, _ in parent.also}
    sent |= {*(resource.range_params or ()), *sdk.filter(resource)}
    assert sent <= known.keys(), "a parameter that the SDK does not have"
    assert ("limit" in known) == (resource.limit is not None)
    if resource.not_loaded is None:
        required = {name for name, is_required in known.items() if is_required}
        assert required <= sent | {name.partition("[")[0] for name in sent}, "a required parameter that is not sent"


@EACH_LIST
def test_values_sent_are_values_that_the_sdk_knows(sdk: InstalledSdk, resource: Resource) -> None:
    if resource.path in sdk.documented:
        return
    for name, value in (pair for params in resource.passes for pair in params):
        known = sdk.values(resource, name.removesuffix("[]"))
        assert known is None or value in known, name


@EACH
def test_every_list_fills_a_table_and_every_table_is_filled_by_something(sdk: InstalledSdk) -> None:
    tables = sdk.catalogue.tables
    listed = {each.table for each in sdk.catalogue.resources.values()}
    inside = {place.table for table in tables.values() for place in (*table.embedded, *table.expanded)}
    assert listed | inside <= set(tables)
    assert set(tables) - listed - inside == set(sdk.unlisted)
    told = {kind.table for kind in sdk.catalogue.types.values()}
    for name in sdk.unlisted:
        assert name in {*told, *sdk.ours} or tables[name].retrieve, name


# --- tables -----------------------------------------------------------------------------------------------------------


@EACH_TABLE
def test_tables_key_and_witness_are_in_every_whole_object(sdk: InstalledSdk, table: Table) -> None:
    whole = set(sdk.whole(table.name))
    own = {"_parent_id"} if table.parent is not None else set()
    assert {*table.key, table.witness} - whole <= own
    assert table.witness not in table.key
    for place in (*table.embedded, *table.expanded):
        assert place.field.partition(".")[0] in whole
        assert place.table in sdk.catalogue.tables


@EACH_TABLE
def test_single_object_is_read_where_the_sdk_reads_it(sdk: InstalledSdk, table: Table) -> None:
    if table.retrieve is not None and table.name not in sdk.documented:
        assert blank(table.retrieve) in {blank(path) for path in sdk.singles()}


# --- events -----------------------------------------------------------------------------------------------------------


@EACH
def test_every_event_type_of_the_sdk_has_a_table_or_a_reason_and_there_is_no_other(sdk: InstalledSdk) -> None:
    types = sdk.catalogue.types
    assert set(types) - set(sdk.spelled) == set(sdk.event_types())
    assert set(sdk.spelled) <= set(types)
    for name, kind in types.items():
        if kind.ignored is None:
            assert kind.table in sdk.catalogue.tables, name
        else:
            assert len(kind.ignored.split()) > 3, name
            assert kind.table in {"", *sdk.catalogue.tables}, name
    assert any(kind.ignored for kind in types.values())


@EACH
def test_snapshot_has_the_fields_of_every_table(sdk: InstalledSdk) -> None:
    assert json.loads(sdk.snapshot.read_text(encoding="utf-8"))["tables"].keys() == sdk.catalogue.tables.keys()
