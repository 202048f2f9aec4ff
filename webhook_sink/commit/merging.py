"""The statements of `warehouse.merge` over rows that come as one JSON parameter instead of from a staging table.

A temporary table would cost a batch a millisecond and swell Postgres' catalogue with every transaction. Pure text; the
only parameter of each statement is the JSON array of staged rows (`staging.staged`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from pipelines.warehouse.merge import (
    ACCOUNT,
    AS_OF,
    DELETED_AT,
    PARENT,
    SET_MARKER,
    SOURCE,
    SYNCED_AT,
    Merge,
    holder_of,
)
from sources.catalogue import ColumnType
from sources.columns.columns import OWN_COLUMNS
from sources.stripe_api.catalogue import CATALOGUE, TABLES

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
    """One table's statements: `upsert` for whole objects and `absent_children` for sets return the places (from 1) of
    those that tie with what is stored; `tombstones` does so where ids can come again, and takes whole objects along. A
    statement is run only where it has rows.

    A child's table comes before its holder's: whether a set ties shows in the holder's stored second.
    """

    upsert: bytes
    tombstones: bytes
    absent_children: bytes


def statements(
    dataset: str, table: str, columns: Mapping[str, ColumnType], existing: Collection[str]
) -> TableStatements:
    """The statements for a table that has these columns, its own and ours, in a dataset with these tables."""
    key = (*TABLES[table].key, ACCOUNT)
    target = f"{_quote(dataset)}.{_quote(table)}"
    holder = holder_of(CATALOGUE, table, existing.__contains__, lambda name: f"{_quote(dataset)}.{_quote(name)}")
    remade = TABLES[table].chosen_id
    unseen = TABLES[table].shown_on_request
    merge = Merge(target, "staged", tuple(columns), key, ARRIVAL, holder, unseen, remade=remade)
    few = {name: kind for name, kind in columns.items() if name in key or name in OWN_COLUMNS or name == "object"}
    upsert = (
        f"{_staged(columns)}, ties AS ({_ties(merge, columns)}), merged AS ({merge.upsert()})"
        f" SELECT {ARRIVAL} FROM ties"
    )
    absent_children = (
        f"{_staged(few)}, ties AS ({_set_ties(target, key)}), merged AS ({merge.absent_children()})"
        f" SELECT {ARRIVAL} FROM ties"
    )
    tombstones = f"{_staged(few)} {merge.tombstones()}"
    if remade:
        tombstones = (
            f"{_staged(few)}, ties AS ({_deletion_ties(target, key)}), merged AS ({merge.tombstones()})"
            f" SELECT {ARRIVAL} FROM ties"
        )
    return TableStatements(
        upsert.encode(),
        tombstones.encode(),
        absent_children.encode() if merge.has_parent else b"",
    )


def _staged(columns: Mapping[str, ColumnType]) -> str:
    typed = ", ".join(f"{_quote(name)} {SQL_TYPES[kind]}" for name, kind in columns.items())
    names = ", ".join((*map(_quote, columns), ARRIVAL))
    return (
        f"WITH staged AS MATERIALIZED (SELECT * FROM ROWS FROM (jsonb_to_recordset($1::jsonb) AS ({typed}))"
        f" WITH ORDINALITY AS t ({names}))"
    )


def _ties(merge: Merge, columns: Mapping[str, ColumnType]) -> str:
    """Rows whose second is the stored row's and whose state is another one.

    A child that is not stored ties where its holder's stored second is its own: that state did not have it. A row of
    which no more is known than that it was deleted ties with none, unless its id can come again.
    """
    target, key, holder = merge.target, merge.key, merge.holder
    same = " AND ".join(f"d.{_quote(name)} = s.{_quote(name)}" for name in key)
    state = [name for name in columns if name not in (*key, PARENT, AS_OF, SOURCE, SYNCED_AT)]
    stored = ", ".join(f"d.{_quote(name)}" for name in state)
    arrived = ", ".join(f"s.{_quote(name)}" for name in state)
    known = "" if merge.remade else f" AND (d.object IS NOT NULL OR d.{DELETED_AT} IS NULL)"
    born = ""
    if holder is not None and holder.shows_all:
        born = (
            f" OR (d.{ACCOUNT} IS NULL AND EXISTS (SELECT 1 FROM {holder.target} AS h"
            f" WHERE h.{_quote(holder.key)} = s.{PARENT} AND h.{ACCOUNT} = s.{ACCOUNT} AND h.{AS_OF} = s.{AS_OF}))"
        )
    return (
        f"SELECT s.{ARRIVAL} FROM staged AS s LEFT JOIN {target} AS d ON {same} WHERE (d.{AS_OF} = s.{AS_OF}"
        f" AND ROW({stored}) IS DISTINCT FROM ROW({arrived}){known}){born}"
    )


def _deletion_ties(target: str, key: Sequence[str]) -> str:
    """Tombstones whose second is that of a living row."""
    same = " AND ".join(f"d.{_quote(name)} = s.{_quote(name)}" for name in key)
    return (
        f"SELECT s.{ARRIVAL} FROM staged AS s JOIN {target} AS d ON {same}"
        f" WHERE s.object IS NULL AND d.{AS_OF} = s.{AS_OF} AND d.{DELETED_AT} IS NULL"
    )


def _set_ties(target: str, key: Sequence[str]) -> str:
    """Set markers whose second is that of a living child that they do not have."""
    same = " AND ".join(f"c.{_quote(name)} = d.{_quote(name)}" for name in key)
    return (
        f"SELECT s.{ARRIVAL} FROM staged AS s JOIN {target} AS d ON d.{PARENT} = s.{PARENT}"
        f" AND d.{ACCOUNT} = s.{ACCOUNT} AND d.{AS_OF} = s.{AS_OF} AND d.{DELETED_AT} IS NULL"
        f" WHERE s.{SOURCE} = '{SET_MARKER}'"
        f" AND NOT EXISTS (SELECT 1 FROM staged AS c WHERE {same} AND c.{SOURCE} <> '{SET_MARKER}')"
    )


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
