"""The scheduled run for an Orb account: `python pipelines/orb_sync.py`.

Each run applies Orb's events. Once a day it also reads the lists whose changes events do not tell of, and once a week
everything, which finds deletions. Without events it goes by the lists. A run ends at once if another run is active.
Exit codes: 0 all went well, 1 some resources failed, 2 it could not start, 130 a signal stopped it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

if __name__ == "__main__":  # before the other imports, which take a second: see `start`
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from pipelines.terminal.process import start

    start("pipelines.orb_sync")

from pipelines.cli import (
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
from pipelines.terminal.output import Report
from pipelines.warehouse.problems import AlreadyRunning
from sources.command_line import Parser

READS = ("new", "changes", "everything")


def main(arguments: Sequence[str] | None = None, prog: str = "orb_sync.py") -> int:
    """Parses the command line and runs."""
    return run_command(_parser(prog), _sync, arguments)


def _parser(prog: str = "orb_sync.py") -> argparse.ArgumentParser:
    parser = Parser(prog=prog, description="Brings the tables of an Orb account up to date: the scheduled run.")
    add_database_options(parser, dataset="orb")
    add_output_options(parser)
    parser.add_argument(
        "--resources",
        nargs="+",
        metavar="NAME",
        default=[],
        help="names or groups (default: what was loaded before)",
    )
    parser.add_argument("--reads", choices=READS, help="what to read now, whatever is due")
    return parser


def _sync(options: argparse.Namespace) -> Report:
    from pipelines.configuration.orb_settings import read_orb_settings
    from pipelines.orb_report import orb_session, report_sync
    from pipelines.sync.orb_sync import OrbSync
    from sources.orb_api.catalogue import CATALOGUE

    names = resources_of(options, CATALOGUE)
    settings = read_orb_settings(**given_of(options))
    log_as(options, settings)
    try:
        with orb_session(settings, "orb_sync", asked_of(options, "resources", "reads"), clock=False) as session:
            synced = OrbSync(session, settings, say, names).run(options.reads)
            lists = synced.lists.outcome if synced.lists is not None else None
            has_failed = lists is not None and bool(lists.failed or lists.error)
            session.end("partial" if has_failed or session.counts.rejected() else "complete")
    except AlreadyRunning as error:  # the other run does the work
        say(error)
        return Report(ALL_WELL, {"error": str(error)})
    return report_sync(session, synced, debug=options.debug)
