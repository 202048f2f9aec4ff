"""Whether tables equal a simulated account, field by field."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pipelines.warehouse.database import stored_columns
from pipelines.warehouse.postgres_database import PostgresDatabase
from simulator import Simulator
from sources.columns.columns import Columns
from sources.columns.typed import object_of
from sources.stripe_api.catalogue import CATALOGUE, TABLES
from tests.sources.comparable import comparable

Key = tuple[Any, ...]


def stored_objects(url: str, table: str, account_id: str | None = None) -> dict[Key, dict[str, Any]]:
    """The living rows of a table as Stripe's objects, by key."""
    database = PostgresDatabase(url)
    try:
        columns = Columns(CATALOGUE, stored_columns(database, "stripe", "stripe"))
        names = [name for (name,) in database.execute(NAMES, (table,))]
        values = database.execute(
            f"SELECT {', '.join(map(_quoted, names))} FROM stripe.{table} WHERE _deleted_at IS NULL"
        )
    finally:
        database.close()
    found = [dict(zip(names, row, strict=True)) for row in values]
    kept = [row for row in found if account_id is None or row["_account_id"] == account_id]
    return {tuple(row[name] for name in TABLES[table].key): object_of(table, row, columns) for row in kept}


NAMES = (
    "SELECT column_name FROM information_schema.columns WHERE table_schema = 'stripe' AND table_name = %s"
    " ORDER BY ordinal_position"
)


def _quoted(name: str) -> str:
    return f'"{name}"'


def account_objects(sim: Simulator, table: str) -> dict[Key, dict[str, Any]]:
    """The living objects of a simulated account's table, in the form that rows give back, by key."""
    columns = Columns(CATALOGUE)
    return {
        tuple(row.parent if name == "_parent_id" else row.object[name] for name in TABLES[table].key): comparable(
            table, row.object, columns
        )
        for row in sim.account.rows(table)
    }


def assert_equal(url: str, sim: Simulator, tables: Iterable[str]) -> None:
    """Raises AssertionError that names the table and the difference."""
    for table in tables:
        stored, expected = stored_objects(url, table, sim.account.id), account_objects(sim, table)
        assert {key: stored.get(key) for key in expected} == expected, table
        assert set(stored) == set(expected), f"{table}: {sorted(set(stored) ^ set(expected))}"
