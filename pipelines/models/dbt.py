"""Creates the views for the dbt package fivetran/dbt_stripe from `dbt_views.sql`, one text for Postgres and DuckDB."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from pipelines.models.views import quoted
from pipelines.warehouse.database import Database

FILE = Path(__file__).with_name("dbt_views.sql")
_TABLE = re.compile(r"\{dataset\}\.(\w+)")
_VIEW = re.compile(r"\{schema\}\.(\w+)")
_ITEMS = re.compile(r"\{items\(([\w.]+)\)\}")
_ENTRIES = {
    "postgres": "jsonb_array_elements(case when jsonb_typeof({0}) = 'array' then {0} else '[]'::jsonb end)"
    " with ordinality as e(r, n)",
    "duckdb": "(select unnest(cast({0} as json[])) as r, generate_subscripts(cast({0} as json[]), 1) as n) as e",
}


def tables_read() -> list[str]:
    """The tables that the views read, each once."""
    return list(dict.fromkeys(_TABLE.findall(FILE.read_text("utf-8"))))


def view_statements(dialect: str, dataset: str, schema: str) -> dict[str, str]:
    """The statement of each view, by its name."""
    text = re.sub(r"^--.*\n", "", FILE.read_text("utf-8"), flags=re.MULTILINE)
    found = {}
    for statement in filter(str.strip, text.split(";\n")):
        (name,) = _VIEW.findall(statement)
        sql = _ITEMS.sub(lambda match: _ENTRIES[dialect].format(match[1]), statement.strip())
        found[name] = sql.replace("{dataset}", quoted(dataset)).replace("{schema}", quoted(schema))
    return found


def make_views(database: Database, dataset: str, schema: str) -> Sequence[str]:
    """Creates or replaces all views, or none, in a schema that may exist already. Returns their names.

    The tables must exist. Raises the driver's errors.
    """
    found = view_statements(database.dialect, dataset, schema)
    with database.transaction():
        database.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(schema)}")
        for sql in found.values():
            database.execute(sql)
    return list(found)
