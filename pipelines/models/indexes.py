"""Creates indexes in Postgres after a load: on every reference, on `created`, and on the time when rows were stored.

They are created concurrently, so that loads and the sink can write meanwhile. A killed run leaves an index that
Postgres does not use; the next run creates it again. Small tables get none, because a full scan is as fast. DuckDB gets
none: there an index makes merges ten times slower (docs/decisions.md has the figures).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, cast

from pipelines.models.metrics.source_tables import LEDGER, looked_up
from pipelines.models.views import live_views, quoted
from pipelines.warehouse.database import Database
from pipelines.warehouse.merge import PARENT, SYNCED_AT
from pipelines.warehouse.problems import is_database_error, state_of
from sources.catalogue import Catalogue

if TYPE_CHECKING:
    from pipelines.warehouse.postgres_database import PostgresDatabase

LOG = logging.getLogger("stripe_elt")

LEAST_BYTES = 4 * 2**20  # of a table's rows, without long values; a scan of a smaller table takes a few milliseconds
PATIENCE = 10.0  # seconds to wait for a transaction that has used the table and is still open
WAITED, CANCELLED = "55P03", "57014"
RUNS = "sync_runs"

LOOKED_UP: Mapping[str, Callable[[Mapping[str, Collection[str]]], Iterator[tuple[str, str, str]]]] = {
    "stripe": looked_up
}
"""Provider's name -> the expressions by which its metrics look rows up, see `looked_up`."""

_FOUND = """
SELECT c.relname::text, pg_has_role(c.relowner, 'USAGE'),
    array(SELECT i.relname::text FROM pg_catalog.pg_index AS x JOIN pg_catalog.pg_class AS i ON i.oid = x.indexrelid
          WHERE x.indrelid = c.oid AND x.indisvalid)
FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relkind = 'r' AND pg_relation_size(c.oid) >= %s"""


@dataclass(frozen=True, slots=True)
class Index:
    """An index on an expression over a table's columns, for the rows in which it is not null."""

    table: str
    column: str
    expression: str
    is_ranges: bool = False

    @property
    def name(self) -> str:
        """A name within Postgres' 63 characters; another expression has another name."""
        mark = sha256(f"{self.table} {self.column} {self.expression}".encode()).hexdigest()[:6]
        return f"{self.table[:34]}_{self.column[:20]}_{mark}"

    @property
    def definition(self) -> str:
        """The part of the statement after the table's name. A BRIN index costs a merge nothing, because it does not
        point to rows.
        """
        if self.is_ranges:
            return f"USING brin ({self.expression}) WITH (pages_per_range = 16, autosummarize = on)"
        return f"(({self.expression})) WHERE ({self.expression}) IS NOT NULL"


def wanted_indexes(
    dataset: str, provider: str, catalogue: Catalogue, tables: Mapping[str, Collection[str]]
) -> Iterator[Index]:
    """The indexes that the tables should have; `tables` have their columns.

    They are on references, on the time by which a list is filtered, on the ids that the live views extract from JSON,
    and on the time when a row was stored, by which the metrics find changes. Further ones serve the metrics (rows of a
    subscription), the status page (the last runs) and the management API (the runs that a run began). An expression
    that reads another table cannot be indexed.
    """
    moments = {
        "created",
        *(resource.created_field for resource in catalogue.resources.values() if resource.created_field),
    }
    for name, view in live_views(dataset, provider, catalogue, tables).items():
        if name not in catalogue.tables:
            continue
        known, fields = catalogue.tables[name], catalogue.fields(name)
        plain = {*catalogue.references(name), *moments & fields.keys(), known.parent_field} - {*known.key}
        for column, expression in view.columns.items():
            is_added = column not in tables[name] and not expression.endswith(PARENT)  # which has one already
            if column in plain or (is_added and column.endswith("_id") and "select" not in expression):
                yield Index(name, column, expression)
        if SYNCED_AT in tables[name]:
            yield Index(name, SYNCED_AT, quoted(SYNCED_AT), is_ranges=True)
    for table, of, expression in LOOKED_UP[provider](tables) if provider in LOOKED_UP else ():
        yield Index(table, f"of_{of}", expression)
    yield Index(RUNS, "started_at", "started_at")
    yield Index(RUNS, "run_id", 'run_id COLLATE "C"')


def keep_indexes(
    database: Database,
    dataset: str,
    provider: str,
    catalogue: Catalogue,
    tables: Mapping[str, Collection[str]],
    least_bytes: int = LEAST_BYTES,
    patience: float = PATIENCE,
) -> int:
    """Creates missing indexes, one after the other, and returns how many. Must not be called within a transaction.

    One process at a time may do this for a dataset: the caller holds the run lock. An index that cannot be created is
    logged as a warning. `patience` is how many seconds to wait for open transactions that have used a table.
    """
    made, of_others = 0, set[str]()
    for index, is_own in missing_indexes(database, dataset, provider, catalogue, tables, least_bytes):
        if not is_own:
            of_others.add(index.table)
            continue
        try:
            _make(cast("PostgresDatabase", database), dataset, index, patience)
        except Exception as error:
            if not is_database_error(error):
                raise
            LOG.warning(
                "The index %s.%s was not created: %s The next run tries again.", dataset, index.name, _why(error)
            )
            break
        made += 1
    if of_others:
        LOG.warning(
            "The indexes of %d tables of the schema %s, such as %s, were not created, because the role does not own"
            " these tables. Let their owner run stripe-elt migrate, or set the setting indexes to none.",
            len(of_others),
            dataset,
            min(of_others),
        )
    return made


def missing_indexes(
    database: Database,
    dataset: str,
    provider: str,
    catalogue: Catalogue,
    tables: Mapping[str, Collection[str]],
    least_bytes: int = LEAST_BYTES,
) -> list[tuple[Index, bool]]:
    """The missing indexes, each with whether the role owns its table. Empty in DuckDB."""
    if database.dialect != "postgres":
        return []
    found = {name: (is_own, set(valid)) for name, is_own, valid in database.execute(_FOUND, (dataset, least_bytes))}
    if not found:
        return []
    return [
        (index, found[index.table][0])
        for index in wanted_indexes(dataset, provider, catalogue, tables)
        if index.table in found
        and index.name not in found[index.table][1]
        and (index.table != LEDGER or found[LEDGER][0])  # the sink's role may own it, and the sink creates no indexes
    ]


def index_statement(dataset: str, index: Index) -> str:
    """The statement that creates an index while the table is in use."""
    return (
        f"CREATE INDEX CONCURRENTLY {quoted(index.name)} ON {quoted(dataset)}.{quoted(index.table)} {index.definition}"
    )


def _make(database: PostgresDatabase, dataset: str, index: Index, patience: float) -> None:
    name = f"{quoted(dataset)}.{quoted(index.name)}"
    database.execute_alone(f"DROP INDEX CONCURRENTLY IF EXISTS {name}", patience)  # left by a killed run
    database.execute_alone(index_statement(dataset, index), patience)


def _why(error: Exception) -> str:
    if state_of(error) in (WAITED, CANCELLED):
        return "a transaction that uses the table was open for too long."
    said = getattr(getattr(error, "diag", None), "message_primary", None) or "the connection was lost"
    return f"{said.rstrip('.')}."
