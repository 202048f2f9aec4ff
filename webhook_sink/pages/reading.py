"""Reads the content of the status page from the database, in a few short queries. Changes nothing, and reads no
payload.

The number of rows of a large table is the database's estimate: counting a million rows takes longer than the page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pipelines.check.report import last_checks
from pipelines.commands.freshness import account_freshness, events_reached, resource_reached
from pipelines.models.report.answers import Answers, Reader
from pipelines.state import left_out_objects, read_overview, requests_since
from pipelines.warehouse.database import Database, has_table
from sources.catalogue import Catalogue
from webhook_sink.commit.recent import Recent, read_recent

COUNTED_BYTES, UNKNOWN_BYTES = 131_072, 8_388_608
"""Tables of at most this size, in bytes, are counted; for larger ones, the page shows the server's estimate. The second
size is for tables without an estimate."""

SHOWN_RUNS, SHOWN_CHECKS, SHOWN_LEFT_OUT = 25, 10, 20
CHECKS_OF = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class Asked:
    """The filter of events: by status and type; None for all."""

    status: str | None = None
    type: str | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What was read from the database. Times are in UTC.

    `tables` has each resource of each account with `reached`, `behind` (seconds), and the `rows` of its table, which
    are an estimate if `is_estimate`. `progress` has, by run, how many of its resources have ended. `answers` are those
    of the metrics, if they are built.
    """

    read_at: datetime
    database: str
    accounts: Sequence[Mapping[str, Any]]
    tables: Sequence[Mapping[str, Any]]
    runs: Sequence[Mapping[str, Any]]
    progress: Mapping[str, int]
    requests_this_month: int
    recent: Recent | None
    checks: Sequence[Mapping[str, Any]]
    left_out: Sequence[Mapping[str, Any]]
    answers: Sequence[Answers] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing was ever loaded."""
        return not self.accounts and not self.runs

    @property
    def rows(self) -> int:
        """The approximate number of rows of all tables."""
        return sum({table["table"]: table["rows"] or 0 for table in self.tables}.values())


def read_facts(
    database: Database, dataset: str, catalogue: Catalogue, provider: str, asked: Asked, now: datetime
) -> Facts:
    """Reads everything except the answers. Raises the driver's errors."""
    found = read_overview(database, dataset)
    is_loaded = bool(found["accounts"] or found["runs"])
    counts = _row_counts(database, dataset, set(catalogue.tables)) if is_loaded else {}
    month = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    events = {account["_account_id"]: events_reached(account) for account in found["accounts"]}
    return Facts(
        read_at=now,
        database=_described(database),
        accounts=[account_freshness(account, found["resources"], now) for account in found["accounts"]],
        tables=[
            _table(resource, events.get(resource["_account_id"]), counts, catalogue, now)
            for resource in found["resources"]
        ],
        runs=[{**run, "seconds": _seconds(run, now)} for run in found["runs"][:SHOWN_RUNS]],
        progress=_progress(found["resources"]),
        requests_this_month=requests_since(database, dataset, month) if is_loaded else 0,
        recent=read_recent(database, dataset, provider, asked.status, asked.type),
        checks=last_checks(database, dataset, now - CHECKS_OF, SHOWN_CHECKS),
        left_out=left_out_objects(database, dataset, SHOWN_LEFT_OUT),
    )


class AnswersReader:
    """Reads the answers of the metrics, again only after a new build, because that takes longer than all the rest."""

    def __init__(self, dataset: str) -> None:
        self._dataset = dataset
        self._builds: list[tuple[Any, ...]] | None = None
        self._answers: Sequence[Answers] = ()

    def read(self, database: Database) -> Sequence[Answers]:
        """The answers, by account and currency; empty if the metrics are not built."""
        if not has_table(database, f"{self._dataset}_metrics", "_builds"):
            return ()
        builds = sorted(database.execute(f'SELECT _account_id, as_of FROM "{self._dataset}_metrics"._builds'))
        if builds != self._builds:
            self._answers = [
                answers for answers in Reader(database, self._dataset).read() if answers.headline["mrr"] is not None
            ]
            self._builds = builds
        return self._answers


def _table(
    resource: Mapping[str, Any],
    events: datetime | None,
    counts: Mapping[str, tuple[int | None, bool]],
    catalogue: Catalogue,
    now: datetime,
) -> dict[str, Any]:
    reached = resource_reached(resource, events, catalogue)
    known = catalogue.resources.get(resource["resource"])
    table = known.table if known else resource["resource"]
    rows, is_estimate = counts.get(table, (None, False))
    return {
        **resource,
        "table": table,
        "rows": rows,
        "is_estimate": is_estimate,
        "reached": reached,
        "behind": None if reached is None else max(0.0, (now - reached).total_seconds()),
    }


def _progress(resources: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    ended: dict[str, int] = {}
    for resource in resources:
        if resource["run_id"] and resource["status"] != "running":
            ended[resource["run_id"]] = ended.get(resource["run_id"], 0) + 1
    return ended


def _seconds(run: Mapping[str, Any], now: datetime) -> float | None:
    if run["ended_at"] is None and run["status"] != "running":
        return None
    seconds: float = ((run["ended_at"] or now) - run["started_at"]).total_seconds()
    return max(0.0, seconds)


def _described(database: Database) -> str:
    if database.dialect == "duckdb":
        return f"DuckDB {database.execute('SELECT version()')[0][0]}"
    return str(database.execute("SELECT 'Postgres ' || split_part(current_setting('server_version'), ' ', 1)")[0][0])


SIZES = """
SELECT c.relname::text, c.reltuples::bigint, pg_relation_size(c.oid)
FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relkind = 'r' AND has_table_privilege(c.oid, 'SELECT')
"""


def _row_counts(database: Database, dataset: str, tables: set[str]) -> dict[str, tuple[int | None, bool]]:
    """table -> its rows (None if unknown), and whether that is an estimate."""
    if database.dialect == "duckdb":
        query = "SELECT table_name FROM duckdb_tables() WHERE schema_name = %s"
        small = [name for (name,) in database.execute(query, (dataset,)) if name in tables]
        found: dict[str, tuple[int | None, bool]] = {}
    else:
        sizes = [row for row in database.execute(SIZES, (dataset,)) if row[0] in tables]
        small = [name for name, rows, size in sizes if size <= (COUNTED_BYTES if rows >= 0 else UNKNOWN_BYTES)]
        found = {name: (rows if rows >= 0 else None, True) for name, rows, _ in sizes}
    if small:
        counted = " UNION ALL ".join(f'SELECT \'{name}\', count(*) FROM "{dataset}"."{name}"' for name in small)
        found |= {name: (rows, False) for name, rows in database.execute(counted)}
    return found


def utc_now() -> datetime:
    """Now, by this machine's clock."""
    return datetime.now(UTC)
