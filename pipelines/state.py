"""The tables `sync_*`: what ran, how far each resource and each account has come, and what was left out.

Only this module reads and writes them. They are in the dataset itself, so that freshness is one more SQL query.
Progress is saved after its data. Knows no provider: progress and positions are opaque JSON here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any

from pipelines.warehouse.database import Database, has_column, has_table
from pipelines.warehouse.rights import create_missing
from sources.columns.conversion_counts import Rejected
from sources.fetch.values import ResourceStatus, Status

STATEMENTS = {
    "sync_runs": """
CREATE TABLE IF NOT EXISTS {dataset}.sync_runs (
    run_id text PRIMARY KEY, command text, started_at timestamptz, ended_at timestamptz, status text,
    rows bigint, requests bigint, error text, asked {json})
""",
    "sync_status": """
CREATE TABLE IF NOT EXISTS {dataset}.sync_status (
    resource text, _account_id text, status text, window_start timestamptz, window_end timestamptz,
    rows bigint, requests bigint, seconds double precision, error text, request_id text,
    run_id text, updated_at timestamptz, progress {json}, PRIMARY KEY (resource, _account_id))
""",
    "sync_accounts": """
CREATE TABLE IF NOT EXISTS {dataset}.sync_accounts (
    _account_id text PRIMARY KEY, livemode boolean, key_digest text,
    events_status text, events_position {json}, events_error text, resync_since timestamptz, full_refresh text,
    updated_at timestamptz)
