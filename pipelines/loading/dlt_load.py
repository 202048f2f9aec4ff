"""Makes what a package lacks, its tables and columns, by dlt's destination clients, which keep the stored schema.

Imported only if something is missing: importing dlt takes longer than loading a small package.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from dlt.common.destination.client import DestinationClientDwhConfiguration
from dlt.common.runtime.signals import intercepted_signals, raise_if_signalled
from dlt.common.schema import Schema
from dlt.common.schema.utils import new_table

from pipelines.loading.dlt_configuration import own_configuration, refuse_another_target

if TYPE_CHECKING:
    from dlt.common.schema.typing import TColumnSchema

    from pipelines.warehouse.package_merge import Target


def schema_of(name: str, tables: Mapping[str, Iterable[TColumnSchema]]) -> Schema:
    """A schema of these tables and dlt's own."""
    schema = Schema(name)
    for table, columns in tables.items():
        made = new_table(table, write_disposition="merge", columns=list(columns))
        schema.update_table(made, normalize_identifiers=False)
    schema._bump_version()
    return schema


def open_client(target: Target, schema: Schema) -> Any:
    """dlt's client for these tables in the target. Raises BadConfiguration if dlt would connect elsewhere."""
    destination = target.database.destination(target.staging)
    config = destination.spec()
    if isinstance(config, DestinationClientDwhConfiguration):
        config._bind_dataset_name(target.dataset)
    client: Any = destination.client(schema, config)
    refuse_another_target(client, target.schema, target.dataset, target.staging)
    return client


def make_tables(target: Target, tables: Mapping[str, Iterable[TColumnSchema]]) -> Collection[str]:
    """Makes what is missing of these tables and of dlt's own; returns the names of the tables that it made."""
    with own_configuration(), intercepted_signals():  # dlt's signals, around it all: else it would forget one
        schema = schema_of(target.schema, tables)
        client = open_client(target, schema)
        with client:
            made: Collection[str] = client.make_tables([*tables, *schema.dlt_table_names()])
        raise_if_signalled()
    return made
