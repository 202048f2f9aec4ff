"""The scheduled run for an Orb account: `python pipelines/orb_sync.py`.

Each run applies Orb's events. Once a day it also reads the lists whose changes events do not report, and once a week
everything, which finds deletions. Without events, it uses the lists alone. A run ends at once if another run is active.
Exit codes: 0 all went well, 1 some resources failed, 2 it could not start, 130 a signal stopped it.
"""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":  # before the other imports: until `start` has begun, Ctrl-C gives a traceback
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
    from pipelines.terminal.process import start

    start("pipelines.orb_sync")

import argparse
from collections.abc import Sequence

from pipelines.commands.cli import (
    ALL_WELL,
    add_database_options,
    add_output_options,
    asked_of,
    given_of,
    log_as,
    resources_of,
    run_command,
    say,
)
from pipelines.commands.syncs import add_sync_options, rounds
from pipelines.terminal.output import Report
from pipelines.warehouse.problems import AlreadyRunning
from sources.command_line import Parser

READS = ("new", "changes", "everything")


def main(arguments: Sequence[str] | None = None, prog: str = "orb_sync.py") -> int:
    """Parses the command line and runs."""
    return run_command(_parser(prog), _sync, arguments)


def _parser(prog: str = "orb_sync.py") -> argparse.ArgumentParser:
    parser = Parser(prog=prog, description="Updates the tables of an Orb account: the scheduled run.")
    add_database_options(parser, dataset="orb")
    add_output_options(parser)
    add_sync_options(parser)
    parser.add_argument("--reads", choices=READS, help="what to read now, regardless of what is due")
    return parser


def _sync(options: argparse.Namespace) -> Report:
    from pipelines.commands.orb_report import orb_session, report_sync
    from pipelines.configuration.orb_settings import read_orb_settings
    from pipelines.sync.orb_api.sync import OrbSync
    from sources.orb_api.catalogue import CATALOGUE

    names = resources_of(options, CATALOGUE)
    settings = read_orb_settings(**given_of(options))
    log_as(options, settings)
    last = Report(ALL_WELL, {})

    def once() -> int:
        nonlocal last
        asked, budget = asked_of(options, "resources", "reads", "requests_budget"), options.requests_budget
        try:
            with orb_session(settings, "orb_sync", asked, clock=False, budget=budget) as session:
                synced = OrbSync(session, settings, say, names).run(options.reads)
                lists = synced.lists.outcome if synced.lists is not None else None
                has_failed = lists is not None and bool(lists.failed or lists.error)
                is_partial = has_failed or synced.stopped or session.counts.rejected()
                session.end("partial" if is_partial else "complete", synced.stopped)
            last = report_sync(session, synced, strict=options.strict, debug=options.debug)
        except AlreadyRunning as error:  # the other run does the work
            say(error)
            last = Report(ALL_WELL, {"error": str(error)})
        return last.code

    return Report(rounds(once, options), last.value)