""",
}

RUN_COLUMNS = ("run_id", "command", "started_at", "ended_at", "status", "rows", "requests", "error", "asked")
"""`asked` are the options of the run as JSON: names of resources, bounds, ids."""
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
"""Objects that runs could not store and left out. The table is created with the first one. `seen_at` is the last
time."""
REJECTED_COLUMNS = ("_account_id", "table_name", "object_id", "resource", "reason", "run_id", "seen_at")
REJECTED_KEY = ("_account_id", "table_name", "object_id", "reason")


OWN_TABLES = {"sync_runs": False, "sync_status": False, "sync_accounts": False, "sync_rejected": False}
"""The tables that every run writes -> whether it deletes rows from them; for `check_rights`."""


@dataclass(frozen=True, slots=True)
class AccountState:
    """A row of `sync_accounts`: the state of an account as a whole.

    `key_digest` identifies its key, and is None if the settings name the account. `livemode` is the mode in which its
    objects were read. `events_position` is how far its events have been applied, None if they never were;
    `events_status` is `skipped` if the key may not read them. `resync_since` is set while every list is read again.
    `full_refresh` is the name of the last full refresh that a scheduler requested.
    """

    livemode: bool | None = None
    key_digest: str | None = None
    events_status: Status | None = None
    events_position: Mapping[str, Any] | None = None
    events_error: str | None = None
    resync_since: datetime | None = None
    full_refresh: str | None = None


ACCOUNT_COLUMNS = tuple(each.name for each in fields(AccountState))

MOST_AT_ONCE = 1_000
"""The most rows in one statement: Postgres allows 65,535 parameters."""


class State:
    """Reads and writes the tables for one account and one run; `asked` are the run's options."""

    def __init__(
        self,
        database: Database,
        dataset: str,
        account_id: str,
        run_id: str,
        command: str,
        asked: Mapping[str, Any] | None = None,
    ) -> None:
        self._database = database
        self._dataset = f'"{dataset}"'
        self._account_id = account_id
        self._run: dict[str, Any] = dict.fromkeys(RUN_COLUMNS)
        self._run |= {"run_id": run_id, "command": command, "started_at": datetime.now(UTC), "status": "running"}
        self._run["asked"] = json.dumps(asked) if asked else None

    @property
    def run_id(self) -> str:
        """The run's key in `sync_runs`."""
        return str(self._run["run_id"])

    def create(self, *, with_all: bool = False) -> None:
        """Creates the schema and the tables that are missing. Raises `DatabaseProblem` for missing rights.

        `with_all`: also the table of rejected objects, which is otherwise created with the first one.
        """
        json_type = "jsonb" if self._database.dialect == "postgres" else "JSON"
        dataset = self._dataset.strip('"')
        create_missing(self._database, dataset, self.relations(with_all=with_all))
        for table, column, kind in (("sync_runs", "asked", json_type), ("sync_accounts", "full_refresh", "text")):
            if not has_column(self._database, dataset, table, column):  # an older version created the table
                self._database.execute(f"ALTER TABLE {self._dataset}.{table} ADD COLUMN IF NOT EXISTS {column} {kind}")

    def relations(self, *, with_all: bool = False) -> dict[str, str]:
        """The tables by name -> the statement that creates it; see `create`."""
        json_type = "jsonb" if self._database.dialect == "postgres" else "JSON"
        texts = {**STATEMENTS, **({"sync_rejected": REJECTED} if with_all else {})}
        return {name: text.format(dataset=self._dataset, json=json_type) for name, text in texts.items()}

    def read_resources(self) -> dict[str, ResourceStatus]:
        """The statuses of this account's resources, by name."""
        columns = [each.name for each in fields(ResourceStatus) if each.name != "share"]
        rows = self._database.execute(
            f"SELECT {', '.join(columns)} FROM {self._dataset}.sync_status WHERE _account_id = %s", (self._account_id,)
        )
        found = (dict(zip(columns, row, strict=True)) for row in rows)
        return {row["resource"]: ResourceStatus(**{**row, "progress": _json(row["progress"]) or {}}) for row in found}

    def read_account(self) -> AccountState:
        """The state of this account; an empty one if it has no row."""
        rows = self._database.execute(
            f"SELECT {', '.join(ACCOUNT_COLUMNS)} FROM {self._dataset}.sync_accounts WHERE _account_id = %s",
            (self._account_id,),
        )
        if not rows:
            return AccountState()
        found = dict(zip(ACCOUNT_COLUMNS, rows[0], strict=True))
        return AccountState(**{**found, "events_position": _json(found["events_position"])})

    def save_progress(self, resource: str, progress: Mapping[str, Any]) -> None:
        """Replaces the progress in a resource's row, if there is such a row, and nothing else."""
        self._database.execute(
            f"UPDATE {self._dataset}.sync_status SET progress = %s WHERE resource = %s AND _account_id = %s",
            (json.dumps(progress), resource, self._account_id),
        )

    def save(
        self,
        statuses: Iterable[ResourceStatus],
        *,
        rows: int,
        requests: int,
        rejected: Sequence[Rejected] = (),
        account: Mapping[str, Any] | None = None,
    ) -> None:
        """Saves the statuses of some resources, the run's totals so far, and the objects that it left out, in one
        transaction.

        `account` are new values of fields of the `AccountState`.
        """
        self._run |= {"rows": rows, "requests": requests}
        if rejected:
            create_missing(
                self._database,
                self._dataset.strip('"'),
                {"sync_rejected": REJECTED.format(dataset=self._dataset)},
            )
        with self._database.transaction():
            rows_of_statuses = [self._row(status) for status in statuses]
            self._upsert("sync_status", STATUS_COLUMNS, ("resource", "_account_id"), rows_of_statuses)
            if account:
                told = {**account, "updated_at": datetime.now(UTC)}
                if told.get("events_position") is not None:
                    told["events_position"] = json.dumps(told["events_position"])
                columns = ("_account_id", *told)
                self._upsert("sync_accounts", columns, ("_account_id",), [(self._account_id, *told.values())])
            self._upsert("sync_runs", RUN_COLUMNS, ("run_id",), [tuple(self._run.values())])
            told_of_rejected = [
                (
                    self._account_id,
                    entry.table,
                    entry.id,
                    entry.resource,
                    entry.why,
                    self._run["run_id"],
                    datetime.now(UTC),
                )
                for entry in rejected
            ]
            self._upsert("sync_rejected", REJECTED_COLUMNS, REJECTED_KEY, told_of_rejected)

    def end(self, status: str, error: str | None, *, rows: int, requests: int) -> None:
        """Saves the run's final status: `complete`, `partial`, `error` or `interrupted`."""
        self._run |= {"status": status, "error": error, "ended_at": datetime.now(UTC)}
        self.save([], rows=rows, requests=requests)

    def close_abandoned(self) -> int:
        """Marks runs that never ended as killed; the caller must hold the lock of the dataset. Returns how many.

        A run that is still active, of a single object or a part, corrects its status when it ends.
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

    def _upsert(self, table: str, columns: Sequence[str], key: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Writes rows of a table, many in one statement. If several have the same key, the last one counts."""
        places = [columns.index(name) for name in key]
        newest = list({tuple(row[place] for place in places): row for row in rows}.values())
        assignments = ", ".join(f"{name} = excluded.{name}" for name in columns if name not in key)
        placeholders = f"({', '.join(['%s'] * len(columns))})"
        for start in range(0, len(newest), MOST_AT_ONCE):
            together = newest[start : start + MOST_AT_ONCE]
            values = ", ".join([placeholders] * len(together))
            self._database.execute(
                f"INSERT INTO {self._dataset}.{table} ({', '.join(columns)}) VALUES {values}"
                f" ON CONFLICT ({', '.join(key)}) DO UPDATE SET {assignments}",
                [value for row in together for value in row],
            )


