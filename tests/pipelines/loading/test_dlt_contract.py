"""The dlt that the stored schema is made for (`pipelines.warehouse.stored_schema`).

When an upgrade of dlt fails here, see whether `tests/pipelines/warehouse/test_stored_schema.py` fails too, adapt the
project, and move the pin in pyproject.toml.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import requires, version
from typing import Any

import pytest
from dlt.common.schema.utils import loads_table, version_table
from packaging.requirements import Requirement
from packaging.version import Version

from pipelines.warehouse.package_merge import DLT_TABLES, LOADS, VERSIONS


def test_installed_dlt_is_the_minor_that_the_stored_schema_is_made_for() -> None:
    pinned = next(Requirement(line) for line in requires("stripe-elt") or [] if Requirement(line).name == "dlt")
    assert pinned.specifier.contains(version("dlt"))
    minors = {Version(spec.version).release[:2] for spec in pinned.specifier}
    assert len(minors) == 2, "dlt is pinned to one minor: >= its first release, < the next minor"
    assert Version(version("dlt")).release[:2] == (1, 31), "see what the new dlt stores, then move this line"


@pytest.mark.parametrize(("made", "columns"), [(loads_table(), LOADS), (version_table(), VERSIONS)])
def test_dlts_own_tables_have_the_columns_that_we_fill_and_read(made: Any, columns: Sequence[str]) -> None:
    assert set(columns) == made["columns"].keys()
    assert made["name"] in DLT_TABLES
