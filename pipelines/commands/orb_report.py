"""What Orb's commands share: the session, the reports on a load or a sync, the exit code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pipelines.commands.cli import ALL_WELL, SOME_FAILED, say, say_what_differs
from pipelines.commands.full import report
from pipelines.configuration.orb_settings import OrbSettings
from pipelines.loading.session import Session, new_run_id, open_session
from pipelines.sync.orb_api.lists import Loaded
from pipelines.sync.orb_api.sync import Synced
from pipelines.sync.report import say_lacking
from pipelines.terminal.output import Report
from pipelines.warehouse.database import Database
from pipelines.warehouse.problems import database_problems
from sources.columns.conversion_counts import left_out
from sources.orb_api.provider import ORB


@contextmanager
def orb_session(
    settings: OrbSettings,
    command: str,
    asked: Mapping[str, Any],
    *,
    clock: bool = True,
    budget: int | None = None,
    run_id: str | None = None,
    opened: Database | None = None,
) -> Iterator[Session]:
    """A session of the whole dataset. The id of its run ends with the account, by which `OrbSync` finds it."""
    run_id = f"{run_id or new_run_id()}-{settings.account_id}"
    opening = open_session(
        settings, command, provider=ORB, clock=clock, run_id=run_id, asked=asked, budget=budget, opened=opened
    )
    with database_problems(), opening as session:
        session.state.close_abandoned()
        with session.noting_failure():
            yield session


def report_lists(session: Session, loaded: Loaded, *, is_sync: bool = False, debug: bool = False) -> Report:
    """Prints what a load of lists did on stdout, and problems on stderr."""
    code = report(loaded.outcome, is_sync=is_sync, debug=debug)
    unlisted = loaded.unlisted
    if unlisted.rows:
        print(f"Rows that no list shows any more: {unlisted.rows:,} read, {unlisted.deleted:,} deleted.")
    if (rejected := session.counts.rejected()) and code == ALL_WELL:
        say(left_out(rejected, is_load=True))
        code = SOME_FAILED
    told = {"unlisted": unlisted.rows, "deleted": unlisted.deleted}
    return Report(code, {**loaded.outcome.to_json(), **told})


def report_sync(session: Session, synced: Synced, *, strict: bool = False, debug: bool = False) -> Report:
    """Prints what a sync did on stdout, and problems on stderr. `strict`: a resource that the account lacks is an
    error.
    """
    report = _report_sync(session, synced, debug=debug)
    told = {**report.value, "requests": session.spending.spent, "stopped": synced.stopped, "lacking": synced.lacking}
    if synced.stopped:
        say(synced.stopped)
    if strict:
        say_lacking(synced.lacking)
    return Report(max(report.code, SOME_FAILED if strict and synced.lacking else ALL_WELL), told)


def _report_sync(session: Session, synced: Synced, *, debug: bool) -> Report:
    told: dict[str, Any] = {"reads": synced.what}
    if (events := synced.events) is not None:
        print(
            f"{session.account_id}: {events.events:,} events, {events.applied:,} objects changed ({events.believed:,}"
            f" from their events, {events.retrieved:,} retrieved, {events.deleted:,} deleted); {events.rows:,} rows."
        )
        for reason, count in sorted((events.ignored + events.unreadable).items()):
            print(f"  {count:,} not stored: {reason}")
        told["events"] = {"events": events.events, "believed": events.believed, "retrieved": events.retrieved}
    if synced.lists is not None:
        lists = report_lists(session, synced.lists, is_sync=True, debug=debug)
        return Report(lists.code, {**told, "lists": lists.value})
    say_what_differs(session.counts)
    if rejected := session.counts.rejected():
        say(left_out(rejected, is_load=True))
    return Report(SOME_FAILED if rejected else ALL_WELL, told)
