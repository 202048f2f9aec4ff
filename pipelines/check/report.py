"""The findings of a check by table: for the terminal, as JSON, and as rows of `sync_checks`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TextIO

from pipelines.check.compare import Finding
from pipelines.warehouse.database import Database, has_table
from pipelines.warehouse.rights import check_rights, create_missing

KEPT_FINDINGS = 1_000  # findings of each table that `sync_checks` keeps
TABLE = """
CREATE TABLE IF NOT EXISTS {dataset}.sync_checks (
    check_id text, _account_id text, table_name text, started_at timestamptz, ended_at timestamptz,
    window_start timestamptz, window_end timestamptz, is_sample boolean, is_repaired boolean,
    rows_checked bigint, missing bigint, stale bigint, vanished bigint, unlisted bigint, findings {json},
    PRIMARY KEY (check_id, _account_id, table_name))
"""


@dataclass(slots=True)
class CheckReport:
    """The report on the check of one account. `checked` counts rows by table, `unlisted` live rows that no list shows,
    `future` rows whose `_as_of` was in the future because of a wrong clock.

    `incomplete` are resources that could not be read to their end -> the reason, `skipped` those that the account or
    the key lacks.
    """

    check_id: str
    account_id: str
    started_at: datetime
    since: int
    until: int
    is_sample: bool
    is_repaired: bool
    checked: Counter[str] = field(default_factory=Counter)
    unlisted: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    future: Counter[str] = field(default_factory=Counter)
    incomplete: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    requests: int = 0
    ended_at: datetime | None = None

    @property
    def has_drift(self) -> bool:
        """Whether any row was wrong."""
        return bool(self.findings or self.future)

    def count(self, table: str, drift: str) -> int:
        """Findings of one kind in a table."""
        return sum(finding.table == table and finding.drift == drift for finding in self.findings)

    def tables(self) -> list[str]:
        """The names of all tables that were checked, sorted."""
        return sorted({*self.checked, *self.unlisted, *self.future, *(finding.table for finding in self.findings)})

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {
            "check_id": self.check_id,
            "account_id": self.account_id,
            "started_at": self.started_at.isoformat(),
            "ended_at": self.ended_at.isoformat() if self.ended_at else None,
            "window": [self.since, self.until],
            "is_sample": self.is_sample,
            "is_repaired": self.is_repaired,
            "requests": self.requests,
            "tables": {
                name: {
                    "rows_checked": self.checked[name],
                    "unlisted": self.unlisted[name],
                    "future": self.future[name],
                    **{drift: self.count(name, drift) for drift in ("missing", "stale", "vanished")},
                }
                for name in self.tables()
            },
            "findings": [finding.to_json() for finding in self.findings],
            "incomplete": self.incomplete,
            "skipped": self.skipped,
        }

    def prepare(self, database: Database, dataset: str) -> None:
        """Creates `sync_checks` if it is missing, before a long check. Raises `DatabaseProblem` for a missing right."""
        json_type = "jsonb" if database.dialect == "postgres" else "JSON"
        check_rights(database, dataset, [], {"sync_checks": False})
        create_missing(database, dataset, {"sync_checks": TABLE.format(dataset=f'"{dataset}"', json=json_type)})

    def save(self, database: Database, dataset: str) -> None:
        """Writes a row of `sync_checks` for each table."""
        name = f'"{dataset}"'
        with database.transaction():
            for table in self.tables():
                row = self._row(table)
                database.execute(f"INSERT INTO {name}.sync_checks VALUES ({', '.join(['%s'] * len(row))})", row)

    def show(self, file: TextIO) -> None:
        """Prints the tables with drift, and the totals."""
        from rich.console import Console
        from rich.table import Table

        console = Console(file=file, width=None if file.isatty() else 160, highlight=False)
        shown = Table(box=None, pad_edge=False, header_style="bold")
        for heading in ("table", "rows", "missing", "stale", "vanished", "unlisted"):
            shown.add_column(heading, justify="left" if heading == "table" else "right")
        shown.add_column("fields that differ", overflow="fold")
        for name in self.tables():
            found = [self.count(name, drift) for drift in ("missing", "stale", "vanished")]
            if any(found):
                shown.add_row(
                    name, *(f"{n:,}" for n in (self.checked[name], *found, self.unlisted[name])), self._fields(name)
                )
        if self.findings:
            console.print(shown)
        for name, count in self.future.items():
            what = (
                "the current state now overwrites them" if self.is_repaired else "they are left unchanged (--dry-run)"
            )
            console.print(f"{name}: {count:,} rows were dated in the future by a wrong clock; {what}.")
        done = "repaired" if self.is_repaired else "not repaired (--dry-run)"
        counts = {"differ": len(self.findings), "were dated in the future": self.future.total()}
        drift = " and ".join(f"{count:,} rows {how}" for how, count in counts.items() if count)
        verdict = f"{drift}, {done}" if self.has_drift else "no drift"
        console.print(
            f"{self.account_id}: {self.checked.total():,} rows of {len(self.checked)} tables checked, {verdict};"
            f" {self.requests:,} requests."
        )

    def _fields(self, table: str) -> str:
        fields = Counter(field for finding in self.findings if finding.table == table for field in finding.fields)
        return ", ".join(f"{name} ({count})" for name, count in fields.most_common(8))

    def _row(self, table: str) -> Sequence[Any]:
        own = [finding.to_json() for finding in self.findings if finding.table == table][:KEPT_FINDINGS]
        return (
            self.check_id,
            self.account_id,
            table,
            self.started_at,
            self.ended_at,
            datetime.fromtimestamp(self.since, UTC),
            datetime.fromtimestamp(self.until, UTC),
            self.is_sample,
            self.is_repaired,
            self.checked[table],
            self.count(table, "missing"),
            self.count(table, "stale"),
            self.count(table, "vanished"),
            self.unlisted[table],
            json.dumps(own),
        )


LAST = """
SELECT check_id, _account_id, min(started_at), max(ended_at), bool_or(is_sample), bool_or(is_repaired), count(*),
    sum(rows_checked), sum(missing), sum(stale), sum(vanished)
FROM {dataset}.sync_checks WHERE started_at >= %s GROUP BY check_id, _account_id ORDER BY 3 DESC LIMIT %s
"""
LAST_COLUMNS: tuple[str, ...] = ("check_id", "account", "started_at", "ended_at", "is_sample", "is_repaired")
LAST_COLUMNS += ("tables", "rows", "missing", "stale", "vanished")


def last_checks(database: Database, dataset: str, since: datetime, most: int) -> list[dict[str, Any]]:
    """At most `most` checks that began at `since` or later, latest first: what each compared, found and repaired."""
    if not has_table(database, dataset, "sync_checks"):
        return []
    rows = database.execute(LAST.format(dataset=f'"{dataset}"'), (since, most))
    found = [dict(zip(LAST_COLUMNS, row, strict=True)) for row in rows]
    return [{**row, **{name: int(row[name]) for name in LAST_COLUMNS[6:]}} for row in found]