def account_of_key(database: Database, dataset: str, digest: str) -> str | None:
    """The account that a key with this digest has loaded before; None if it has not."""
    if not has_table(database, dataset, "sync_accounts"):
        return None
    rows = database.execute(f'SELECT _account_id FROM "{dataset}".sync_accounts WHERE key_digest = %s', (digest,))
    return str(rows[0][0]) if rows else None


def modes_of_accounts(database: Database, dataset: str) -> dict[str, bool | None]:
    """The accounts of the dataset -> whether their objects were read in live mode; empty if nothing was loaded."""
    if not has_table(database, dataset, "sync_accounts"):
        return {}
    rows = database.execute(f'SELECT _account_id, livemode FROM "{dataset}".sync_accounts')
    return {str(account): livemode for account, livemode in rows}


OVERVIEW = {
    "runs": ("sync_runs WHERE started_at IS NOT NULL", RUN_COLUMNS, "started_at DESC LIMIT 50"),
    "resources": (
        "sync_status",
        tuple(name for name in STATUS_COLUMNS if name not in ("request_id", "progress")),
        "resource, _account_id",
    ),
    "accounts": (
        "sync_accounts",
        ("_account_id", "livemode", "events_status", "events_error", "resync_since", "updated_at", "events_position"),
        "_account_id",
    ),
}
"""The parts of an overview: table, columns, and order of rows. Runs without `started_at` are excluded, as in the
index."""


def overview(dataset: str) -> dict[str, str]:
    """The queries for the last runs and the statuses of all resources and accounts, by name."""
    return {
        what: f'SELECT {", ".join(columns)} FROM "{dataset}".{table} ORDER BY {order}'
        for what, (table, columns, order) in OVERVIEW.items()
    }


def read_overview(database: Database, dataset: str) -> dict[str, list[dict[str, Any]]]:
    """The last runs, and the statuses of all resources and accounts; empty lists if nothing was ever loaded."""
    found: dict[str, list[dict[str, Any]]] = {what: [] for what in OVERVIEW}
    if not has_table(database, dataset, "sync_runs"):
        return found
    for what, query in overview(dataset).items():
        columns = OVERVIEW[what][1]
        found[what] = [dict(zip(columns, row, strict=True)) for row in database.execute(query)]
    for account in found["accounts"]:
        account["events_position"] = _json(account["events_position"])
    return found


def requests_since(database: Database, dataset: str, moment: datetime) -> int:
    """The requests that all runs which began at `moment` or later have sent."""
    query = f'SELECT coalesce(sum(requests), 0) FROM "{dataset}".sync_runs WHERE started_at >= %s'
    return int(database.execute(query, (moment,))[0][0])


def left_out_objects(database: Database, dataset: str, most: int) -> list[dict[str, Any]]:
    """At most `most` objects that runs could not store, latest first."""
    if not has_table(database, dataset, "sync_rejected"):
        return []
    rows = database.execute(
        f'SELECT {", ".join(REJECTED_COLUMNS)} FROM "{dataset}".sync_rejected ORDER BY seen_at DESC LIMIT %s', (most,)
    )
    return [dict(zip(REJECTED_COLUMNS, row, strict=True)) for row in rows]


def runs_of(dataset: str) -> str:
    """The query for a run and the runs that it began, whose ids are the run's id, "-" and more. It takes the id three
    times.

    In the collation "C", which the index has, these ids lie between the id with "-" and the id with ".", the next
    character.
    """
    return (
        f'SELECT {", ".join(RUN_COLUMNS)} FROM "{dataset}".sync_runs WHERE run_id = %s'
        """ OR (run_id COLLATE "C" >= %s || '-' AND run_id COLLATE "C" < %s || '.') ORDER BY started_at, run_id"""
    )


def _json(saved: Any) -> Any:
    """A JSON value; DuckDB returns it as text."""
    return json.loads(saved) if isinstance(saved, str) else saved
