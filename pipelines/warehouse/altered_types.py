"""Finds columns of our tables whose type was altered, so that the database refuses rows that do not fit."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from pipelines.warehouse.database import Database
from pipelines.warehouse.stored_schema import TYPES
from sources.catalogue import ColumnType

UNBOUNDED = ("text", "json")
"""Types that can hold every text."""

_STORED = {
    "postgres": """
SELECT a.attname::text, format_type(a.atttypid, a.atttypmod) FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE n.nspname = %s AND c.relname = %s""",
    "duckdb": """
SELECT column_name, data_type FROM duckdb_columns() WHERE schema_name = %s AND table_name = %s
AND database_name = current_database()""",
}


def altered_types(
    database: Database, dataset: str, table: str, columns: Mapping[str, ColumnType]
) -> Iterator[tuple[str, str, str]]:
    """The columns with another type than ours: name, type in the database, our type."""
    for name, stored in database.execute(_STORED[database.dialect], (dataset, table)):
        if name not in columns:
            continue
        made = TYPES[database.dialect][columns[name]]
        plain = re.sub(r"\([\d,]+\)", "", stored)
        has_room = stored.lower() in UNBOUNDED and columns[name] in UNBOUNDED
        if not has_room and (plain != made or (columns[name] == "text" and plain != stored)):
            yield name, stored, made
