"""One package into the database by dlt's destination clients: tables are made, files staged, their rows merged.

dlt's pipeline takes three steps for that, extract, normalize and load, each of which reads and writes what the one
before has left on disk: for a small package they cost ten times what the database does. The files of ours are ready, so
that the last step is enough. What dlt keeps is the same: its tables, the stored schema, a row of `_dlt_loads`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlt.common.destination.client import DestinationClientDwhConfiguration
from dlt.common.runtime.signals import raise_if_signalled
from dlt.common.schema import Schema
from dlt.common.schema.utils import new_table
from dlt.common.storages.load_package import create_load_id

from pipelines.loading.dlt_configuration import refuse_another_target
from pipelines.warehouse.merge import Contents
from pipelines.warehouse.package_merge import Staged, package_merges

if TYPE_CHECKING:
    from dlt.common.destination import Destination
    from dlt.common.schema.typing import TColumnSchema

    from sources.catalogue import Catalogue


@dataclass(frozen=True, slots=True)
class Target:
    """Where a package goes: `schema` is the stored schema's name, `staging` the dataset in which rows are staged."""

    destination: Destination[Any, Any]
    catalogue: Catalogue
    schema: str
    dataset: str
    staging: str


@dataclass(frozen=True, slots=True)
class File:
    """A table's rows as CSV for Postgres, or Parquet for DuckDB, its columns in dlt's terms, and what the rows are."""

    path: Path
    columns: Mapping[str, TColumnSchema]
    contents: Contents = Contents()


def schema_of(name: str, tables: Mapping[str, Iterable[TColumnSchema]]) -> Schema:
    """A schema of these tables and dlt's own."""
    schema = Schema(name)
    for table, columns in tables.items():
        made = new_table(table, write_disposition="merge", columns=list(columns))
        schema.update_table(made, normalize_identifiers=False)
    schema._bump_version()
    return schema


def open_client(target: Target, schema: Schema) -> Any:
    """dlt's client for these tables in the target. Raises BadConfiguration where dlt would go elsewhere."""
    config = target.destination.spec()
    if isinstance(config, DestinationClientDwhConfiguration):
        config._bind_dataset_name(target.dataset)
    client: Any = target.destination.client(schema, config)
    refuse_another_target(client, target.schema, target.dataset, target.staging)
    return client


def load_files(target: Target, files: Mapping[str, File]) -> None:
    """Merges the rows of some files into the tables of their names; a signal ends it between two statements.

    Each table is merged in a transaction of its own. Raises dlt's errors, and those of the drivers.
    """
    schema = schema_of(target.schema, {name: file.columns.values() for name, file in files.items()})
    client = open_client(target, schema)
    with client:
        sql = client.sql_client
        made = client.make_tables([*files, *schema.dlt_table_names()])
        staged = {
            name: Staged(rows, replace(files[name].contents, alone=name in made and client.has_one_writer))
            for name, rows in client.stage({name: file.path for name, file in files.items()}).items()
        }
        tables = [schema.get_table(name) for name in files]
        for statements in package_merges(sql, tables, staged, target.catalogue, target.schema):
            raise_if_signalled()
            with sql.begin_transaction():
                for statement in statements:
                    sql.execute_sql(statement)
        client.complete_load(create_load_id())
