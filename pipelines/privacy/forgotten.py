"""The table `sync_forgotten`: digests of the ids of forgotten persons and of their objects.

It holds no id. Every run and every sink reads it, and `sources.privacy` leaves these persons' data out of everything
that they write. `forget` fills it.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime

from pipelines.warehouse.database import Database, has_table
from pipelines.warehouse.rights import create_missing
from sources.privacy import Forgotten, digest_of, prefix_of

TABLE = "sync_forgotten"
RELATIONS = {
    TABLE: """
CREATE TABLE IF NOT EXISTS {dataset}.sync_forgotten (
    digest text PRIMARY KEY, prefix text NOT NULL, forgotten_at timestamptz NOT NULL)
""",
    "sync_forgotten_at": "CREATE INDEX IF NOT EXISTS sync_forgotten_at ON {dataset}.sync_forgotten (forgotten_at)",
}
"""The index is for the sinks: each of their transactions reads the latest `forgotten_at`."""
MOST_AT_ONCE = 1_000


def create_forgotten(database: Database, dataset: str) -> None:
    """Creates the table if it is missing. Raises DatabaseProblem for missing rights."""
    create_missing(database, dataset, relations_of(dataset))


def relations_of(dataset: str) -> dict[str, str]:
    """The table and its index by name -> the statement that creates it."""
    return {name: sql.format(dataset=f'"{dataset}"') for name, sql in RELATIONS.items()}


def read_forgotten(database: Database, dataset: str) -> Forgotten:
    """The persons that the dataset has forgotten; empty if there is no such table."""
    if not has_table(database, dataset, TABLE):
        return Forgotten()
    rows = database.execute(f'SELECT digest, prefix FROM "{dataset}".{TABLE}')
    return Forgotten([digest for digest, _ in rows], {prefix for _, prefix in rows})


def remember(database: Database, dataset: str, ids: Collection[str]) -> None:
    """Adds ids in one transaction.

    In Postgres the table is locked first: this waits for a sink's transactions that have read the table, and later ones
    read the added ids. So no sink writes data again after it was overwritten.
    """
    now, every = datetime.now(UTC), sorted(ids)
    with database.transaction():
        if database.dialect == "postgres":
            database.execute(f'LOCK TABLE "{dataset}".{TABLE} IN ACCESS EXCLUSIVE MODE')
        for start in range(0, len(every), MOST_AT_ONCE):
            part = every[start : start + MOST_AT_ONCE]
            database.execute(
                f'INSERT INTO "{dataset}".{TABLE} (digest, prefix, forgotten_at)'
                f" VALUES {', '.join(['(%s, %s, %s)'] * len(part))} ON CONFLICT DO NOTHING",
                [value for id in part for value in (digest_of(id), prefix_of(id), now)],
            )


def forget_lock(dataset: str) -> str:
    """The name of the lock that runs share and forgetting takes alone, so that no run writes erased data again."""
    return f"{dataset}/forget"
