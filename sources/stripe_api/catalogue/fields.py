"""Stripe's top-level fields by table, with their types, and the version of the API that has them.

They are in `snapshot.json`, which `generate/snapshot.py` makes from the installed SDK, as `generate/descriptions.py`
makes `descriptions.json` and `generate/shapes.py` makes `shapes.json`. Ids of objects that Stripe can expand are
`text`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sources.catalogue import ColumnType
from sources.generated import fields_in, read_generated

SNAPSHOT = Path(__file__).with_name("snapshot.json")
DESCRIPTIONS = Path(__file__).with_name("descriptions.json")
SHAPES = Path(__file__).with_name("shapes.json")


def fields_of(table: str) -> Mapping[str, ColumnType]:
    """The fields of a table, sorted. Raises KeyError for a table that the snapshot lacks."""
    return fields_in(SNAPSHOT, table)


def references_of(table: str) -> Mapping[str, tuple[str, ...]]:
    """Columns of a table that hold the id of another object, and the tables that this object can be in."""
    found: Mapping[str, str] = read_generated(SNAPSHOT)["references"].get(table, {})
    return {name: tuple(tables.split()) for name, tables in found.items()}


def api_version() -> str:
    """The version of Stripe's API that the snapshot describes ("2026-10-28.endive")."""
    return str(read_generated(SNAPSHOT)["api_version"])


def shape_of(table: str) -> Mapping[str, Any]:
    """The nested fields of a table, as `generate/shapes.py` describes them. Raises KeyError for an unknown table."""
    shape: Mapping[str, Any] = read_generated(SHAPES)[table]
    return shape
