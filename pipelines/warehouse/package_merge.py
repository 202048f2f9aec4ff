"""The merges of a package whose rows are staged: which columns the tables have by now, and whose children they hold.

Tables, keys and types come with the dlt schema; which table holds whose children, and what events do not show, are told
by the catalogue.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dlt.common.schema.utils import get_columns_names_with_prop

from pipelines.warehouse.merge import AS_OF, PARENT, SOURCE, Contents, Merge, holder_of
from sources.catalogue import Catalogue, Table

if TYPE_CHECKING:
    from dlt.common.schema.typing import TTableSchema
    from dlt.destinations.sql_client import SqlClientBase

Stored = Mapping[str, Sequence[str]]
"""table -> the columns that it has in the database, whoever made them; without tables that are not there."""


@dataclass(frozen=True, slots=True)
class Staged:
    """What a table's merge selects from, as SQL has it after FROM, and what its rows are."""

    rows: str
    contents: Contents


def package_merges(
    sql_client: SqlClientBase[Any],
    tables: Collection[TTableSchema],
    staged: Mapping[str, Staged],
    catalogue: Catalogue,
    schema: str,
) -> list[list[str]]:
    """The statements of each table's merge, to be run in one transaction; `schema` is the stored schema's name."""
    names = [str(table["name"]) for table in tables]
    stored = _stored_columns(sql_client, {*names, *_holders(catalogue, names)})
    merges = [_merge_of(table, staged[str(table["name"])], sql_client, catalogue, schema, stored) for table in tables]
    return [[*_statistics(merge), *merge.statements()] for merge in merges]


def _holders(catalogue: Catalogue, names: Collection[str]) -> Iterable[str]:
    """The tables whose objects come with rows of these."""
    return (
        name for name, table in catalogue.tables.items() if any(embedded.table in names for embedded in table.embedded)
    )


def _statistics(merge: Merge) -> list[str]:
    """Children are joined with what is staged, which Postgres plans badly as long as it guesses how much that is.

    Of the columns that are joined by: those of JSON cost as much to look at as to merge.
    """
    if not merge.has_parent or merge.arrival != "ctid":
        return []
    columns = ", ".join(f'"{name}"' for name in dict.fromkeys((*merge.key, PARENT, AS_OF, SOURCE)))
    return [f"ANALYZE {merge.staging} ({columns})"]


def _merge_of(
    table: TTableSchema,
    staged: Staged,
    sql_client: SqlClientBase[Any],
    catalogue: Catalogue,
    schema: str,
    stored: Stored,
) -> Merge:
    name = str(table["name"])
    known = catalogue.tables.get(name) or Table(name, ())
    columns = tuple(get_columns_names_with_prop(table, "name"))
    return Merge(
        target=sql_client.make_qualified_table_name(name),
        staging=staged.rows,
        columns=columns,
        key=tuple(get_columns_names_with_prop(table, "primary_key")),
        arrival="ctid" if sql_client.capabilities.sqlglot_dialect == "postgres" else "file_row_number",
        holder=holder_of(catalogue, name, stored.__contains__, sql_client.make_qualified_table_name),
        unseen=known.shown_on_request,
        others=_added_since(
            sql_client, schema, name, [one for one in stored[name] if one not in (*columns, *dict(known.kept))]
        ),
        kept=tuple(dict(known.kept)),
        remade=known.chosen_id,
        witness=known.witness,
        contents=staged.contents,
    )


def _stored_columns(sql_client: SqlClientBase[Any], tables: Collection[str]) -> Stored:
    places = ", ".join(["%s"] * len(tables))
    found = sql_client.execute_sql(
        "SELECT table_name, column_name FROM information_schema.columns"
        f" WHERE table_schema = %s AND table_name IN ({places})",
        sql_client.dataset_name,
        *sorted(tables),
    )
    columns: dict[str, list[str]] = {}
    for table, column in found or []:
        columns.setdefault(str(table), []).append(str(column))
    return columns


def _added_since(sql_client: SqlClientBase[Any], schema: str, table: str, more: Sequence[str]) -> tuple[str, ...]:
    """Those of more columns that another writer has added since this package began; not those that a user has."""
    if not more:
        return ()
    versions = sql_client.make_qualified_table_name("_dlt_version")
    newest = f"SELECT schema FROM {versions} WHERE schema_name = %s ORDER BY inserted_at DESC LIMIT 1"
    found = sql_client.execute_sql(newest, schema)
    known = json.loads(found[0][0])["tables"].get(table, {}).get("columns", {}) if found else {}
    return tuple(name for name in more if name in known)
