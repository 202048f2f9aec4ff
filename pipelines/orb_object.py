"""Single objects of an Orb account by id: `python pipelines/orb_object.py hNmWV3yQnGx9vTbZ`.

Reads each object with its embedded objects and merges them into their tables. An object that no longer exists in Orb is
marked as deleted. The command may run during a load. Exit codes: 0 all went well, 1 something could not be stored, 2 an
id or a setting cannot be used, 130 a signal stopped it.
"""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":  # before the other imports: until `start` has begun, Ctrl-C gives a traceback
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
    from pipelines.terminal.process import start

    start("pipelines.orb_object")

import argparse
from collections.abc import Sequence

from pipelines.commands.cli import add_database_options, add_output_options, given_of, log_as, run_command
from pipelines.terminal.output import Report
from sources.command_line import Parser


def main(arguments: Sequence[str] | None = None, prog: str = "orb_object.py") -> int:
    """Parses the command line and runs."""
    return run_command(_parser(prog), _objects, arguments)


def _parser(prog: str = "orb_object.py") -> argparse.ArgumentParser:
    parser = Parser(prog=prog, description="Loads objects of an Orb account by id into their tables.")
    add_database_options(parser, dataset="orb")
    add_output_options(parser)
    parser.add_argument("ids", nargs="+", metavar="ID", help="ids of objects; put -- before ids that begin with a dash")
    parser.add_argument(
        "--type",
        metavar="NAME",
        help="table or Orb's object name: invoices, invoice (default: every kind of object is tried)",
    )
    return parser


def _objects(options: argparse.Namespace) -> Report:
    from pipelines.configuration.orb_settings import read_orb_settings
    from pipelines.loading.session import open_session
    from pipelines.sync.orb_api.objects import load_orb_objects, shown_id
    from pipelines.sync.report import report_objects
    from sources.orb_api.provider import ORB

    settings = read_orb_settings(**given_of(options))
    log_as(options, settings)
    asked = {"ids": [shown_id(id).strip("'") for id in options.ids]}
    with open_session(settings, "orb_object", provider=ORB, scope="object", asked=asked) as session:
        return report_objects(session, lambda: load_orb_objects(session, options.ids, options.type))
