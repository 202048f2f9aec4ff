"""Connections that dlt's clients use one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import dlt
import psycopg2
import pytest

from pipelines.warehouse.postgres.connections import FRESH, Connections
from pipelines.warehouse.postgres_database import PostgresDatabase


@pytest.fixture
def one(postgres_url: str) -> Iterator[Any]:
    with closing(psycopg2.connect(postgres_url)) as opened:
        yield opened


def test_rested_connection_is_taken_again_for_the_same_purpose_only(one: Any) -> None:
    connections = Connections()
    connections.give("a", one)
    assert connections.take("b") is None
    assert connections.take("a") is one
    assert connections.take("a") is None


def test_connection_that_rested_long_is_closed(one: Any) -> None:
    now = [0.0]
    connections = Connections(clock=lambda: now[0])
    connections.give("a", one)
    now[0] = FRESH
    assert connections.take("a") is None
    assert one.closed


def test_connection_in_the_middle_of_a_transaction_is_not_passed_on(one: Any) -> None:
    one.cursor().execute("SELECT 1")
    connections = Connections()
    connections.give("a", one)
    assert connections.take("a") is None
    assert one.closed


def test_closing_closes_those_that_rest(one: Any) -> None:
    connections = Connections()
    connections.give("a", one)
    connections.close()
    assert one.closed


def test_clients_of_one_database_share_a_connection_until_it_closes(postgres_url: str) -> None:
    database = PostgresDatabase(postgres_url)
    first, second = connection_of(database), connection_of(database)
    assert first is second
    database.close()
    assert first.closed


def connection_of(database: PostgresDatabase) -> Any:
    """The connection that a client of a destination of the database's has worked with."""
    destination = database.destination("stripe_staging")
    config = destination.spec()._bind_dataset_name("stripe")
    with destination.client(dlt.Schema("stripe"), config) as client:
        return client.sql_client.native_connection
