"""The consistency check: lists everything again, compares it with the tables, and repairs the rows that differ.

Differing rows are kept until the end and compared again, so that rows that the webhook sink has written meanwhile do
not count as drift; the rest goes through the guarded merge. Rows that no list shows are retrieved, once each. Knows no
command line.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa

from pipelines.check.drift_candidates import DriftCandidates
from pipelines.check.report import CheckReport
from pipelines.check.unlisted import Unlisted, other_lists
from pipelines.loading.parents import StoredParents
from pipelines.loading.session import Session
from pipelines.sync.future_rows import future_rows
from pipelines.terminal.process import raise_if_interrupted
from pipelines.warehouse.stored_rows import StoredRows
from sources.catalogue import Resource
from sources.columns.conversion_counts import Rejected, left_out
from sources.errors import RequestRefused, RetryLater, SkipResource
from sources.fetch.fetch import Chunk, Failed, Finished
from sources.fetch.limiter import BudgetSpent
from sources.fetch.pager import Listing
from sources.fetch.window_pager import created_of
from sources.rows import Key


@dataclass(frozen=True, slots=True)
class Sampled:
    """A page, and the window `[since, until)` of `created` whose objects it shows completely."""

    listing: Listing
    since: int
    until: int


def sampled(
    session: Session, resource: Resource, stored: StoredRows, size: int, since: int, until: int
) -> Iterator[Sampled]:
    """Pages with about `size` objects in all, created in `[since, until)`; the whole list if it fits on one page."""
    limit = resource.limit or 100
    field = resource.created_field
    if field is None or not resource.newest_first or not stored.is_there(resource.table) or len(resource.passes) > 1:
        seconds = [until - 1]
    else:
        seconds = stored.random_seconds(resource.table, field, -(-size // limit)) or [until - 1]
    for second in seconds:
        for chosen in resource.passes:
            top = min(second + 1, until)
            if top <= since:
                continue
            page = session.provider.newest_page(session.client, resource, chosen, since, top)
            last = created_of(page.objects[-1], resource) if page.objects else None
            bottom = since if not page.has_more else last + 1 if last is not None else top
            yield Sampled(Listing(page.objects, page.as_of), min(bottom, top), top)


HELD_ROWS = 20_000  # differing rows that are kept before they are compared again


@dataclass(frozen=True, slots=True)
class CheckOrder:
    """What to check: objects created in `[since, until)`, unix seconds (`until` None: up to `lag` seconds ago).

    `sample` is about how many objects of each list to compare, None for all.
    """

    resources: Sequence[Resource]
    since: int = 0
    until: int | None = None
    sample: int | None = None
    dry_run: bool = False
    lag: int = 60


class Check:
    """A check in an open session."""

    def __init__(self, session: Session, order: CheckOrder) -> None:
        self._session, self._order = session, order
        self._stored = StoredRows(session.database, session.settings.dataset, session.account_id, session.columns)
        self._now = session.clock()
        self._until = min(order.until or self._now - order.lag, self._now - order.lag)
        self._began = self._stored.now()
        self._whole: set[str] = set()  # names of lists that were read completely up to `until`
        self._candidates = DriftCandidates(session, self._stored, self._began)
        self._unlisted = Unlisted(session, self._stored, self._began, self._now)
        self._seen: dict[str, set[Key]] = {resource.table: set() for resource in order.resources}
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
        """Checks and repairs. Raises errors that stop a run; `report` then has what was found so far."""
        self.report.prepare(self._session.database, self._session.settings.dataset)
        self.report.future = future_rows(self._session, self._now, dry_run=self._order.dry_run)
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
            self._note_left_out()
        finally:
            self.report.ended_at = datetime.now(UTC)
            self.report.requests = self._session.spending.spent
            self.report.save(self._session.database, self._session.settings.dataset)
        return self.report

    # --- reading -----------------------------------------------------------------------------------------------------

    def _rounds(self) -> Iterator[tuple[list[Resource], StoredParents | None]]:
        """The lists without parents first, then those with parents, which are stored by then."""
        session = self._session
        yield [resource for resource in self._order.resources if not resource.parents], None
        children = [resource for resource in self._order.resources if resource.parents]
        tables = session.catalogue.tables
        yield children, StoredParents(session.database, session.settings.dataset, session.account_id, tables, None)

    def _read_lists(self, resources: Sequence[Resource], parents: StoredParents | None) -> None:
        if not resources:
            return
        session, by_name = self._session, {resource.name: resource for resource in resources}
        fetching = session.provider.fetch(
            session.client,
            resources,
            convert=session.provider.converter(session.account_id, session.columns, session.counts),
            since=self._order.since,
            until=self._until,
            parents=parents,
            workers=session.settings.workers,
            requests_budget=session.spending.left,
        )
        open_ones, finished = set(by_name), list[Resource]()
        with fetching as deliveries:
            for delivery in deliveries:
                raise_if_interrupted()
                if isinstance(delivery, Chunk):
                    self._compare(delivery.tables)
                    continue
                open_ones.discard(delivery.resource)
                if isinstance(delivery, Failed):
                    kind = self.report.skipped if isinstance(delivery.error, SkipResource) else self.report.incomplete
                    kind[delivery.resource] = str(delivery.error)
                elif isinstance(delivery, Finished):
                    finished.append(by_name[delivery.resource])
        for name in open_ones:
            self.report.incomplete[name] = "the request budget is spent"
        if not self._order.since:
            self._whole |= {resource.name for resource in finished}
        for each in finished:  # now that all lists of its table have been read
            self._look_for_unlisted(each, self._order.since, self._until)

    def _read_samples(self, size: int) -> None:
        session = self._session
        convert = session.provider.converter(session.account_id, session.columns, session.counts)
        whole = [resource for resource in self._order.resources if resource.created == "none" and not resource.parents]
        self._read_lists(whole, None)
        for resource in self._order.resources:
            if resource.created == "none" or resource.parents:
                continue
            try:
                for part in sampled(session, resource, self._stored, size, self._order.since, self._until):
                    tables, _ = convert(resource, [part.listing])
                    self._compare(tables)
                    if len(resource.passes) == 1:
                        self._look_for_unlisted(resource, part.since, part.until)
            except (SkipResource, RequestRefused, RetryLater) as error:
                kind = self.report.skipped if isinstance(error, SkipResource) else self.report.incomplete
                kind[resource.name] = str(error)

    def _note_left_out(self) -> None:
        """Reports the objects that could not be compared or repaired, by their list or table."""
        by_name: dict[str, list[Rejected]] = {}
        for rejected in self._session.counts.rejected():
            by_name.setdefault(rejected.resource or rejected.table, []).append(rejected)
        for name, some in by_name.items():
            others = [self.report.incomplete[name]] if name in self.report.incomplete else []
            self.report.incomplete[name] = " ".join((*others, left_out(some, is_load=False)))

    # --- comparing ---------------------------------------------------------------------------------------------------

    def _compare(self, tables: Mapping[str, pa.Table]) -> None:
        for name, table in tables.items():
            listed = self._candidates.compare(name, table)
            self.report.checked[name] += len(listed)
            if name in self._seen:
                self._seen[name].update(listed)
        if self._candidates.rows > HELD_ROWS:
            self._settle()

    def _look_for_unlisted(self, resource: Resource, since: int, until: int) -> None:
        """Judges the rows of a list's table that the list, read to its end, does not show.

        Skipped if another list, which was not read to its end, shows rows of the table too, such as the prices in
        plans.
        """
        if other_lists(self._session.catalogue, resource) - self._whole:
            return
        for judged in self._unlisted.judge(resource, self._seen[resource.table], since, until):
            if judged.finding is None or judged.finding.drift == "stale":
                self.report.unlisted[judged.table] += 1
            for name, part in judged.tables.items():
                found = [judged.finding] if judged.finding is not None and name == judged.table else []
                self._candidates.note(name, part, found, {each.key: part["_as_of"][0].as_py() for each in found})

    def _settle(self) -> None:
        self.report.findings += self._candidates.settle(dry_run=self._order.dry_run)
