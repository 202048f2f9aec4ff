"""Rows that differ from the listed ones: kept until the end of a check, compared again, and repaired.

Rows that the webhook sink wrote meanwhile, and changes in events that no sync has applied yet, are no drift.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa

from pipelines.check.catch_up import Changed, catch_up
from pipelines.check.compare import Finding, drift_of, is_fresh, vanished
from pipelines.loading.session import Session
from pipelines.warehouse.stored_rows import StoredRows, row_key
from sources.columns.arrow import concat
from sources.fetch.limiter import BudgetSpent
from sources.rows import Key

SET = "set"


class DriftCandidates:
    """The candidates of one check, which `began` at this time of the database's clock."""

    def __init__(self, session: Session, stored: StoredRows, began: datetime) -> None:
        self._session, self._stored, self._began = session, stored, began
        self._clear()

    def _clear(self) -> None:
        self._parts: dict[str, list[pa.Table]] = {}
        self._findings: dict[tuple[str, Key], tuple[Finding, datetime]] = {}
        self.rows = 0

    def note(self, table: str, rows: pa.Table, findings: Sequence[Finding], as_of: Mapping[Key, datetime]) -> None:
        """Adds listed rows with their `_as_of`, and the findings about the stored ones."""
        self._parts.setdefault(table, []).append(rows)
        self.rows += rows.num_rows
        for finding in findings:
            self._findings[table, finding.key] = (finding, as_of[finding.key])

    def compare(self, name: str, table: pa.Table) -> list[Key]:
        """Compares listed rows with stored ones, and keeps those that differ. Returns the keys of the listed rows."""
        rows, known = table.to_pylist(), self._session.catalogue.tables[name]
        listed = {row_key(known, row): row for row in rows if row["_source"] != SET}
        stored = self._stored.by_key(name, list(listed)) if self._stored.is_there(name) else {}
        findings = [
            finding
            for key, row in listed.items()
            if (finding := drift_of(name, row, stored.get(key), self._began, self._session.columns)) is not None
        ]
        as_of = {finding.key: listed[finding.key]["_as_of"] for finding in findings}
        wrong = {finding.key for finding in findings}
        lost, parents = self._lost_children(name, rows, as_of)
        if findings or lost:
            # A set of children is repaired as a whole, because its set marker deletes the children that are missing.
            keep = [
                (row["_source"] != SET and row_key(known, row) in wrong) or row.get("_parent_id") in parents
                for row in rows
            ]
            self.note(name, table.filter(pa.array(keep)), [*findings, *lost], as_of)
        return list(listed)

    def settle(self, *, dry_run: bool) -> list[Finding]:
        """Compares the candidates again, repairs those that still differ, and returns the findings about them. Clears
        the candidates.
        """
        parts, findings = self._parts, self._findings
        self._clear()
        if not findings:
            return []
        try:
            changed = catch_up(self._session, dry_run=dry_run)
        except BudgetSpent:
            changed = Changed(self._session.catalogue)
        by_table: dict[str, list[Key]] = {}
        for table, key in findings:
            by_table.setdefault(table, []).append(key)
        confirmed: list[Finding] = []
        for table, keys in by_table.items():
            stored = self._stored.by_key(table, keys) if self._stored.is_there(table) else {}
            for key in keys:
                row, (finding, as_of) = stored.get(key), findings[table, key]
                parent = row.get("_parent_id") if row is not None else None
                is_new = row is not None and is_fresh(row, as_of, self._began)
                if not is_new and not changed.explains(table, key, parent):
                    confirmed.append(finding)
        if confirmed and not dry_run:
            self._session.store({name: concat(some) for name, some in parts.items()})
        return confirmed

    def _lost_children(
        self, table: str, rows: Sequence[Mapping[str, Any]], as_of: dict[Key, datetime]
    ) -> tuple[list[Finding], set[str]]:
        """Stored children that their parent's complete list does not show, and the ids of these parents."""
        markers = {row["_parent_id"]: row["_as_of"] for row in rows if row["_source"] == SET}
        if not markers or not self._stored.is_there(table):
            return [], set()
        known = self._session.catalogue.tables[table]
        listed: dict[str, list[Key]] = {}
        for row in rows:
            if row["_source"] != SET and row.get("_parent_id") in markers:
                listed.setdefault(row["_parent_id"], []).append(row_key(known, row))
        stored: dict[str, list[Any]] = {}
        for row in self._stored.children(table, list(markers)):
            stored.setdefault(row["_parent_id"], []).append(row)
        lost: list[Finding] = []
        parents: set[str] = set()
        for parent, children in stored.items():
            found = vanished(known, listed.get(parent, ()), children, markers[parent], self._began)
            as_of |= {finding.key: markers[parent] for finding in found}
            lost += found
            parents |= {parent} if found else set()
        return lost, parents
