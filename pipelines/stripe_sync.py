"""The scheduled run: `python pipelines/stripe_sync.py`, started every hour by cron, a timer or Airflow.

Reads the account's events once, then the lists whose changes events do not report. A run ends at once if the previous
run is still active. Exit codes: 0 all went well, 1 some resources failed, 2 it could not start, 130 a signal stopped
it.
"""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":  # before the other imports: until `start` has begun, Ctrl-C gives a traceback
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
    from pipelines.terminal.process import start

    start("pipelines.stripe_sync")

import argparse
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipelines.commands.cli import (
    ALL_WELL,
    add_common_options,
    add_dry_run,
    asked_of,
    for_each_account,
    resources_of,
    run_command,
    say,
    settings_of,
)
from pipelines.commands.syncs import add_sync_options, rounds
from pipelines.terminal.output import Report
from sources.command_line import Parser

if TYPE_CHECKING:
    from pipelines.configuration.settings import Settings
    from pipelines.sync.stripe_api.settings import SyncSettings


def main(arguments: Sequence[str] | None = None, prog: str = "stripe_sync.py") -> int:
    """Parses the command line and runs."""
    return run_command(_parser(prog), _sync, arguments)


def _parser(prog: str = "stripe_sync.py") -> argparse.ArgumentParser:
    parser = Parser(
        prog=prog,
        description="Updates the tables: first from events, then from the lists whose changes events do not report.",
    )
    add_common_options(parser)
    add_sync_options(parser)
    add_dry_run(parser)
    return parser


def _sync(options: argparse.Namespace) -> Report:
    from pipelines.sync.stripe_api.settings import read_sync_settings
    from sources.stripe_api.catalogue import CATALOGUE

    names = resources_of(options, CATALOGUE)
    told: list[dict[str, Any]] = []
    settings, sync_settings = settings_of(options), read_sync_settings()
    if options.dry_run:
        return _dry_run(settings, sync_settings, names)

    def once() -> int:
        budget, strict, debug = options.requests_budget, options.strict, options.debug
        asked = asked_of(options, "resources", "requests_budget")
        told.clear()  # only the last round's
        return sync_once(
            settings, sync_settings, names, budget=budget, strict=strict, debug=debug, asked=asked, told=told
        )

    return Report(rounds(once, options), told)


def _dry_run(settings: Settings, sync_settings: SyncSettings, names: Sequence[str]) -> Report:
    """Prints the lists that are due by this machine's clock. Lists that are read because events changed a table are
    missing, because events are not read.
    """
    from pipelines.loading.dry_run import planned, stored, tell
    from pipelines.sync.lists import last_listed
    from pipelines.sync.stripe_api.cadence import due_lists
    from sources.stripe_api.catalogue import CATALOGUE

    with stored(settings) as (_, saved):
        last = last_listed(saved, CATALOGUE)
    due = due_lists(CATALOGUE.select(names or list(last)), last, int(time.time()), sync_settings, ())
    plans = planned(settings, [listing.resource for listing in due])
    tell(plans, settings, events=True)
    return Report(ALL_WELL, [plan.to_json() for plan in plans])


def sync_once(
    settings: Settings,
    sync_settings: SyncSettings,
    names: Sequence[str] = (),
    *,
    budget: int | None = None,
    strict: bool = False,
    debug: bool = False,
    asked: Mapping[str, Any] | None = None,
    told: list[dict[str, Any]] | None = None,
) -> int:
    """Syncs all accounts of the settings once; returns the exit code. Adds each outcome to `told` as JSON values."""
    from pipelines.loading.session import open_session
    from pipelines.sync.stripe_api.lists import COMMAND
    from pipelines.sync.stripe_api.report import report
    from pipelines.sync.stripe_api.sync import Sync
    from sources.stripe_api.provider import STRIPE

    def sync(each: Settings) -> int:
        with open_session(each, COMMAND, provider=STRIPE, budget=budget, asked=asked) as session:
            outcome = Sync(session, sync_settings, names, warn=say).run()
            if sync_settings.after_sync == "metrics":
                from pipelines.models.metrics.build import Build

                Build(session.database, each.dataset).run()
        if told is not None:
            told.append(outcome.to_json())
        return report(outcome, strict=strict)

    return for_each_account(settings, sync, debug=debug)
