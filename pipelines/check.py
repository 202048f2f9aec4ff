"""The consistency check: lists everything again, compares it with the tables, and repairs what differs.

What differs is kept until the end and looked at once more, so that what the webhook sink has written meanwhile is no
drift; then it goes through the guarded merge. Rows that no list shows are read once each. Knows no command line.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from pipelines.account import read_account
from pipelines.catch_up import Changed, catch_up
from pipelines.check_report import CheckReport
from pipelines.compare import Finding, differing, drift_of, is_fresh, vanished
from pipelines.events_position import KEPT, MARGIN
from pipelines.parents import StoredParents
from pipelines.read_back import ReadBack, Wanted, read_back
from pipelines.sample import sampled
from pipelines.session import Session
from pipelines.spending import BudgetSpent
from pipelines.stored_rows import Key, StoredRows, key_of
from sources.stripe_api.arrow import arrow_tables, concat
from sources.stripe_api.catalogue import TABLES, Resource
from sources.stripe_api.convert import converter
from sources.stripe_api.errors import RequestRefused, RetryLater, SkipResource
from sources.stripe_api.paging import Chunk, Failed, Finished, fetch
from sources.stripe_api.rows import Stamp, tombstone

SET = "set"
HELD_ROWS = 20_000  # differing rows that are held before they are settled
KEPT_DAYS = frozenset({"events", "v2_core_events"})


@dataclass(frozen=True, slots=True)
class CheckOrder:
    """What to check: objects created in `[since, until)`, unix seconds (`until` None: up to `lag` seconds ago).

    `sample` is about how many objects of each list to look at, None for all.
    """

    resources: Sequence[Resource]
    since: int = 0
    until: int | None = None
    sample: int | None = None
    dry_run: bool = False
    lag: int = 60


@dataclass(slots=True)
class _Suspects:
    """Rows that differ, until they are settled: what Stripe shows of them, and what is wrong."""

    parts: dict[str, list[pa.Table]] = field(default_factory=dict)
    findings: dict[tuple[str, Key], tuple[Finding, datetime]] = field(default_factory=dict)

    def add(self, table: str, rows: pa.Table, findings: Sequence[Finding], as_of: Mapping[Key, datetime]) -> None:
        self.parts.setdefault(table, []).append(rows)
        for one in findings:
            self.findings[table, one.key] = (one, as_of[one.key])


class Check:
    """A check in an open session."""

    def __init__(self, session: Session, order: CheckOrder) -> None:
        self._session, self._order = session, order
        self._stored = StoredRows(session.database, session.settings.dataset, session.account_id, session.columns)
        self._now = session.now if session.now is not None else read_account(session.client, session.settings).now
        self._until = min(order.until or self._now - order.lag, self._now - order.lag)
        self._began = self._stored.now()
        self._suspects = _Suspects()
        self._seen: dict[str, set[Key]] = {}
        self.report = CheckReport(
            uuid.uuid4().hex,
            session.account_id,
            datetime.now(UTC),
            order.since,
            self._until,
            order.sample is not None,
            not order.dry_run,
        )

    def run(self) -> CheckReport:
        """Checks and repairs. Raises what stops a run; what was found so far is in `report` then."""
        try:
            if self._order.sample is not None:
                self._read_samples(self._order.sample)
            else:
                for resources, parents in self._rounds():
                    self._read_lists(resources, parents)
        except BudgetSpent as spent:
            self.report.incomplete["the rest"] = str(spent)
        try:
            self._settle()
        finally:
            self.report.ended_at = datetime.now(UTC)
            self.report.requests = self._session.spending.spent
            self.report.save(self._session.database, self._session.settings.dataset)
        return self.report

    # --- reading -----------------------------------------------------------------------------------------------------

    def _rounds(self) -> Iterator[tuple[list[Resource], StoredParents | None]]:
        """The lists that need no parents, then those that do, whose parents are stored by then."""
        session = self._session
        yield [one for one in self._order.resources if not one.parents], None
        children = [one for one in self._order.resources if one.parents]
        yield children, StoredParents(session.database, session.settings.dataset, session.account_id, None)

    def _read_lists(self, resources: Sequence[Resource], parents: StoredParents | None) -> None:
        if not resources:
            return
        session, by_name = self._session, {one.name: one for one in resources}
        fetching = fetch(
            session.client,
            resources,
            convert=converter(session.account_id, session.columns, session.tally),
            since=self._order.since,
            until=self._until,
            parents=parents,
            workers=session.settings.workers,
            requests_budget=session.spending.left,
        )
        open_ones = set(by_name)
        with fetching as deliveries:
            for one in deliveries:
                if isinstance(one, Chunk):
                    self._compare(by_name[one.resource], one.tables)
                    continue
                open_ones.discard(one.resource)
                if isinstance(one, Failed):
                    kind = self.report.skipped if isinstance(one.error, SkipResource) else self.report.incomplete
                    kind[one.resource] = str(one.error)
                elif isinstance(one, Finished):
                    self._look_for_unlisted(by_name[one.resource], self._order.since, self._until)
        for name in open_ones:
            self.report.incomplete[name] = "the budget of requests was spent"

    def _read_samples(self, size: int) -> None:
        session = self._session
        convert = converter(session.account_id, session.columns, session.tally)
        whole = [one for one in self._order.resources if one.created == "none" and not one.parents]
        self._read_lists(whole, None)
        for resource in self._order.resources:
            if resource.created == "none" or resource.parents:
                continue
            try:
                for part in sampled(session.client, resource, self._stored, size, self._order.since, self._until):
                    self._compare(resource, convert(resource, [part.listing]))
                    if len(resource.passes) == 1:
                        self._look_for_unlisted(resource, part.since, part.until)
            except (SkipResource, RequestRefused, RetryLater) as error:
                kind = self.report.skipped if isinstance(error, SkipResource) else self.report.incomplete
                kind[resource.name] = str(error)

    # --- comparing ---------------------------------------------------------------------------------------------------

    def _compare(self, resource: Resource, tables: Mapping[str, pa.Table]) -> None:
        for name, table in tables.items():
            rows = table.to_pylist()
            listed = {key_of(name, row): row for row in rows if row["_source"] != SET}
            if name == resource.table:
                self._seen.setdefault(name, set()).update(listed)
            self.report.checked[name] += len(listed)
            stored = self._stored.by_key(name, list(listed)) if self._stored.is_there(name) else {}
            findings = [
                one
                for key, row in listed.items()
                if (one := drift_of(name, row, stored.get(key), self._began, self._session.columns)) is not None
            ]
            as_of = {one.key: listed[one.key]["_as_of"] for one in findings}
            wrong = {one.key for one in findings}
            keep = [row["_source"] != SET and key_of(name, row) in wrong for row in rows]
            lost, parents = self._lost_children(name, rows, as_of)
            if parents:
                keep = [one or row.get("_parent_id") in parents for one, row in zip(keep, rows, strict=True)]
            if findings or lost:
                self._suspects.add(name, table.filter(pa.array(keep)), [*findings, *lost], as_of)
        if sum(part.num_rows for parts in self._suspects.parts.values() for part in parts) > HELD_ROWS:
            self._settle()

    def _lost_children(
        self, table: str, rows: Sequence[Mapping[str, Any]], as_of: dict[Key, datetime]
    ) -> tuple[list[Finding], set[str]]:
        """Stored children that their parent's whole list does not have, and those parents."""
        markers = {row["_parent_id"]: row["_as_of"] for row in rows if row["_source"] == SET}
        if not markers or not self._stored.is_there(table):
            return [], set()
        listed: dict[str, list[Key]] = {}
        for row in rows:
            if row["_source"] != SET and row.get("_parent_id") in markers:
                listed.setdefault(row["_parent_id"], []).append(key_of(table, row))
        stored: dict[str, list[Any]] = {}
        for row in self._stored.children(table, list(markers)):
            stored.setdefault(row["_parent_id"], []).append(row)
        lost: list[Finding] = []
        parents: set[str] = set()
        for parent, children in stored.items():
            found = vanished(table, listed.get(parent, ()), children, markers[parent], self._began)
            as_of |= {one.key: markers[parent] for one in found}
            lost += found
            parents |= {parent} if found else set()
        return lost, parents

    def _look_for_unlisted(self, resource: Resource, since: int, until: int) -> None:
        """Live rows of a list's table that the list, read to its end, does not show: each is read once."""
        table = TABLES[resource.table]
        is_cut = resource.created != "none" and resource.created_field is None and since > 0
        if resource.kind != "root" or is_cut or not self._stored.is_there(table.name):
            return
        where, parameters = self._within(resource, since, until)
        seen = self._seen.get(table.name, set())
        unlisted = [
            Wanted(table.name, key, None, None, self._now)
            for key in self._stored.live_keys(table.name, where, parameters)
            if key not in seen and key != (self._session.account_id,)
        ]
        workers = self._session.settings.workers
        for batch in read_back(self._session.client, unlisted, self._session.account_id, workers=workers):
            for one in batch:
                self._judge(one)

    def _within(self, resource: Resource, since: int, until: int) -> tuple[str, list[Any]]:
        """The condition for rows that the list should show: made in the window, stored before the check began."""
        where, parameters = "_synced_at < %s", [self._began]
        if TABLES[resource.table].parent is not None:
            where += " AND _parent_id IS NULL"
        if resource.name in KEPT_DAYS:
            since = max(since, self._now - KEPT + MARGIN)
        if resource.created_field is not None:
            field = f'"{resource.created_field}"'
            where += f" AND {field} >= %s AND {field} < %s"
            parameters += [datetime.fromtimestamp(since, UTC), datetime.fromtimestamp(until, UTC)]
        return where, parameters

    def _judge(self, one: ReadBack) -> None:
        """A row that no list shows: deleted in Stripe, or alive and perhaps stale."""
        session, table, key = self._session, one.wanted.table, one.wanted.key
        stamp = Stamp(session.account_id, self._now, "retrieve")
        rows = one.rows
        drift: Finding | None = None
        if one.fate == "gone":
            drift = Finding(table, key, "vanished")
        elif one.fate == "unreadable" and TABLES[table].retrieve is None:
            rows, drift = {table: [tombstone(table, key[0], stamp)]}, Finding(table, key, "vanished")
        elif one.fate == "read":
            self.report.unlisted[table] += 1
            read = arrow_tables(rows, session.columns)[table].to_pylist()[0]
            stored = self._stored.by_key(table, [key]).get(key)
            if stored is not None and (fields := differing(table, read, stored, session.columns)):
                drift = Finding(table, key, "stale", fields)
        else:
            self.report.unlisted[table] += 1
        if drift is not None:
            arrow = arrow_tables(rows, session.columns, tally=session.tally)
            for name, part in arrow.items():
                as_of = {key: part["_as_of"][0].as_py()}
                self._suspects.add(name, part, [drift] if name == table else [], as_of)

    # --- settling ----------------------------------------------------------------------------------------------------

    def _settle(self) -> None:
        """Looks once more at what differs, then reports and repairs what still does."""
        suspects, self._suspects = self._suspects, _Suspects()
        if not suspects.findings:
            return
        try:
            changed = catch_up(self._session, dry_run=self._order.dry_run)
        except BudgetSpent:
            changed = Changed()
        by_table: dict[str, list[Key]] = {}
        for table, key in suspects.findings:
            by_table.setdefault(table, []).append(key)
        confirmed: list[Finding] = []
        for table, keys in by_table.items():
            stored = self._stored.by_key(table, keys) if self._stored.is_there(table) else {}
            for key in keys:
                row, (finding, as_of) = stored.get(key), suspects.findings[table, key]
                parent = row.get("_parent_id") if row is not None else None
                is_new = row is not None and is_fresh(row, as_of, self._began)
                if not is_new and not changed.explains(table, key, parent):
                    confirmed.append(finding)
        self.report.findings += confirmed
        if confirmed and not self._order.dry_run:
            self._session.store({name: concat(parts) for name, parts in suspects.parts.items()})
