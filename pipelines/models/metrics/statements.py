"""Runs the SQL files of the metrics: replaces their placeholders for schemas, and creates temporary tables.

In the files, `stripe.` stands for the loaded tables, `source.` for those of their rows that are built again, `build.`
for temporary tables of the build, and `stripe_metrics.` for the schema of the metrics. Knows no table by name.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from importlib import resources
from typing import Any

from pipelines.models.views import quoted
from pipelines.warehouse.database import Database


class Statements:
    """Statements of one build of a dataset's metrics."""

    def __init__(self, database: Database, dataset: str) -> None:
        self._database = database
        self.dataset, self.schema = dataset, f"{dataset}_metrics"
        self.dialect, self.is_postgres = database.dialect, database.dialect == "postgres"
        self._temporary = "pg_temp" if self.is_postgres else "temp"
        self._made: list[tuple[str, str]] = []

    def run(self, file: str) -> None:
        """Runs one of the files."""
        for statement in statements(file):
            made = re.match(r"create (table|view) build\.(\w+)", statement)
            self._create(self._named(statement), *(made.groups() if made else ()))

    def make_table(self, name: str, query: str, counted: str = "") -> None:
        """Creates a temporary table, `build.<name>`. `counted` are the columns that get statistics; all by default."""
        self._create(self._named(f"create table build.{name} as {query}"), "table", name, counted)

    def make_view(self, name: str, query: str) -> None:
        """Creates a temporary view: later statements read `stripe_prices` as `stripe.prices`."""
        self._create(f"create temporary view {name} as {self._named(query)}", "view", name)

    def query(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        """The rows of a statement, if it has any."""
        return self._database.execute(self._named(sql), parameters)

    def columns(self) -> dict[str, list[str]]:
        """The columns of each table and view of the schema, in their order."""
        sql = (
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = %s"
            " ORDER BY table_name, ordinal_position"
        )
        found: dict[str, list[str]] = {}
        for table, column in self._database.execute(sql, (self.schema,)):
            found.setdefault(table, []).append(column)
        return found

    def analyze(self, table: str, columns: str = "") -> None:
        """Creates a table's statistics in Postgres, which its plans need. DuckDB does that by itself."""
        if self.is_postgres:
            self.query(f"analyze {table}" + (f" ({columns})" if columns else ""))

    def drop_temporary(self) -> None:
        """Drops the temporary tables and views."""
        for kind, name in reversed(self._made):
            self._database.execute(f"drop {kind} {self._temporary}.{name}")
        self._made.clear()

    def _create(self, sql: str, kind: str = "", name: str = "", counted: str = "") -> None:
        self._database.execute(sql)
        if name:
            self._made.append((kind, name))
        if kind == "table":
            self.analyze(f"build.{name}", counted)

    def _named(self, sql: str) -> str:
        """SQL with this dataset's names."""
        sql = sql.replace("create table build.", "create temporary table ")
        sql = re.sub(r"\bstripe_metrics\.", f"{quoted(self.schema)}.", sql)
        sql = re.sub(r"\b(source|stripe)\.(\w+)", rf"{self._temporary}.\1_\2", sql)
        return re.sub(r"\bbuild\.", f"{self._temporary}.", sql)


def statements(file: str) -> Iterator[str]:
    """The statements of one of the SQL files, without the comments before them."""
    text = (resources.files("pipelines.models.metrics") / file).read_text("utf-8")
    for part in re.split(r";\n", text):
        lines = part.strip().splitlines()
        while lines and (not lines[0] or lines[0].startswith("--")):
            lines.pop(0)
        if lines:
            yield "\n".join(lines)


def digest(*files: str) -> str:
    """A checksum of the files."""
    return hashlib.sha256("\0".join(text for file in files for text in statements(file)).encode()).hexdigest()[:16]
