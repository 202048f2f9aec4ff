"""Orb's top-level fields by table, with their types, and which of them every whole object has.

They are in `snapshot.json`, which `generate/snapshot.py` makes from the installed SDK.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sources.catalogue import ColumnType

SNAPSHOT = Path(__file__).with_name("snapshot.json")


def fields_of(table: str) -> Mapping[str, ColumnType]:
    """The fields of a table, sorted. Raises KeyError for a table that the snapshot lacks."""
    return _tables()[table]


@cache
def required_of(table: str) -> frozenset[str]:
    """The fields that every whole object of a table has, including embedded lists. Raises KeyError as `fields_of`."""
    return frozenset(_snapshot()["required"][table])


def references_of(table: str) -> Mapping[str, tuple[str, ...]]:
    """Columns of a table that hold the id of another object, and the tables that this object can be in."""
    return {name: (of,) for name, of in _snapshot()["references"].get(table, {}).items()}


@cache
def _tables() -> Mapping[str, Mapping[str, ColumnType]]:
    return {name: MappingProxyType(found) for name, found in _snapshot()["tables"].items()}


@cache
def _snapshot() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(SNAPSHOT.read_text(encoding="utf-8"))
    return content
