"""`sync_runs` and `sync_status`: what ran, and how far each resource has come. Progress is saved after its data.

The tables lie in the dataset itself, so that a question about freshness is one more SQL query. Knows no Stripe:
progress is opaque JSON here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from pipelines.warehouse.database import Database
from pipelines.warehouse.rights import create_missing
from sources.columns.conversion_counts import Rejected

Status = Literal["queued", "running", "complete", "error", "skipped"]

TABLES = {
    "sync_runs": """
CREATE TABLE IF NOT EXISTS {dataset}.sync_runs (
    run_id text PRIMARY KEY, command text, started_at timestamptz, ended_at timestamptz, status text,
    rows bigint, requests bigint, error text)
""",
    "sync_status": """
CREATE TABLE IF NOT EXISTS {dataset}.sync_status (
    resource text, _account_id text, status text, window_start timestamptz, window_end timestamptz,
    rows bigint, requests bigint, seconds double precision, error text, request_id text,
    run_id text, updated_at timestamptz, progress {json}, PRIMARY KEY (resource, _account_id))
""",
}

RUN_COLUMNS = ("run_id", "command", "started_at", "ended_at", "status", "rows", "requests", "error")
STATUS_COLUMNS = (
    "resource",
    "_account_id",
    "status",
    "window_start",
    "window_end",
    "rows",
    "requests",
    "seconds",
    "error",
    "request_id",
    "run_id",
    "updated_at",
    "progress",
)


REJECTED = """
CREATE TABLE IF NOT EXISTS {dataset}.sync_rejected (
    _account_id text, table_name text, object_id text, resource text, reason text, run_id text, seen_at timestamptz,
    PRIMARY KEY (_account_id, table_name, object_id, reason))
"""
"""Objects that a run could not store and left out, which is made where there are any. `seen_at`: when last."""
REJECTED_COLUMNS = ("_account_id", "table_name", "object_id", "resource", "reason", "run_id", "seen_at")
REJECTED_KEY = ("_account_id", "table_name", "object_id", "reason")


OWN_TABLES = {"sync_runs": False, "sync_status": True, "sync_rejected": False}
"""The tables that every run writes, and whether it deletes rows from them: for `check_rights`."""


@dataclass(frozen=True, slots=True)
class ResourceStatus:
    """A row of `sync_status`. `rows`, `requests`, `seconds`: of its last run; the window is [start, end)."""

    resource: str
    status: Status
    progress: Mapping[str, Any]
    window_start: datetime | None = None
    window_end: datetime | None = None
    rows: int = 0
    requests: int = 0
    seconds: float = 0.0
    error: str | None = None
    request_id: str | None = None


class State:
    """Reads and writes both tables for one account. One instance, one run."""

    def __init__(self, database: Database, dataset: str, account_id: str, run_id: str, command: str) -> None:
        self._database = database
        self._dataset = f'"{dataset}"'
        self._account_id = account_id
        self._run: dict[str, Any] = dict.fromkeys(RUN_COLUMNS)
        self._run |= {"run_id": run_id, "command": command, "started_at": datetime.now(UTC), "status": "running"}

    def create(self) -> None:
        """Makes the schema and both tables where they are missing. Raises `DatabaseProblem` for rights that lack."""
        json_type = "jsonb" if self._database.dialect == "postgres" else "JSON"
        statements = {name: text.format(dataset=self._dataset, json=json_type) for name, text in TABLES.items()}
        create_missing(self._database, self._dataset.strip('"'), statements)

    def read_progress(self) -> dict[str, Any]:
        """resource -> progress as it was saved, for the resources of this account that have any."""
        rows = self._database.execute(
            f"SELECT resource, progress FROM {self._dataset}.sync_status WHERE _account_id = %s", (self._account_id,)
        )
        return {name: json.loads(saved) if isinstance(saved, str) else saved for name, saved in rows if saved}

    def save(
        self, statuses: Iterable[ResourceStatus], *, rows: int, requests: int, rejected: Sequence[Rejected] = ()
    ) -> None:
        """One transaction: the state of some resources, the run's totals so far, and the objects that it left out."""
        self._run |= {"rows": rows, "requests": requests}
        if rejected:
            create_missing(
                self._database,
                self._dataset.strip('"'),
                {"sync_rejected": REJECTED.format(dataset=self._dataset)},
            )
        with self._database.transaction():
            for status in statuses:
                self._upsert("sync_status", STATUS_COLUMNS, ("resource", "_account_id"), self._row(status))
            self._upsert("sync_runs", RUN_COLUMNS, ("run_id",), tuple(self._run.values()))
            for one in rejected:
                values = (self._account_id, one.table, one.id, one.resource, one.why, self._run["run_id"])
                self._upsert("sync_rejected", REJECTED_COLUMNS, REJECTED_KEY, (*values, datetime.now(UTC)))

    def end(self, status: str, error: str | None, *, rows: int, requests: int) -> None:
        """The last word on the run: `complete`, `partial`, `error` or `interrupted`."""
        self._run |= {"status": status, "error": error, "ended_at": datetime.now(UTC)}
        self.save([], rows=rows, requests=requests)

    def close_abandoned(self) -> int:
        """Runs that never ended were killed, where this one holds the lock of the dataset. Returns how many.

        One that is alive all the same, a single object's or a part's, says so again when it ends.
        """
        rows = self._database.execute(
            f"UPDATE {self._dataset}.sync_runs SET status = 'killed', ended_at = %s"
            " WHERE status = 'running' AND run_id <> %s RETURNING run_id",
            (datetime.now(UTC), self._run["run_id"]),
        )
        return len(rows)

    def _row(self, status: ResourceStatus) -> tuple[Any, ...]:
        return (
            status.resource,
            self._account_id,
            status.status,
            status.window_start,
            status.window_end,
            status.rows,
            status.requests,
            status.seconds,
            status.error,
            status.request_id,
            self._run["run_id"],
            datetime.now(UTC),
            json.dumps(status.progress),
        )

    def _upsert(self, table: str, columns: Sequence[str], key: Sequence[str], values: Sequence[Any]) -> None:
        assignments = ", ".join(f"{name} = excluded.{name}" for name in columns if name not in key)
        self._database.execute(
            f"INSERT INTO {self._dataset}.{table} ({', '.join(columns)}) VALUES ({', '.join(['%s'] * len(columns))})"
            f" ON CONFLICT ({', '.join(key)}) DO UPDATE SET {assignments}",
            values,
        )
