"""Says what a load or a sync would read, from the catalogue and the saved progress. Sends no request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from pipelines.commands.cli import counted
from pipelines.configuration.settings import CommonSettings
from pipelines.loading.session import known_account, open_existing
from pipelines.state import State
from pipelines.warehouse.database import Database, has_table
from sources.catalogue import Resource
from sources.fetch.progress import Progress
from sources.fetch.values import ResourceStatus


@dataclass(frozen=True, slots=True)
class Planned:
    """A list that would be read, from the unix second `since` on (None: all of it).

    `at_least` is the smallest number of requests: one for each pass over the list and each stored parent. `last_time`
    is the number that the last run took; None if no run has read the list.
    """

    resource: str
    path: str
    since: int | None
    at_least: int
    last_time: int | None

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def planned(
    settings: CommonSettings, resources: Sequence[Resource], since: int = 0, *, is_fresh: bool = False
) -> list[Planned]:
    """The lists that a load would read, for objects created since `since` (unix seconds). `is_fresh`: nothing counts as
    read.
    """
    with stored(settings) as (database, saved):
        known: Mapping[str, ResourceStatus] = {} if is_fresh else saved
        return [_planned(listed, known.get(listed.name), since, database, settings.dataset) for listed in resources]


def _planned(resource: Resource, saved: ResourceStatus | None, since: int, database: Database, dataset: str) -> Planned:
    begin: int | None = since or None
    if saved is not None and saved.progress and resource.created != "none":
        windows = Progress.from_json(saved.progress).covered.values()
        reached = min((each[-1].lt for each in windows if each and each[0].gte <= since), default=since)
        begin = max(since, reached) or None
    at_least = len(resource.passes)
    for parent in resource.parents:
        at_least *= _count(database, dataset, parent.table)
    return Planned(resource.name, resource.path, begin, at_least, saved.requests if saved else None)


def _count(database: Database, dataset: str, table: str) -> int:
    """The live rows of a table; 0 if there is no such table."""
    if not has_table(database, dataset, table):
        return 0
    return int(database.execute(f'SELECT count(*) FROM "{dataset}"."{table}" WHERE _deleted_at IS NULL')[0][0])


@contextmanager
def stored(settings: CommonSettings) -> Iterator[tuple[Database, Mapping[str, ResourceStatus]]]:
    """The database, and the statuses of the resources of the key's account in it."""
    with closing(open_existing(settings)) as database:
        account_id = known_account(database, settings)
        if account_id is None or not has_table(database, settings.dataset, "sync_status"):
            yield database, {}
        else:
            yield database, State(database, settings.dataset, account_id, "", "").read_resources()


def tell(plans: Sequence[Planned], settings: CommonSettings, *, events: bool = False) -> None:
    """Prints each list, and the sum; the numbers are for each account if there are several. `events`: a sync reads
    these first.
    """
    each = " for each account" if settings.names_several_accounts else ""
    width = max((len(plan.resource) for plan in plans), default=0)
    for plan in plans:
        what = "all" if plan.since is None else f"since {datetime.fromtimestamp(plan.since, UTC):%Y-%m-%d %H:%M} UTC"
        last = "" if plan.last_time is None else f", {plan.last_time:,} last time"
        print(f"{plan.resource:<{width}}  {what:<27}  at least {counted(plan.at_least, 'request')}{last}")
    total = sum(plan.at_least for plan in plans) + (1 if events else 0)
    of_events = "the events since the last run, and " if events else ""
    print(
        f"{of_events}{counted(len(plans), 'list')}: at least {counted(total, 'request')}{each}, one more for each"
        " further page. Nothing was sent or changed."
    )
