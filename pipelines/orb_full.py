"""The initial load of an Orb account, and later loads of new objects: `python pipelines/orb_full.py`.

Loads the lists of the account into DuckDB or Postgres, and continues from the point that the last run reached. You can
kill it and start it again at any time. A run ends at once if another run is active. Exit codes: 0 all went well, 1
some resources failed, 2 it could not start, 130 a signal stopped it.
"""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":  # before the other imports: until `start` has begun, Ctrl-C gives a traceback
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
    from pipelines.terminal.process import start

    start("pipelines.orb_full")

import argparse
from collections.abc import Sequence

from pipelines.commands.cli import (
    ALL_WELL,
    add_database_options,
    add_output_options,
    given_of,
    log_as,
    run_command,
    say,
)
from pipelines.commands.full import add_full_options, dry_run, order_of
from pipelines.terminal.output import Report
from pipelines.warehouse.problems import AlreadyRunning
from sources.command_line import Parser


def main(arguments: Sequence[str] | None = None, prog: str = "orb_full.py") -> int:
    """Parses the command line and runs."""
    return run_command(_parser(prog), _full, arguments)


def _parser(prog: str = "orb_full.py") -> argparse.ArgumentParser:
    parser = Parser(
        prog=prog,
        description="Loads an Orb account into DuckDB or Postgres; later runs load what is new.",
    )
    add_database_options(parser, dataset="orb")
    add_output_options(parser)
    add_full_options(parser)
    return parser


def _full(options: argparse.Namespace) -> Report:
    from pipelines.commands.orb_report import orb_session, report_lists
    from pipelines.configuration.orb_settings import read_orb_settings
    from pipelines.sync.orb_api.lists import load_lists
    from sources.orb_api.catalogue import CATALOGUE

    order = order_of(options, "orb_full", CATALOGUE)
    settings = read_orb_settings(**given_of(options))
    log_as(options, settings)
    if options.dry_run:
        return dry_run(settings, order)
    try:
        with orb_session(settings, "orb_full", order.asked) as session:
            loaded = load_lists(session, order, session.state)
    except AlreadyRunning as error:  # the other run does the work
        say(error)
        return Report(ALL_WELL, {"error": str(error)})
    return report_lists(session, loaded, debug=options.debug)
