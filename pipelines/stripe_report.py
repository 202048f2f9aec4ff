"""The report: `python pipelines/stripe_report.py`, after a sync or at any time.

Updates the schema of the metrics from the loaded tables, and prints MRR, retention, churn, trials, failed
payments and what needs attention. Needs no key. Exit codes: 0 all went well, 2 it could not start, 130 a signal stopped
it.
"""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":  # before the other imports: until `start` has begun, Ctrl-C gives a traceback
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
    from pipelines.terminal.process import start

    start("pipelines.stripe_report")

import argparse
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.commands.cli import ALL_WELL, add_common_options, run_command, say, settings_of
from pipelines.terminal.output import Report
from sources.command_line import Parser
from sources.errors import BadConfiguration

if TYPE_CHECKING:
    from pipelines.models.report.answers import Answers


def main(arguments: Sequence[str] | None = None, prog: str = "stripe_report.py") -> int:
    """Parses the command line and runs."""
    return run_command(_parser(prog), _report, arguments)


def month(text: str) -> str:
    """Parses a month on the command line, `2026-05`. Returns its first day as text."""
    if not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", text):
        raise argparse.ArgumentTypeError("it must be a month, such as 2026-05")
    return f"{text}-01"


def _parser(prog: str = "stripe_report.py") -> argparse.ArgumentParser:
    parser = Parser(
        prog=prog,
        description="Updates the metrics, and reports MRR, retention, churn, trials and failed payments.",
    )
    add_common_options(parser)
    parser.add_argument("--build", action="store_true", help="only update the tables; print no report")
    parser.add_argument("--full", action="store_true", help="build all of the metrics again, not only what has changed")
    parser.add_argument("--month", type=month, metavar="YYYY-MM", help="the month to report (default: the last one)")
    parser.add_argument("--currency", metavar="CODE", help="only this currency (default: all)")
    parser.add_argument("--html", type=str, metavar="FILE", help="also write a page with charts to FILE")
    parser.add_argument("--names", action="store_true", help="show customers' names with their ids")
    return parser


def _report(options: argparse.Namespace) -> Report:
    from pipelines.loading.session import open_existing
    from pipelines.models.metrics.build import Build
    from pipelines.models.report.answers import Reader

    settings = settings_of(options)
    if options.html is not None:
        from pipelines.models.report.page import require_charts

        require_charts()
    database = open_existing(settings)
    try:
        built = Build(database, settings.dataset).run(full=options.full)
        if options.build:
            what = "All metrics were built" if built.full else f"{built.subscriptions:,} subscriptions were built again"
            print(f"{what} in {built.seconds:.1f} seconds: see the schema {settings.dataset}_metrics.")
            return Report(ALL_WELL, asdict(built))
        answers = Reader(database, settings.dataset).read(
            month=options.month, currency=options.currency, account=settings.stripe_account, names=options.names
        )
    finally:
        database.close()
    _show(answers, options)
    return Report(ALL_WELL, [answer.to_json() for answer in answers])


def _show(answers: list[Answers], options: argparse.Namespace) -> None:
    from pipelines.models.report.screen import screen

    if not answers:
        say("There are no subscriptions and no payments yet. Load them with `stripe-elt full` first.")
    elif not options.json:
        print("\n\n".join(screen(answer) for answer in answers))
    if options.html is not None:
        from pipelines.models.report.page import page

        try:
            Path(options.html).write_text(page(answers), "utf-8")
        except OSError as error:
            raise BadConfiguration(
                f"The page cannot be written to the file that --html names: {error.strerror}."
            ) from error
        say(f"The page was written to {options.html}.")
