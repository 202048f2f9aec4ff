"""dlt's merge job with the guarded merge: what a package has staged goes into the tables.

Tables, keys and types come with the dlt schema; which table holds whose children, and what events do not show, are told
by the catalogue.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, cast

from dlt.common.destination.typing import PreparedTableSchema
from dlt.common.schema.typing import TTableSchema
from dlt.common.schema.utils import get_columns_names_with_prop
from dlt.destinations.sql_client import SqlClientBase
from dlt.destinations.sql_jobs import SqlMergeFollowupJob

from pipelines.warehouse.merge import AS_OF, PARENT, SOURCE, Merge, holder_of
from sources.catalogue import Catalogue, Table


def guarded_merge(catalogue: Catalogue, schema: str) -> type[SqlMergeFollowupJob]:
    """dlt's merge job with the statements of `pipelines.warehouse.merge` in place of its own.

    `schema` is the name of the stored schema. dlt takes a class and makes the job itself.
    """

    class GuardedMergeJob(SqlMergeFollowupJob):
        @classmethod
        def generate_sql(cls, table_chain: Sequence[PreparedTableSchema], sql_client: SqlClientBase[Any]) -> list[str]:
            """One merge for each table of the chain: dlt runs them in one transaction."""
            merges = [_merge_of(table, sql_client, catalogue, schema) for table in table_chain]
            return [statement for merge in merges for statement in (*_statistics(merge), *merge.statements())]

    return GuardedMergeJob


def _statistics(merge: Merge) -> list[str]:
    """Children are joined with what is staged, which Postgres plans badly as long as it guesses how much that is.

    Of the columns that are joined by: those of JSON cost as much to look at as to merge.
    """
    if not merge.has_parent or merge.arrival != "ctid":
        return []
    columns = ", ".join(f'"{name}"' for name in dict.fromkeys((*merge.key, PARENT, AS_OF, SOURCE)))
    return [f"ANALYZE {merge.staging} ({columns})"]


def _merge_of(table: PreparedTableSchema, sql_client: SqlClientBase[Any], catalogue: Catalogue, schema: str) -> Merge:
    plain = cast("TTableSchema", table)
    name = str(table["name"])
    known = catalogue.tables.get(name) or Table(name, ())
    with sql_client.with_staging_dataset():
        staging = sql_client.make_qualified_table_name(name)
    columns = tuple(get_columns_names_with_prop(plain, "name"))
    with sql_client:  # dlt makes its jobs before it opens the connection that they run on
        others = _added_since(sql_client, schema, name, columns)
        holder = holder_of(
            catalogue,
            name,
            lambda table: bool(_stored_columns(sql_client, table)),
            sql_client.make_qualified_table_name,
        )
    return Merge(
        target=sql_client.make_qualified_table_name(name),
        staging=staging,
        columns=columns,
        key=tuple(get_columns_names_with_prop(plain, "primary_key")),
        arrival="ctid" if sql_client.capabilities.sqlglot_dialect == "postgres" else "rowid",
        holder=holder,
        unseen=known.shown_on_request,
        others=others,
        remade=known.chosen_id,
        witness=known.witness,
    )


def _stored_columns(sql_client: SqlClientBase[Any], table: str) -> list[str]:
    """Names of the columns that a table has by now, whoever made them; none where there is no such table."""
    found = sql_client.execute_sql(
        "SELECT column_name FROM information_schema.columns WHERE table_schema = %s AND table_name = %s",
        sql_client.dataset_name,
        table,
    )
    return [str(name) for (name,) in found or []]


def _added_since(sql_client: SqlClientBase[Any], schema: str, table: str, columns: Sequence[str]) -> tuple[str, ...]:
    """Columns that another writer has added to the table since this package began; not those that a user has."""
    more = [name for name in _stored_columns(sql_client, table) if name not in columns]
    if not more:
        return ()
    versions = sql_client.make_qualified_table_name("_dlt_version")
    newest = f"SELECT schema FROM {versions} WHERE schema_name = %s ORDER BY inserted_at DESC LIMIT 1"
    found = sql_client.execute_sql(newest, schema)
    known = json.loads(found[0][0])["tables"].get(table, {}).get("columns", {}) if found else {}
    return tuple(name for name in more if name in known)
