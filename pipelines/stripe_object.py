"""Single objects by id: `python pipelines/stripe_object.py cus_123 in_456`.

Reads each object with its children and merges them into their tables. A deleted object is marked as deleted. The
command may run during a load or a sync. Exit codes: 0 all went well, 1 something could not be stored, 2 an id or a
setting cannot be used, 130 a signal stopped it.
"""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":  # before the other imports: until `start` has begun, Ctrl-C gives a traceback
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
    from pipelines.terminal.process import start

    start("pipelines.stripe_object")

import argparse
from collections.abc import Sequence

from pipelines.commands.cli import add_common_options, asked_of, run_command, settings_of
from pipelines.terminal.output import Report
from sources.command_line import Parser


def main(arguments: Sequence[str] | None = None, prog: str = "stripe_object.py") -> int:
    """Parses the command line and runs."""
    return run_command(_parser(prog), _objects, arguments)


def _parser(prog: str = "stripe_object.py") -> argparse.ArgumentParser:
    parser = Parser(prog=prog, description="Loads objects by id into their tables.")
    add_common_options(parser)
    parser.add_argument(
        "ids",
        nargs="+",
        metavar="ID",
        help="cus_…, in_…, or PARENT/ID for an object below a parent; put -- before ids that begin with a dash",
    )
    parser.add_argument(
        "--type", metavar="NAME", help="table or Stripe's object name, if the id does not determine it: coupons, plan"
    )
    parser.add_argument("--related", action="store_true", help="also load the objects that these objects refer to")
    return parser


def _objects(options: argparse.Namespace) -> Report:
    from pipelines.commands.accounts import one_account
    from pipelines.loading.session import open_session
    from pipelines.sync.report import report_objects
    from pipelines.sync.stripe_api.objects import load_objects
    from sources.stripe_api.catalogue.prefixes import shown_id
    from sources.stripe_api.provider import STRIPE

    settings = one_account(settings_of(options))
    asked = {**asked_of(options, "related"), "ids": [shown_id(id).strip("'") for id in options.ids]}
    with open_session(settings, "stripe_object", provider=STRIPE, scope="object", asked=asked) as session:
        return report_objects(
            session, lambda: load_objects(session, options.ids, options.type, related=options.related)
        )
