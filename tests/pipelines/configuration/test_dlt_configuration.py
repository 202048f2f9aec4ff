"""What dlt finds in an environment full of its own settings changes no row: neither of a load nor of the sink's schema.

The names come from dlt itself: each field of each of its specifications, in each spelling that dlt looks up.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from typing import Any

import dlt
import dlt.extract.extractors  # the specifications that a load imports late
import dlt.load
import dlt.normalize
import pytest
from dlt.common import known_env
from dlt.common.configuration.specs import BaseConfiguration

from sources.columns.contract import contract_of
from sources.stripe_api.provider import STRIPE
from tests.databases import Database
from tests.pipelines.mirror import Mirror
from webhook_sink.commit.schema import SchemaState

NAMES = ("customers", "invoices", "coupons")

VALUES = {
    "dataset_name_layout": "elsewhere_%s",
    "staging_dataset_name_layout": "elsewhere_%s",
    "naming": "sql_cs_v1",
    "naming_convention": "direct",
    "refresh": "drop_sources",
    "loader_file_format": "jsonl",
    "pool_type": "process",
    "delimiter": "|",
    "destination_type": "dummy",
    "staging_type": "filesystem",
    "json_normalizer": '{"module": "elsewhere"}',
    "replace_strategy": "truncate-and-insert",
}
"""Values that dlt takes, for fields whose type says nothing of them."""

SECTIONS = (
    "",
    "STRIPE__",
    "PIPELINES__",
    "PIPELINES__STRIPE__",
    "SOURCES__",
    "SOURCES__STRIPE__",
    "STRIPE__SOURCES__STRIPE__",
    "EXTRACT__",
    "NORMALIZE__",
    "LOAD__",
    "DATA_WRITER__",
    "NORMALIZE__DATA_WRITER__",
    "DESTINATION__",
    "DESTINATION__POSTGRES__",
    "DESTINATION__DUCKDB__",
    "DESTINATION__POSTGRES__CREDENTIALS__",
    "DESTINATION__DUCKDB__CREDENTIALS__",
)

OURS = {"SOURCES__STRIPE__SCHEMA_CONTRACT"}
"""What the project's users are meant to set."""

DIRECTLY_READ = {
    "DLT_PROJECT_DIR": "where the settings are, as documented",
    "DLT_CONFIG_FOLDER": "where the settings are, as documented",
    "DLT_DATA_DIR": "the working folder is given by us",
    "DLT_LOCAL_DIR": "no destination of ours keeps local files",
    "DLT_DEFAULT_NAMING_NAMESPACE": "a naming that cannot be imported from it is refused by dlt",
    "DLT_DEFAULT_NAMING_MODULE": "the naming is pinned",
    "DLT_DLT_ID_LENGTH_BYTES": "our rows have no _dlt_id",
    "DLT_USE_JSON": "rows are made without dlt's JSON",
    "DLT_JSON_TYPED_PUA_START": "rows are made without dlt's JSON",
    "DLT_PIP_TOOL": "nothing is installed",
    "DLT_DISABLE_PLUGINS": "what a plugin changes of the target is refused",
    "DLT_INTERVAL_START": "for dlt's incremental cursors, which are not used",
    "DLT_INTERVAL_END": "for dlt's incremental cursors, which are not used",
    "DLT_INTERVAL_TIMEZONE": "moments are given their zone",
    "DLT_ALLOW_EXTERNAL_SCHEDULERS": "for dlt's incremental cursors, which are not used",
}
"""The variables that dlt reads without its configuration, and why none of them moves or changes a row."""


def specifications(kind: type[BaseConfiguration] = BaseConfiguration) -> Iterator[type[BaseConfiguration]]:
    for each in kind.__subclasses__():
        yield each
        yield from specifications(each)


def hostile(name: str, hint: Any, default: Any) -> str:
    if name in VALUES:
        return VALUES[name]
    if isinstance(default, bool) or "bool" in str(hint):
        return str(not default).lower()
    return "1" if isinstance(default, int | float) or "int" in str(hint) else "elsewhere"


