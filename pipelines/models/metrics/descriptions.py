"""A sentence on each table and view of the metrics, and on each of their columns. Opens no database."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib import resources

CONVERTED = "_converted"


@cache
def descriptions() -> Mapping[str, Mapping[str, str]]:
    """Table or view -> `about` and the sentences on its columns; `columns` has those that hold for all tables."""
    text = (resources.files("pipelines.models.metrics") / "descriptions.toml").read_text("utf-8")
    return tomllib.loads(text)


def of_column(table: str, column: str) -> str:
    """The sentence on a column. Raises KeyError for a column without a description."""
    said = descriptions()
    if column.endswith(CONVERTED):
        return f"{column.removesuffix(CONVERTED)} in the reporting currency, by the rates of exchange_rates."
    own = said[table].get(column)
    return said["columns"][column] if own is None else own


def comments(tables: Mapping[str, Iterable[str]], kinds: Mapping[str, str]) -> Iterator[str]:
    """The COMMENT statements. `tables`: name -> columns; `kinds`: name -> "table" or "view"."""
    for name, columns in tables.items():
        place = f"stripe_metrics.{name}"
        yield f"comment on {kinds[name]} {place} is {_literal(descriptions()[name]['about'])}"
        for column in columns:
            yield f'comment on column {place}."{column}" is {_literal(of_column(name, column))}'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
