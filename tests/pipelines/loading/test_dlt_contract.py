"""The parts of dlt that `warehouse` and `loading.dlt_load` build on, beyond its documented interface.

When an upgrade of dlt fails here, read dlt's changes of the named part, adapt the project, and move the pin in
pyproject.toml: the tests of the merge, not these, say whether it still works.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from importlib.metadata import requires, version
from typing import Any

import pytest
from dlt.common.destination import Destination
from dlt.common.destination.client import DestinationClientDwhConfiguration
from dlt.common.schema.utils import loads_table, version_table
from dlt.destinations import duckdb, postgres
from dlt.destinations.impl.duckdb.duck import DuckDbClient
from dlt.destinations.impl.postgres.postgres import PostgresClient
from dlt.destinations.impl.postgres.sql_client import Psycopg2SqlClient
from dlt.destinations.job_client_impl import SqlJobClientBase
from packaging.requirements import Requirement
from packaging.version import Version

from pipelines.warehouse.package_merge import DLT_TABLES, LOADS, VERSIONS
from pipelines.warehouse.postgres.connections import SharingSqlClient


def test_installed_dlt_is_the_minor_that_the_hooks_were_read_in() -> None:
    pinned = next(Requirement(line) for line in requires("stripe-elt") or [] if Requirement(line).name == "dlt")
    assert pinned.specifier.contains(version("dlt"))
    minors = {Version(spec.version).release[:2] for spec in pinned.specifier}
    assert len(minors) == 2, "dlt is pinned to one minor: >= its first release, < the next minor"
    assert Version(version("dlt")).release[:2] == (1, 31), "read the hooks below in the new dlt, then move this line"


@pytest.mark.parametrize(
    ("owner", "name", "parameters"),
    [
        (SqlJobClientBase, "_get_constraints_sql", ["self", "table_name", "new_columns", "generate_alter"]),
        (SqlJobClientBase, "_get_table_post_update_sql", ["self", "partial_table"]),
        (SqlJobClientBase, "_build_schema_update_sql", ["self", "storage_tables"]),
        (SqlJobClientBase, "_update_schema_in_storage", ["self", "schema"]),
        (SqlJobClientBase, "get_storage_tables", ["self", "table_names"]),
        (SqlJobClientBase, "get_stored_schema", ["self", "schema_name"]),
        (SqlJobClientBase, "_commit_schema_update", ["self", "schema", "schema_str"]),
        (SqlJobClientBase, "update_stored_schema", ["self", "only_tables", "expected_update", "force"]),
        (SqlJobClientBase, "initialize_storage", ["self", "truncate_tables"]),
        (SqlJobClientBase, "is_storage_initialized", ["self"]),
        (DestinationClientDwhConfiguration, "_bind_dataset_name", ["self", "dataset_name", "default_schema_name"]),
    ],
)
def test_hook_is_where_it_was(owner: type, name: str, parameters: list[str]) -> None:
    assert list(inspect.signature(getattr(owner, name)).parameters) == parameters


@pytest.mark.parametrize(("made", "columns"), [(loads_table(), LOADS), (version_table(), VERSIONS)])
def test_dlts_own_tables_have_the_columns_that_we_fill_and_read(made: Any, columns: Sequence[str]) -> None:
    assert set(columns) == made["columns"].keys()
    assert made["name"] in DLT_TABLES


@pytest.mark.parametrize(("factory", "client"), [(postgres, PostgresClient), (duckdb, DuckDbClient)])
def test_factories_name_their_client_by_a_property(factory: Any, client: type) -> None:
    assert isinstance(factory.client_class, property)
    assert factory().client_class is client


def test_libpq_gets_what_the_credentials_say() -> None:
    assert "dsn=self.credentials.to_native_representation()" in inspect.getsource(Psycopg2SqlClient.open_connection)


def test_clients_are_made_and_connect_where_it_was() -> None:
    assert list(inspect.signature(Destination.client).parameters) == ["self", "schema", "initial_config"]
    made = inspect.signature(Psycopg2SqlClient).parameters
    assert list(made) == ["dataset_name", "staging_dataset_name", "credentials", "capabilities"]
    assert "self._conn = psycopg2.connect(" in inspect.getsource(Psycopg2SqlClient.open_connection)
    assert "self._conn.close()" in inspect.getsource(Psycopg2SqlClient.close_connection)


def test_statements_and_transactions_of_dlts_client_go_through_the_methods_that_ours_replaces() -> None:
    """Whatever else touches the connection would run without the session properties, or set some for the session."""
    touching = {name for name, var in vars(Psycopg2SqlClient).items() if "_conn." in _source(var)}
    replaced = SharingSqlClient.__dict__.keys()
    assert touching - replaced == {"_reset_connection"}
    for name in vars(Psycopg2SqlClient).keys() - replaced:
        assert "_reset_connection()" not in _source(vars(Psycopg2SqlClient)[name])


def _source(one: Any) -> str:
    return inspect.getsource(one) if inspect.isfunction(one) else ""
