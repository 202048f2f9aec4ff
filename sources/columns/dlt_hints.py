"""Columns of a table as dlt's hints: names, types, and which of them are the key. Knows no database."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast, get_args

from sources.catalogue import ColumnType, Table
from sources.columns.columns import OWN_COLUMNS, Columns, own_columns

if TYPE_CHECKING:
    from dlt.common.schema.typing import TColumnSchema

DECIMAL = {"precision": 38, "scale": 12}
_TYPES = frozenset(get_args(ColumnType))


def key_columns(table: Table) -> tuple[str, ...]:
    """The columns that identify a row among those of all accounts: the primary key."""
    return (*table.key, "_account_id")


def dlt_columns(
    table: str, columns: Columns, more: Mapping[str, ColumnType] = MappingProxyType({})
) -> dict[str, TColumnSchema]:
    """Every known column of a table, the key first, then the columns of `more` that are not known (variants)."""
    key, own = key_columns(columns.catalogue.tables[table]), own_columns(columns.catalogue.tables[table])
    types: dict[str, ColumnType] = {**columns.of(table), **own}
    types |= {name: kind for name, kind in more.items() if name not in types}
    ordered = (*key, *(column for column in types if column not in key))
    return {column: _column(column, types[column], column in key) for column in ordered}


def stored_types(tables: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, ColumnType]]:
    """table -> column -> type of the tables in a dlt schema, without our own columns and without dlt's tables."""
    return {
        name: {
            column: hint["data_type"]
            for column, hint in table["columns"].items()
            if column not in OWN_COLUMNS and hint.get("data_type") in _TYPES
        }
        for name, table in tables.items()
        if not name.startswith("_dlt")
    }


def _column(name: str, data_type: ColumnType, in_key: bool) -> TColumnSchema:
    column: dict[str, Any] = {"name": name, "data_type": data_type, "nullable": not in_key}
    if data_type == "decimal":
        column |= DECIMAL
    if in_key:
        column["primary_key"] = True
    return cast("TColumnSchema", column)
