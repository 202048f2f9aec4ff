"""Loads of Orb's lists as a command: the session, what is said of what came of it, and the exit code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pipelines.cli import ALL_WELL, SOME_FAILED, say
from pipelines.configuration.orb_settings import OrbSettings
from pipelines.full import report
from pipelines.session import Session, new_run_id, open_session
from pipelines.sync.orb_lists import Loaded
from pipelines.terminal.output import Report
from pipelines.warehouse.problems import AlreadyRunning, database_problems
from sources.columns.conversion_counts import left_out
from sources.orb_api.provider import ORB


def load_and_report(
    settings: OrbSettings,
    command: str,
    asked: Mapping[str, Any],
    load: Callable[[Session], Loaded],
    *,
    is_sync: bool = False,
    debug: bool = False,
) -> Report:
    """Loads in a session of the whole dataset. Where another run has it, nothing is done, which is no failure."""
    run_id = f"{new_run_id()}-{settings.account_id}"  # by which `OrbSync` finds the runs of its account
    opening = open_session(settings, command, provider=ORB, clock=True, run_id=run_id, asked=asked)
    try:
        with database_problems(), opening as session:
            session.state.close_abandoned()
            with session.noting_failure():
                loaded = load(session)
            if is_sync:
                session.end("partial" if loaded.outcome.failed or loaded.outcome.error else "complete")
    except AlreadyRunning as error:
        say(error)
        return Report(ALL_WELL, {"error": str(error)})
    code = report(loaded.outcome, is_sync=is_sync, debug=debug)
    unlisted = loaded.unlisted
    if unlisted.rows:
        print(f"Rows that no list shows any more: {unlisted.rows:,} read, {unlisted.deleted:,} deleted.")
    rejected = session.counts.rejected()
    if rejected and code == ALL_WELL:
        say(left_out(rejected, is_load=True))
        code = SOME_FAILED
    told = {"unlisted": unlisted.rows, "deleted": unlisted.deleted}
    return Report(code, {**loaded.outcome.to_json(), **told})
