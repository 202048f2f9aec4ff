"""The consistency check: `python pipelines/stripe_check.py`, every night or week.

Lists everything again, compares it with the tables field by field, repairs the differences and reports them. Exit
codes: 0 all went well, 1 some resources could not be checked, 2 it could not start, 3 drift was found (with
--fail-on-drift), 130 a signal stopped it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

if __name__ == "__main__":  # before the other imports, which take a second: see `start`
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from pipelines.terminal.process import start

    start("pipelines.stripe_check")

from pipelines.cli import (
    ALL_WELL,
    DRIFT,
    SOME_FAILED,
    add_common_options,
    asked_of,
    for_each_account,
    moment,
    resources_of,
    run_command,
    say,
    settings_of,
    whole_number,
    window_of,
)
from pipelines.terminal.output import Report
from sources.command_line import Parser
from sources.errors import BadConfiguration

if TYPE_CHECKING:
    from pipelines.check.report import CheckReport
    from pipelines.configuration.settings import Settings


def main(arguments: Sequence[str] | None = None, prog: str = "stripe_check.py") -> int:
    """Parses the command line and runs."""
    return run_command(_parser(prog), _check, arguments)


def _parser(prog: str = "stripe_check.py") -> argparse.ArgumentParser:
    parser = Parser(prog=prog, description="Compares the tables with Stripe's lists.")
    add_common_options(parser, report_file=True)
    parser.add_argument(
        "--resources",
        nargs="+",
        metavar="NAME",
        default=[],
        help="names, or the groups core, default and all (default: the resources that were loaded before)",
    )
    parser.add_argument("--since", type=moment, metavar="TIME", help="only objects created at or after this moment")
    parser.add_argument("--until", type=moment, metavar="TIME", help="only objects created before this moment")
    parser.add_argument(
        "--sample", type=whole_number, metavar="N", help="only about N objects of each list, taken at random"
    )
    parser.add_argument("--dry-run", action="store_true", help="report the differences, and repair nothing")
    parser.add_argument("--fail-on-drift", action="store_true", help="exit with code 3 if anything differs")
    parser.add_argument(
        "--requests-budget", type=whole_number, metavar="N", help="spend at most N requests for each account"
    )
    return parser


def _check(options: argparse.Namespace) -> Report:
    import orjson

    names = resources_of(options)
    window_of(options)
    file = ReportFile(Path(options.json)) if options.json not in (None, "-") else None
    reports: list[CheckReport] = []

    def check(settings: Settings) -> int:
        report = _check_account(settings, names, options)
        reports.append(report)
        _tell(report)
        if options.fail_on_drift and report.has_drift:
            return DRIFT
        return SOME_FAILED if report.incomplete else ALL_WELL

    with file or nullcontext():
        code = for_each_account(settings_of(options), check, debug=options.debug)
        told = [report.to_json() for report in reports]
        if file is not None:
            file.write(orjson.dumps(told, option=orjson.OPT_INDENT_2) + b"\n")
    return Report(code, told)


def _check_account(settings: Settings, names: list[str], options: argparse.Namespace) -> CheckReport:
    from pipelines.check.account import check_account

    return check_account(
        settings,
        names,
        window_of(options),
        sample=options.sample,
        dry_run=options.dry_run,
        budget=options.requests_budget,
        asked=asked_of(options, "resources", "since", "until", "sample", "dry_run", "requests_budget"),
    )


def _tell(report: CheckReport) -> None:
    report.show(sys.stdout)
    for name, why in report.incomplete.items():
        say(f"{name} could not be checked completely: {why}")
    if report.skipped:
        say(f"Not checked, because the account or the key lacks them: {', '.join(report.skipped)}.")


class ReportFile:
    """The file of `--json`. It keeps the earlier report until the new one has been written completely.

    It is made before a long check, not after it. A link, such as /dev/stdout, stays one: what it leads to is written
    in place. Raises BadConfiguration where it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        is_ours = not path.exists() or (path.is_file() and os.access(path.parent, os.W_OK))
        is_replaced = is_ours and not path.is_symlink()
        self._written = path.with_name(f"{path.name}.part") if is_replaced else path
        try:
            self._written.open("ab").close()
        except OSError as error:
            raise self._problem(error) from error

    def __enter__(self) -> None:
        """Nothing more."""

    def __exit__(self, *_: object) -> None:
        """Leaves nothing half-written behind."""
        if self._written != self._path:
            self._written.unlink(missing_ok=True)

    def write(self, text: bytes) -> None:
        """Writes the whole report."""
        try:
            self._written.write_bytes(text)
            if self._written != self._path:
                if self._path.exists():
                    shutil.copymode(self._path, self._written)
                self._written.replace(self._path)
        except OSError as error:
            raise self._problem(error) from error

    def _problem(self, error: OSError) -> BadConfiguration:
        return BadConfiguration(f"The report cannot be written to the file that --json names: {error.strerror}.")
