"""The columns that the database has, from dlt's stored schema: what earlier runs decided about unknown fields."""

from __future__ import annotations

import json
from collections.abc import Mapping

from pipelines.warehouse.database import Database, has_table
from sources.catalogue import ColumnType
from sources.columns.dlt_hints import stored_types


def stored_columns(database: Database, dataset: str, schema: str) -> Mapping[str, Mapping[str, ColumnType]]:
    """table -> column -> type, without our own columns; empty where nothing was ever loaded.

    `schema` is the name of the stored schema, the provider's.
    """
    if not has_table(database, dataset, "_dlt_version"):
        return {}
    rows = database.execute(
        f'SELECT schema FROM "{dataset}"._dlt_version WHERE schema_name = %s ORDER BY inserted_at DESC LIMIT 1',
        (schema,),
    )
    return stored_types(json.loads(rows[0][0])["tables"]) if rows else {}
