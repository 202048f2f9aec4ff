"""The reference page of the metrics: the tables and views of their schema, with their columns."""

from __future__ import annotations

import tempfile
from pathlib import Path

from generators.markdown_page import code, page, table
from pipelines.models.metrics.build import Build
from pipelines.models.metrics.descriptions import CONVERTED, descriptions, of_column
from pipelines.warehouse.duckdb_database import open_duckdb

SHOWN = {"VARCHAR": "text", "TIMESTAMP WITH TIME ZONE": "timestamptz"}


def metrics_page() -> str:
    """Every table and view whose name does not begin with an underscore, with its columns and their types."""
    sections = []
    for name, columns in made().items():
        rows = [(code(column), SHOWN.get(kind, kind.lower()), of_column(name, column))
                for column, kind in columns.items()
                if not column.endswith(CONVERTED)]  # fmt: skip
        twins = [column.removesuffix(CONVERTED) for column in columns if column.endswith(CONVERTED)]
        sections += [f"## {name}", descriptions()[name]["about"], table(("Column", "Type", ""), rows)]
        if twins:
            sections.append(f"Converted: {', '.join(code(f'{twin}{CONVERTED}') for twin in twins)}.")
    return page(
        "Metrics",
        "The tables and views of the schema `stripe_metrics`. [The metrics](../metrics.md) defines every number. All"
        " money is in the currency's smallest unit. A column that ends in `_converted` is the column of the name before"
        " it in the reporting currency, by the rates of `exchange_rates`.",
        *sections,
    )


def made() -> dict[str, dict[str, str]]:
    """The tables and views of a schema that was just made, with their columns and types."""
    with tempfile.TemporaryDirectory() as folder:
        database = open_duckdb(str(Path(folder) / "metrics.duckdb"), "stripe", "1GB")
        try:
            database.execute("create schema stripe")
            Build(database, "stripe").run()
            rows = database.execute(
                "select table_name, column_name, data_type from information_schema.columns"
                " where table_schema = 'stripe_metrics' and left(table_name, 1) <> '_' order by 1, ordinal_position"
            )
        finally:
            database.close()
    found: dict[str, dict[str, str]] = {}
    for name, column, kind in rows:
        found.setdefault(name, {})[column] = kind
    return found
