"""Orb's top-level fields by table, with their types, and which of them every whole object has.

They are in `snapshot.json`, which `generate/snapshot.py` makes from the installed SDK.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from sources.catalogue import ColumnType
from sources.generated import fields_in, read_generated

SNAPSHOT = Path(__file__).with_name("snapshot.json")


def fields_of(table: str) -> Mapping[str, ColumnType]:
    """The fields of a table, sorted. Raises KeyError for a table that the snapshot lacks."""
    return fields_in(SNAPSHOT, table)


@cache
def required_of(table: str) -> frozenset[str]:
    """The fields that every whole object of a table has, including embedded lists. Raises KeyError as `fields_of`."""
    return frozenset(read_generated(SNAPSHOT)["required"][table])


def references_of(table: str) -> Mapping[str, tuple[str, ...]]:
    """Columns of a table that hold the id of another object, and the tables that this object can be in."""
    return {name: (of,) for name, of in read_generated(SNAPSHOT)["references"].get(table, {}).items()}
