"""An empty database as the pipelines open it, once of each kind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from pipelines.configuration.settings import Settings
from pipelines.loading.session import open_database
from pipelines.warehouse.database import Database


@pytest.fixture(params=["duckdb", "postgres"])
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    with closing(opened(request)) as database:
        yield database


def opened(request: pytest.FixtureRequest) -> Database:
    """The empty database of the kind that is the fixture's parameter."""
    return open_database(
        Settings(destination="duckdb", duckdb_path=str(request.getfixturevalue("duckdb_path")))
        if request.param == "duckdb"
        else Settings(destination="postgres", database_url=request.getfixturevalue("postgres_url"))
    )
