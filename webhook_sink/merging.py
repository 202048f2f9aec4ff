"""The statements of `pipelines.merge` over rows that come as one JSON parameter instead of from a staging table.

A temporary table would cost a batch a millisecond and swell Postgres' catalogue with every transaction. Pure text; the
only parameter of each statement is the JSON array of staged rows (`staging.staged`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from pipelines.merge import ACCOUNT, AS_OF, DELETED_AT, PARENT, SOURCE, SYNCED_AT, Holder, Merge
from sources.stripe_api.catalogue import TABLES
from sources.stripe_api.schema import OWN_COLUMNS, ColumnType

SQL_TYPES: Mapping[ColumnType, str] = {
    "text": "text",
    "bigint": "bigint",
    "double": "double precision",
    "bool": "boolean",
    "timestamp": "timestamptz",
    "decimal": "numeric",
    "json": "jsonb",
}
ARRIVAL = "_arrival"


@dataclass(frozen=True, slots=True)
class TableStatements:
    """One table's statements: `upsert` for whole objects returns the places (from 1) of those that tie with the
    stored row; `tombstones` and `absent_children` return nothing. A statement is run only where it has rows.
    """

    upsert: str
    tombstones: str
    absent_children: str


def statements(
    dataset: str, table: str, columns: Mapping[str, ColumnType], existing: Collection[str]
) -> TableStatements:
    """The statements for a table that has these columns, its own and ours, in a dataset with these tables."""
    key = (*TABLES[table].key, ACCOUNT)
    target = f"{_quote(dataset)}.{_quote(table)}"
    merge = Merge(target, "staged", tuple(columns), key, ARRIVAL, _holder(dataset, table, existing))
    few = {name: kind for name, kind in columns.items() if name in key or name in OWN_COLUMNS or name == "object"}
    return TableStatements(
        upsert=f"{_staged(columns)}, ties AS ({_ties(target, key, columns)}), merged AS ({merge.upsert()})"
        f" SELECT {ARRIVAL} FROM ties",
        tombstones=f"{_staged(few)} {merge.tombstones()}",
        absent_children=f"{_staged(few)} {merge.absent_children()}" if merge.has_parent else "",
    )


def _holder(dataset: str, table: str, existing: Collection[str]) -> Holder | None:
    for name, holder in TABLES.items():
        for embedded in holder.embedded:
            if embedded.table == table and name in existing and TABLES[table].parent is not None:
                return Holder(f"{_quote(dataset)}.{_quote(name)}", holder.key[0], not embedded.expand)
    return None


def _staged(columns: Mapping[str, ColumnType]) -> str:
    typed = ", ".join(f"{_quote(name)} {SQL_TYPES[kind]}" for name, kind in columns.items())
    names = ", ".join((*map(_quote, columns), ARRIVAL))
    return (
        f"WITH staged AS MATERIALIZED (SELECT * FROM ROWS FROM (jsonb_to_recordset(%s::jsonb) AS ({typed}))"
        f" WITH ORDINALITY AS t ({names}))"
    )


def _ties(target: str, key: Sequence[str], columns: Mapping[str, ColumnType]) -> str:
    """Rows whose second is the stored row's and whose state is another one."""
    same = " AND ".join(f"d.{_quote(name)} = s.{_quote(name)}" for name in key)
    state = [name for name in columns if name not in (*key, PARENT, AS_OF, SOURCE, SYNCED_AT)]
    stored = ", ".join(f"d.{_quote(name)}" for name in state)
    arrived = ", ".join(f"s.{_quote(name)}" for name in state)
    return (
        f"SELECT s.{ARRIVAL} FROM staged AS s JOIN {target} AS d ON {same} AND d.{AS_OF} = s.{AS_OF}"
        f" WHERE ROW({stored}) IS DISTINCT FROM ROW({arrived})"
        f" AND (d.object IS NOT NULL OR d.{DELETED_AT} IS NULL)"
    )


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