def every_setting_of_dlt() -> dict[str, str]:
    """Each name that dlt may look up -> a value that is not its default."""
    found: dict[str, str] = {}
    for spec in set(specifications()):
        within = f"{spec.__section__.upper()}__" if spec.__section__ else ""
        for name, hint in spec.get_resolvable_fields().items():
            value = hostile(name, hint, getattr(spec, name, None))
            found |= {f"{section}{within}{name.upper()}": value for section in SECTIONS}
            found[f"{within}{name.upper()}"] = value
    return {name: value for name, value in found.items() if name not in os.environ and name not in OURS}


@pytest.fixture
def everything_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment with all of them. dlt's log is set up before: what it takes of `runtime` moves no row."""
    assert dlt.config.get("dataset_name") is None
    for name, value in every_setting_of_dlt().items():
        monkeypatch.setenv(name, value)


def schemas(destination: Database) -> set[str]:
    query = "select distinct table_schema from information_schema.tables where table_schema not in (?, ?)"
    return {name for (name,) in destination.query(query, ["information_schema", "pg_catalog"])}


def test_the_names_that_are_tried_are_those_of_dlt() -> None:
    names = every_setting_of_dlt()
    assert {"FULL_REFRESH", "DATASET_NAME", "STRIPE__DEV_MODE", "PIPELINES__STRIPE__DATASET_NAME"} <= names.keys()
    assert {"LOAD__WORKERS", "SCHEMA__NAMING", "DESTINATION__POSTGRES__CREATE_INDEXES"} <= names.keys()
    assert names["DEV_MODE"] == "true"


@pytest.mark.long
@pytest.mark.usefixtures("everything_set")
def test_every_setting_of_dlt_at_once_changes_no_row(mirror: Mirror) -> None:
    mirror.load(*NAMES)
    customer = mirror.rows("customers")[0]["id"]
    mirror.sim.account.update("customers", customer, {"name": "Changed", "brand_new": "text"})
    mirror.pass_time(120)
    assert mirror.sync(*NAMES).failed == []
    assert mirror.differences(NAMES) == []
    assert schemas(mirror.destination) <= {"stripe", "stripe_current"}


@pytest.mark.long
@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FULL_REFRESH", "true"),
        ("DEV_MODE", "true"),
        ("DATASET_NAME_LAYOUT", "elsewhere_%s"),
        ("STRIPE__DEV_MODE", "true"),
        ("SCHEMA__NAMING", "sql_cs_v1"),
        ("IMPORT_SCHEMA_PATH", "/no/such/folder"),
    ],
)
def test_one_setting_of_dlt_moves_no_row(mirrored: Any, monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    mirror = mirrored(customers=2)
    monkeypatch.setenv(name, value)
    mirror.load("customers")
    assert mirror.differences(["customers"]) == []
    assert schemas(mirror.destination) <= {"stripe", "stripe_current"}


@pytest.mark.usefixtures("everything_set")
def test_every_setting_of_dlt_at_once_leaves_the_sinks_tables_where_they_are(postgres_url: str) -> None:
    state = SchemaState(postgres_url, "stripe", STRIPE, contract_of(None))
    asyncio.run(state.create())
    asyncio.run(state.add({"customers": {"name"}}))
    database = Database("postgres", postgres_url)
    assert {"customers", "_dlt_version", "_dlt_loads"} <= database.tables("stripe")
    assert schemas(database) == {"stripe", "stripe_current"}
    assert database.query("select distinct naming from (select schema::json->'normalizers'->>'names' naming from"
                          " stripe._dlt_version) v") == [("snake_case",)]  # fmt: skip


def test_what_dlt_reads_beside_its_configuration_is_known() -> None:
    names = {value for name, value in vars(known_env).items() if name.startswith("DLT_")}
    assert names == DIRECTLY_READ.keys()
